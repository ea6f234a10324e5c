"""Attention of an atom to its neighbors, weighted by the cutoff function, and of a pair to parts of its message.

Both are DPA-4's (arXiv:2606.02419).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from adiabat.geometry import Graph
from adiabat.nn.mlp import dense

EPSILON = 1e-7
ALIKE = 0.02  # of what is competed for


class EnvelopeAttention(nn.Module):
    """α_ij = w² exp(s_ij) / (ζ + Σ_k w² exp(s_ik)) with s_ij = q_i · k_j/√d + b · radial_ij, and gates of the sums.

    The cutoff function w makes shares rise from 0 where a neighbor comes in; ζ is what no neighbor gets.

    Args:
        channels: of the scalars.
        heads: number of heads, which divides the channels.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm, self.gate_norm = (nn.RMSNorm(channels, eps=EPSILON) for _ in range(2))
        self.query, self.key = (dense(channels, channels, bias=False) for _ in range(2))
        self.bias = nn.Parameter(0.01 * torch.randn(channels, heads))
        self.gate = nn.Parameter(0.01 * torch.randn(channels, heads))
        self.vacancy = nn.Parameter(torch.full((heads,), 0.5413))  # ζ = 1 at first

    def forward(self, scalars: Tensor, radial: Tensor, weight: Tensor, graph: Graph) -> Tensor:
        """α of each channel, by its head `[pairs, channels]`.

        Args:
            scalars: of the atoms `[atoms, channels]`.
            radial: of the pairs `[pairs, channels]`.
            weight: w `[pairs, 1]`.
            graph: the pairs.
        """
        x, hood = self.norm(scalars), graph.rows()
        query, key = (part(x).unflatten(1, (self.heads, -1)) for part in (self.query, self.key))
        scores = (graph.of_centers(query) * graph.of_neighbors(key)).sum(dim=2) * key.shape[2] ** -0.5
        scores = scores + radial @ self.bias
        largest = hood.largest(hood.pad(scores.detach()), 0.0)
        parts = weight.square() * torch.exp(scores - graph.of_centers(largest))
        vacant = (softplus(self.vacancy) + EPSILON) * torch.exp(-largest)
        shares = parts / graph.of_centers(graph.sum_over_neighbors(parts) + vacant)
        return shares.repeat_interleave(key.shape[2], dim=1)

    def gates(self, scalars: Tensor) -> Tensor:
        """Of each atom's sums, by channel `[atoms, channels]`."""
        gates = torch.sigmoid(self.gate_norm(scalars) @ self.gate)
        return gates.repeat_interleave(scalars.shape[1] // self.heads, dim=1)


class Competition(nn.Module):
    """Shares of several parts in a pair's message: softmax of w_f · n(y_f), a little of which they have alike.

    Args:
        parts: how many, f.
        channels: of each.
        normalized: whether n is a norm, or nothing.
    """

    def __init__(self, parts: int, channels: int, normalized: bool):
        super().__init__()
        self.norms = nn.ModuleList(
            nn.RMSNorm(channels, eps=EPSILON) if normalized else nn.Identity() for _ in range(parts)
        )
        self.weights = nn.Parameter(0.01 * torch.randn(channels, parts))

    def forward(self, scalars: Tensor) -> Tensor:
        """`[pairs, parts · channels]`, the same for all channels of a part, of the pairs' scalars."""
        parts = zip(self.norms, scalars.split(self.weights.shape[0], dim=1), self.weights.unbind(1), strict=True)
        shares = torch.softmax(torch.stack([norm(y) @ w for norm, y, w in parts], dim=1), dim=1)
        shares = (1.0 - ALIKE) * shares + ALIKE / shares.shape[1]
        return shares.repeat_interleave(self.weights.shape[0], dim=1)
