"""The steps of TensorNet that have fast kernels: sums over neighbors and products of 3×3 matrices.

A feature is a list of the three parts of its matrices, see `adiabat.nn.matrix_parts`, each `[atoms, 1 or 3 or 5,
channels]`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.kernels.matrix_update import Combine, Normalize, Renew
from adiabat.kernels.neighbor_product import NeighborProduct, Path
from adiabat.kernels.part_sum import PartSum
from adiabat.kernels.tables import tabulate
from adiabat.nn.bilinear_product import BilinearProduct
from adiabat.nn.convolution import RadialEdges, tabulated
from adiabat.nn.matrix_parts import SIZES, DirectionMatrices, multiplication
from adiabat.nn.mlp import MLP


@dataclass(frozen=True)
class MatrixEdges:
    """What every layer knows about the pairs and the systems.

    Attributes:
        radial: distances, envelope and radial basis.
        at_zero: the radial basis of an atom's distance to itself `[1, basis]`, or None where that is no neighbor.
        matrices_of: components of a direction's matrices.
        growth: factor of products of matrices of each atom `[atoms, 1, 1]`.
    """

    radial: RadialEdges
    at_zero: Tensor | None
    matrices_of: DirectionMatrices
    growth: Tensor

    @cached_property
    def matrices(self) -> Tensor:
        """`[pairs, 9]`."""
        return self.matrices_of(self.radial.directions)

    @property
    def distances(self) -> Tensor:
        """Of all pairs `[pairs]`, Å."""
        return self.radial.graph.spread(self.radial.distances)


def squared(parts: Sequence[Tensor]) -> Tensor:
    """‖X‖² of each channel `[atoms, channels]`."""
    return sum((part.square().sum(dim=1) for part in parts[1:]), start=parts[0].square().sum(dim=1))


class PartMixing(nn.ModuleList):
    """W_I I + W_A A + W_S S: every part's channels mixed, no bias."""

    def __init__(self, channels: int):
        super().__init__(MLP((channels, channels), "silu", bias=False, initialization="torch") for _ in SIZES)

    def freeze(self) -> None:
        """Takes the fast kernels for good."""
        for mix in self:
            cast(MLP, mix).freeze()

    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Parts to parts."""
        return [mix(part) for mix, part in zip(self, parts, strict=True)]


class DirectionSum(nn.Module):
    """Σ_j φ Z_ij (f_I I_0 + f_A A_ij + f_S S_ij) with Z_ij = a_i + b_j and linear f of the radial basis.

    Args:
        basis: number of radial functions.
        channels: of a and b.
    """

    def __init__(self, basis: int, channels: int):
        super().__init__()
        self.channels = channels
        self.filters = nn.Linear(basis, 3 * channels)
        self.kernel: NeighborProduct | None = None

    def freeze(self, basis: nn.Module, envelope: nn.Module, cutoff: float) -> None:
        """Takes the fast kernel for good, whose table has f φ, and the radial basis times φ beside it."""
        filters, basis, envelope = (copy.deepcopy(part).double() for part in (self.filters, basis, envelope))

        def radial(r: Tensor) -> Tensor:
            expansion = basis(r)
            rest = torch.cat([expansion, torch.ones_like(r)[:, None]], dim=1)
            weights = [torch.cat([weight, rest], dim=1) for weight in filters(expansion).chunk(3, dim=1)]
            return torch.cat(weights, dim=1) * envelope(r)[:, None]

        table = tabulate(radial, cutoff).to(self.filters.weight.dtype)
        width = self.channels + self.filters.in_features + 1
        self.kernel = NeighborProduct([1], SIZES, [Path(0, part) for part in range(3)], width, [table])

    def forward(self, a: Tensor, b: Tensor, edges: MatrixEdges) -> list[Tensor]:
        """The parts of the sums from `a`, `b [atoms, channels]`."""
        parts = self._sums(a, b, edges) if self.kernel is None else self._fast_sums(a, b, edges, self.kernel)
        if edges.at_zero is not None:  # a direction of no length has no matrix but the unit matrix
            weights = self.filters(edges.at_zero)[:, : self.channels]
            parts[0] = parts[0] + 3**0.5 * ((a + b) * weights)[:, None]
        return parts

    def _sums(self, a: Tensor, b: Tensor, edges: MatrixEdges) -> list[Tensor]:
        graph, hood = edges.radial.graph, edges.radial.graph.rows()
        weights = edges.radial.filters(self.filters, 3)
        between = hood.of_centers(a) + b.index_select(0, hood.neighbors)
        matrices = hood.pad(edges.matrices).split(SIZES, dim=1)
        return [
            hood.contract(matrix[:, None], (between * hood.pad(graph.spread(weight)))[:, None])
            for matrix, weight in zip(matrices, weights, strict=True)
        ]

    def _fast_sums(self, a: Tensor, b: Tensor, edges: MatrixEdges, kernel: NeighborProduct) -> list[Tensor]:
        """a_i leaves its sum, which is then one of the radial functions alone."""
        pairs = edges.radial.index
        ones = b.new_ones((b.shape[0], self.filters.in_features + 1))
        features = torch.cat([b, ones], dim=1)[:, None]
        sums = kernel([features], edges.matrices, edges.distances, torch.zeros_like(pairs.centers), pairs)
        weights = torch.cat([self.filters.weight, self.filters.bias[:, None]], dim=1).chunk(3)
        return [
            made[..., : self.channels] + a[:, None] * (made[..., self.channels :] @ weight.T)
            for made, weight in zip(sums, weights, strict=True)
        ]


class PartMessage(nn.Module):
    """M_i = Σ_j φ (f_I I_j + f_A A_j + f_S S_j) with f from a network of the radial basis that ends in SiLU.

    Args:
        basis: number of radial functions.
        channels: of the parts.
    """

    def __init__(self, basis: int, channels: int):
        super().__init__()
        self.filters = MLP((basis, channels, 2 * channels, 3 * channels), "silu", initialization="torch")
        self.kernel: PartSum | None = None

    def freeze(self, basis: nn.Module, cutoff: float) -> None:
        """Takes the fast kernel for good."""
        self.kernel = PartSum(tabulated(nn.Sequential(self.filters, nn.SiLU()), basis, cutoff))

    def forward(self, parts: Sequence[Tensor], edges: MatrixEdges) -> list[Tensor]:
        """Parts to parts."""
        radial = edges.radial
        if self.kernel is not None:
            envelope = radial.graph.spread(radial.envelope)
            sums = list(self.kernel(parts, edges.distances, envelope, radial.index))
        else:
            filters = functional.silu(self.filters(radial.expansion)) * radial.envelope[:, None]
            sums = [
                radial.filtered(part, weight) for part, weight in zip(parts, filters.chunk(3, dim=1), strict=True)
            ]
        if edges.at_zero is None:
            return sums
        own = functional.silu(self.filters(edges.at_zero)).chunk(3, dim=1)
        return [total + part * weight[:, None] for total, part, weight in zip(sums, parts, own, strict=True)]


class MatrixProducts(nn.Module):
    """The three steps of a layer between its maps of channels.

    Args:
        mirror: whether products keep parity, a (Y M + M Y), or do not, 2 Y M.
    """

    def __init__(self, mirror: bool):
        super().__init__()
        table = multiplication()  # of M and Y, in this order
        swapped = table.transpose(1, 0, 2)
        self.mirror = mirror
        self.product = BilinearProduct(swapped + (table if mirror else swapped))
        self.kernels: tuple[Normalize, Combine, Renew] | None = None

    def freeze(self) -> None:
        """Takes the fast kernels for good."""
        self.kernels = Normalize(), Combine(self.mirror), Renew()

    def normalize(self, parts: Sequence[Tensor]) -> Sequence[Tensor]:
        """X / (‖X‖² + 1)."""
        if self.kernels is not None:
            return self.kernels[0](parts)
        factor = 1.0 / (squared(parts)[:, None] + 1.0)
        return [part * factor for part in parts]

    def combine(self, m: Sequence[Tensor], y: Sequence[Tensor], growth: Tensor) -> Sequence[Tensor]:
        """The product C of M and Y as C / (‖C‖² + 1), a = `growth [atoms, 1, 1]`."""
        if self.kernels is not None:
            return self.kernels[1](m, y, growth)
        c = self.product(torch.cat(list(m), dim=1), torch.cat(list(y), dim=1))
        return self.normalize((c * growth if self.mirror else c).split(SIZES, dim=1))

    def renew(self, parts: Sequence[Tensor], change: Sequence[Tensor], growth: Tensor) -> Sequence[Tensor]:
        """X + ΔX + a ΔX²."""
        if self.kernels is not None:
            return self.kernels[2](parts, change, growth)
        joined = torch.cat(list(change), dim=1)
        square = (0.5 * growth * self.product(joined, joined)).split(SIZES, dim=1)
        return [x + dx + dx2 for x, dx, dx2 in zip(parts, change, square, strict=True)]
