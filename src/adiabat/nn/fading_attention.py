"""Attention among an atom's neighbors and of an atom to them, which fades out at the cutoff (DPA-2).

D. Zhang et al., npj Comput. Mater. 10, 293 (2024), doi:10.1038/s41524-024-01493-2. Columns of the linear layers run
over the heads last. Slots that a row lacks take part as `neighbor_attention.fading_softmax` says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.errors import CapabilityError
from adiabat.geometry import Neighborhood
from adiabat.geometry.neighborhood import PairList
from adiabat.nn.mlp import dense
from adiabat.nn.neighbor_attention import SHIFT, fading_softmax


class MutualShares(nn.Module):
    """A_jk = softmax_k(q_j · k_k/√d [h_j · h_k]) (h_j · h_k)/√3 among the neighbors of an atom, for each head.

    Args:
        width: of the pairs' features.
        hidden: d, of queries and keys.
        heads: number of heads.
        gated: whether the product of directions in brackets is there.
    """

    def __init__(self, width: int, hidden: int, heads: int, gated: bool):
        super().__init__()
        self.hidden, self.heads, self.gated = hidden, heads, gated
        self.inward = dense(width, 2 * hidden * heads, bias=False)

    def forward(
        self, y: Tensor, directions: Tensor, weight: Tensor, hood: Neighborhood | PairList, slots: Tensor
    ) -> Tensor:
        """`[atoms, heads, row, row]`.

        Args:
            y: features of the neighbors `[slots, width]`.
            directions: h, `[slots, 3]`.
            weight: that fades to 0 at the cutoff `[slots, 1]`, 0 in empty slots.
            hood: layout of the slots.
            slots: how many an atom has, listed or not, a number.
        """
        if not isinstance(hood, Neighborhood):
            raise CapabilityError("attention needs the neighbors in rows, which exported programs have not.")
        own = (hood.atoms, hood.width)
        query, key = self.inward(y).view(*own, self.hidden, 2 * self.heads).permute(0, 3, 1, 2).chunk(2, dim=1)
        h = directions.view(*own, 3)
        products = (h @ h.transpose(1, 2))[:, None]
        scores = query @ key.transpose(2, 3) * self.hidden**-0.5
        scores = scores * products if self.gated else scores
        return fading_softmax(scores, weight.view(hood.atoms, 1, hood.width), slots) * products * 3.0**-0.5


class MutualAttention(nn.Module):
    """LayerNorm(W Σ_k A_jk v_k + b) of the shares of every head.

    Args:
        width: of the pairs' features, and of v of each head.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.values = dense(width, width * heads, bias=False)
        self.outward = dense(width * heads, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, y: Tensor, shares: Tensor) -> Tensor:
        """`[slots, width]` of the same and shares `[atoms, heads, row, row]`."""
        atoms, _, row, _ = shares.shape
        values = self.values(y).view(atoms, row, y.shape[1], self.heads).permute(0, 3, 1, 2)
        return self.norm(
            self.outward((shares @ values).permute(0, 2, 3, 1).reshape(atoms * row, self.outward.in_features))
        )


class DirectionAttention(nn.Module):
    """Σ_k Σ_heads w A_jk h_k: directions of the neighbors mixed among them."""

    def __init__(self, heads: int):
        super().__init__()
        self.mix = dense(heads, 1, bias=False)

    def forward(self, directions: Tensor, shares: Tensor) -> Tensor:
        """`[slots, 3]` of the same and shares `[atoms, heads, row, row]`."""
        atoms, _, row, _ = shares.shape
        mixed = torch.einsum("ahjk,h->ajk", shares, self.mix.weight[0])
        return (mixed @ directions.view(atoms, row, 3)).reshape(atoms * row, 3)


class CenterAttention(nn.Module):
    """W Σ_j softmax_j(q_i · k_j/√d) v_j + b: an atom looks at its neighbors.

    Args:
        width: of the atoms' features, and of v of each head.
        hidden: d, of queries and keys.
        heads: number of heads.
    """

    def __init__(self, width: int, hidden: int, heads: int):
        super().__init__()
        self.width, self.hidden, self.heads = width, hidden, heads
        self.query = dense(width, hidden * heads, bias=False)
        self.inward = dense(width, (hidden + width) * heads, bias=False)
        self.outward = dense(width * heads, width)

    def forward(self, x: Tensor, weight: Tensor, hood: Neighborhood | PairList, slots: Tensor) -> Tensor:
        """`[atoms, width]` of the same; weight and slots as for `MutualShares`."""
        query = hood.of_centers(self.query(x)).view(-1, self.hidden, self.heads)
        both = self.inward(x).view(-1, self.hidden + self.width, self.heads).index_select(0, hood.neighbors)
        key, value = both.split((self.hidden, self.width), dim=1)
        lowered = ((query * key).sum(dim=1) * self.hidden**-0.5 + SHIFT) * weight - SHIFT  # [slots, heads]
        largest = hood.largest(lowered.detach(), -SHIFT)
        floor, shares = torch.exp(-SHIFT - largest), torch.exp(lowered - hood.of_centers(largest))
        total = hood.sum(shares - hood.of_centers(floor)) + slots * floor
        found = hood.sum((shares * weight)[:, None] * value) / total[:, None]
        return self.outward(found.transpose(1, 2).flatten(1))
