"""Convolutions of features with spherical harmonics, one filter for each degree of the harmonics."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from adiabat.kernels.neighbor_product import NeighborProduct, Path
from adiabat.kernels.tables import tabulate
from adiabat.nn.clebsch_gordan import natural_couplings
from adiabat.nn.constants import ConstantModule
from adiabat.nn.convolution import RadialEdges
from adiabat.nn.mlp import dense


@dataclass(frozen=True)
class HarmonicEdges:
    """What every layer knows about the pairs.

    Attributes:
        radial: distances, envelope and radial basis.
        harmonics: Y `[slots, (l_max+1)²]`, zero in filled-up slots.
    """

    radial: RadialEdges
    harmonics: Tensor


class HarmonicConvolution(ConstantModule):
    """x_i,lm = Σ_j Σ C Y_l₁m₁(r_ij) W_l₁(r_ij) ∘ x_j,l₂m₂ with `natural_couplings` C (doi:10.1063/5.0138367).

    Args:
        basis: number of radial functions, of which W is a linear map with bias, times the envelope.
        channels: of the features.
        l_max: highest degree of harmonics and sums.
        degrees: of the features that come in, 1 for l = 0 alone.
    """

    couplings: Tensor

    def __init__(self, basis: int, channels: int, l_max: int, degrees: int):
        super().__init__()
        self.l_max, self.degrees, self.channels = l_max, degrees, channels
        self.filters = dense(basis, (l_max + 1) * channels)
        self.register_constant("couplings", natural_couplings(l_max).reshape((l_max + 1) ** 2, -1))
        self.kernel: NeighborProduct | None = None
        self.columns = self.couplings

    def freeze(self, basis: nn.Module, envelope: nn.Module, cutoff: float) -> None:
        """Takes the fast kernel for good, with one path for each coupling of degrees."""
        filters, basis, envelope = (copy.deepcopy(part).double() for part in (self.filters, basis, envelope))
        couplings = natural_couplings(self.l_max)
        degrees = [slice(l**2, (l + 1) ** 2) for l in range(self.l_max + 1)]
        sources, paths, columns = [], [], []
        for l2, l1, l3 in np.ndindex(self.degrees, self.l_max + 1, self.l_max + 1):
            block = couplings[degrees[l1], degrees[l2], degrees[l3]]
            if block.any():
                sources.append(l1)
                paths.append(Path(l2, l3))
                columns.append(np.zeros((len(couplings), block[0].size)))
                columns[-1][degrees[l1]] = block.reshape(len(block), -1)

        def radial(r: Tensor) -> Tensor:
            weights = (filters(basis(r)) * envelope(r)[:, None]).chunk(self.l_max + 1, dim=1)
            return torch.cat([weights[l1] for l1 in sources], dim=1)

        sizes = [2 * l + 1 for l in range(self.l_max + 1)]
        table = tabulate(radial, cutoff).to(self.couplings.dtype)
        self.columns = torch.as_tensor(np.concatenate(columns, axis=1)).to(self.couplings)
        self.kernel = NeighborProduct(sizes[: self.degrees], sizes, paths, self.channels, [table], summed=True)

    def forward(self, x: Tensor, edges: HarmonicEdges) -> Tensor:
        """`[atoms, degrees², channels]` to sums over neighbors `[atoms, (l_max+1)², channels]`."""
        if self.kernel is not None:
            return self._fast(x, edges, self.kernel)
        radial, hood, size = edges.radial, edges.radial.graph.rows(), (self.l_max + 1) ** 2
        filters, rows = radial.filters(self.filters, self.l_max + 1), x.index_select(0, hood.neighbors)
        total = x.new_zeros(())
        for l, weight in enumerate(filters):
            degree = slice(l**2, (l + 1) ** 2)
            coupled = (edges.harmonics[:, degree] @ self.couplings[degree]).view(-1, size, size)
            weights = hood.pad(radial.graph.spread(weight))[:, None]
            total = total + hood.contract(coupled[:, : x.shape[1]], rows * weights)
        return total

    def _fast(self, x: Tensor, edges: HarmonicEdges, kernel: NeighborProduct) -> Tensor:
        pairs, distances = edges.radial.index, edges.radial.graph.spread(edges.radial.distances)
        parts = x.split([2 * l + 1 for l in range(self.degrees)], dim=1)
        return torch.cat(
            kernel(parts, edges.harmonics @ self.columns, distances, torch.zeros_like(pairs.centers), pairs), dim=1
        )
