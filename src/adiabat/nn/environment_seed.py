"""First features of atoms that know their neighborhood, from the environment matrix (DPA-4, arXiv:2606.02419)."""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from adiabat.nn.convolution import RadialEdges
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.joined_linear import JoinedLinear
from adiabat.nn.mlp import MLP, dense

EPSILON = 1e-7


class EnvironmentSeed(nn.Module):
    """x ∘ (1 + a tanh(n(D L))) + b tanh(n(D M)), D = AᵀA_<, A = Σ_j (s, s r̂) g_j/√density: scale and shift of x.

    s is w(r)/r, and g a network of the distance and both elements, as in DeepPot-SE (arXiv:1805.09003).

    Args:
        elements: atomic numbers.
        channels: of x.
        basis: number of radial functions.
        normalized: whether n is a norm, or nothing.
    """

    def __init__(self, elements: Iterable[int], channels: int, basis: int, normalized: bool):
        super().__init__()
        width, types = min(channels, 128), min(32, max(8, channels // 4))
        self.axis = min(4 if width < 64 else 8, width - 1)
        rows = max(32, width - 2 * types)
        hidden = min(256, max(2 * width, rows + 2 * types))
        self.types = ElementEmbedding(elements, types)
        self.radial = MLP((basis, rows, rows), "silu", bias=False)
        self.inward = JoinedLinear((rows, types, types), hidden, bias=False)
        self.outward = dense(hidden, width, bias=False)
        self.project = dense(width * self.axis, 2 * channels, bias=False)
        self.norms = nn.ModuleList(
            nn.RMSNorm(channels, eps=EPSILON) if normalized else nn.Identity() for _ in range(2)
        )
        self.strengths = nn.Parameter(torch.full((2,), log(0.01)))  # ln a, ln b

    def forward(self, x: Tensor, edges: RadialEdges, weight: Tensor, density: Tensor) -> Tensor:
        """New x `[atoms, channels]`; w `[pairs, 1]` and 1/√density `[atoms, 1, 1]`."""
        graph, types = edges.graph, self.types(edges.graph.system.numbers)
        radial = graph.spread(self.radial(edges.expansion))
        g = self.outward(silu(self.inward((radial, None), (types, graph.neighbors), (types, graph.centers))))
        s = weight / graph.spread(edges.distances)[:, None]
        matrix, hood = torch.cat((s, s * edges.directions), dim=1), graph.rows()
        sums = hood.contract(hood.pad(matrix)[:, None], hood.pad(g)[:, None]) * density
        found = self.project((sums.transpose(1, 2) @ sums[:, :, : self.axis]).flatten(1))
        parts = zip(self.norms, found.chunk(2, dim=1), self.strengths.exp(), strict=True)
        scale, shift = (strength * torch.tanh(norm(part)) for norm, part, strength in parts)
        return x * (1.0 + scale) + shift
