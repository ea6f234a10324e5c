"""Self-attention among the neighbors of an atom, gated by the angle between them (DPA-1).

D. Zhang et al., npj Comput. Mater. 10, 94 (2024), doi:10.1038/s41524-024-01278-7. A neighbor is one slot of its
atom's row; empty slots take part as the padding of DeePMD-kit does, so that there is no jump where a neighbor
comes in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SHIFT = 20.0  # scores fade to −SHIFT, so that a neighbor counts e^−20 where it comes in


def fading_softmax(scores: Tensor, weight: Tensor, slots: Tensor) -> Tensor:
    """Softmax over the last axis among slots that fade out, as DeePMD-kit has it.

    A score s_jk becomes (s_jk + 20) w_j w_k − 20, and its share is multiplied by w_j w_k. Slots of weight 0 count
    e^−20 in the sum, as many as `slots` says and not as many as the rows have.

    Args:
        scores: `[..., row, row]`.
        weight: w, 1 near and 0 at the cutoff and beyond, broadcast to `[..., row]`.
        slots: how many slots an atom has, a number.
    """
    both = weight[..., :, None] * weight[..., None, :]
    lowered = (scores + SHIFT) * both - SHIFT
    largest = functional.pad(lowered.detach(), (0, 1), value=-SHIFT).amax(dim=-1, keepdim=True)  # also of empty rows
    floor = torch.exp(-SHIFT - largest)
    shares = torch.exp(lowered - largest)
    return shares * both / ((shares - floor).sum(dim=-1, keepdim=True) + slots * floor)


def masked_softmax(scores: Tensor, near: Tensor) -> Tensor:
    """Softmax over the last axis of `scores [..., row, row]` among slots where `near [..., row]` is 1, else 0."""
    lowest = torch.full_like(scores, torch.finfo(scores.dtype).min)
    shares = torch.where(near[..., None, :] > 0, scores, lowest).softmax(dim=-1)
    return shares * (near[..., :, None] * near[..., None, :])


class NeighborAttention(nn.Module):
    """LayerNorm(x + W A(x) v): one layer, in which each neighbor looks at those of the same atom.

    Args:
        width: of x.
        hidden: of queries, keys and values.
        gated: whether shares are multiplied by the cosine of the angle between both neighbors.
        normalized: whether queries, keys and values have length 1.
        scale: of the scores.
        fades: whether a neighbor's part fades out at the cutoff, see `fading_softmax`; otherwise it ends there.
    """

    def __init__(self, width: int, hidden: int, gated: bool, normalized: bool, scale: float, fades: bool):
        super().__init__()
        self.gated, self.normalized, self.scale, self.fades = gated, normalized, scale, fades
        self.inward = nn.Linear(width, 3 * hidden)
        self.outward = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, directions: Tensor, weight: Tensor, near: Tensor, slots: Tensor) -> Tensor:
        """`[atoms, row, width]` of the same; an empty slot's comes out as if it saw nothing.

        Args:
            x: `[atoms, row, width]`.
            directions: unit vectors to the neighbors `[atoms, row, 3]`.
            weight: that fades to 0 at the cutoff `[atoms, row]`, 0 in empty slots.
            near: 1 for slots with a neighbor, 0 for others `[atoms, row]`.
            slots: how many an atom has, listed or not, a number.
        """
        query, key, value = self.inward(x).chunk(3, dim=-1)
        if self.normalized:
            query, key, value = unit(query), unit(key), unit(value)
        scores = torch.bmm(query * self.scale, key.transpose(1, 2))
        shares = fading_softmax(scores, weight, slots) if self.fades else masked_softmax(scores, near)
        if self.gated:
            shares = shares * torch.bmm(directions, directions.transpose(1, 2))
        return self.norm(x + self.outward(torch.bmm(shares, value)))


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1 along the last axis; zeros stay zeros, and have gradients."""
    return vectors * (vectors.square().sum(dim=-1, keepdim=True) + 1e-24).rsqrt()
