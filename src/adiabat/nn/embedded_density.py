"""Embedded atom densities: squares of sums of neighbors' Gaussian orbitals, at a cost linear in the neighbors.

Zhang, Hu and Jiang, J. Phys. Chem. Lett. 10, 4962 (2019), doi:10.1021/acs.jpclett.9b02037.

ρ_nl = Σ_{a+b+c=l} l!/(a! b! c!) [Σ_j c_jn x^a y^b z^c exp(−α_n (r − r_n)²) f(r)]², with (x, y, z) from the center to
neighbor j and c, α and r_n of its element; it equals Σ_jk φ_jn φ_kn (r_j · r_k)^l, a sum of Legendre polynomials of
the angles between two neighbors. f is the square of the cosine cutoff.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.kernels.embedded_density import EmbeddedSums
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.radial_sum import RadialSum
from adiabat.kernels.tables import Table, tabulate
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.monomials import Monomials


@dataclass(frozen=True)
class Orbitals:
    """The orbitals of all pairs of a graph, made once for several sums over neighbors.

    Attributes:
        graph: the pairs.
        envelope: f `[pairs]`.
        radial: of the neighbor's element, times f `[pairs, waves]`.
        shapes: the monomials of the pair vectors times √(multinomials) `[pairs, monomials]`.
    """

    graph: Graph
    envelope: Tensor
    radial: Tensor
    shapes: Tensor

    def sums(self, coefficients: Tensor) -> Tensor:
        """ψ = Σ_j c_j φ_ij `[atoms, monomials, waves]` with the neighbors' coefficients `[atoms, waves]`."""
        rows = self.graph.rows()
        radial = self.radial * self.graph.of_neighbors(coefficients)
        return rows.contract(rows.pad(self.shapes[:, None]), rows.pad(radial[:, None]))

    def gathered(self, values: Tensor) -> Tensor:
        """Σ_j f_ij x_j of atoms' values `[atoms, width]`."""
        rows = self.graph.rows()
        sent = rows.pad(self.graph.of_neighbors(values)[:, None])
        return rows.contract(rows.pad(self.envelope[:, None, None]), sent)[:, 0]


@dataclass(frozen=True)
class FrozenOrbitals:
    """The same for a frozen model, from tables, without tensors of pairs and waves."""

    kernel: EmbeddedSums
    gather: RadialSum
    envelope: Tensor
    distances: Tensor
    vectors: Tensor
    kind: Tensor
    pairs: PairIndex

    def sums(self, coefficients: Tensor) -> Tensor:
        """As of `Orbitals`."""
        return self.kernel(self.vectors, coefficients, self.kind, self.pairs)

    def gathered(self, values: Tensor) -> Tensor:
        """As of `Orbitals`."""
        return self.gather(values, self.distances, self.envelope, self.pairs)


class EmbeddedDensity(nn.Module):
    """Sums of neighbors' orbitals and their squares.

    Args:
        kinds: number of elements.
        waves: Gaussians of each.
        l_max: highest power of the vectors' components.
        cutoff: Å.
        trained: whether c, α and r_s are parameters; buffers otherwise.

    Attributes:
        coefficients: c `[kinds, waves]`, 1 at first.
        exponents: α `[kinds, waves]`, Å⁻², at random between 0.2 and 1.2 at first, as in the program.
        centers: r_s `[kinds, waves]`, Å, at random up to the cutoff at first, as in the program.
    """

    coefficients: Tensor
    exponents: Tensor
    centers: Tensor
    roots: Tensor

    def __init__(self, kinds: int, waves: int, l_max: int, cutoff: float, trained: bool = True):
        super().__init__()
        self.cutoff, self.l_max = cutoff, l_max
        start = {
            "coefficients": torch.ones(kinds, waves),
            "exponents": 0.2 + torch.rand(kinds, waves),
            "centers": cutoff * torch.rand(kinds, waves),
        }
        for name, values in start.items():
            if trained:
                self.register_parameter(name, nn.Parameter(values))
            else:
                self.register_buffer(name, values)
        self.cosine = CosineCutoff(cutoff)
        self.monomials = Monomials(l_max)
        roots = torch.tensor(self.monomials.multinomials(), dtype=torch.float64).sqrt()
        self.register_buffer("roots", roots.to(torch.get_default_dtype()), persistent=False)
        ends = [(l + 1) * (l + 2) * (l + 3) // 6 for l in range(l_max + 1)]
        self.degrees = list(zip([0, *ends[:-1]], ends, strict=True))
        self.kernels: tuple[EmbeddedSums, RadialSum] | None = None

    def envelope(self, distances: Tensor) -> Tensor:
        """f, the cosine cutoff squared `[...]`, of distances `[...]`, Å."""
        return self.cosine(distances).square()

    def gaussians(self, distances: Tensor, kind: Tensor) -> Tensor:
        """exp(−α (r − r_s)²) `[pairs, waves]` of distances (Å) and places of the neighbors' elements, `[pairs]`."""
        away = distances[:, None] - self.centers.index_select(0, kind)
        return torch.exp(-self.exponents.index_select(0, kind) * away.square())

    def slopes(self, distances: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Gaussians times f, and their derivatives by the distance, Å⁻¹, both `[pairs, waves]`."""
        values = self.gaussians(distances, kind) * self.envelope(distances)[:, None]
        away = distances[:, None] - self.centers.index_select(0, kind)
        rate = pi / self.cutoff
        # of ln f = 4 ln cos(rate r / 2), which has no end at the cutoff, where f vanishes faster
        falls = -2.0 * rate * torch.tan((0.5 * rate * distances).clamp(max=0.5 * pi * (1.0 - 1e-7)))
        return values, values * (falls[:, None] - 2.0 * self.exponents.index_select(0, kind) * away)

    def orbitals(self, graph: Graph, vectors: Tensor, kind: Tensor) -> Orbitals | FrozenOrbitals:
        """Of all pairs, from their vectors `[pairs, 3]` (Å) and the places of the atoms' elements `[atoms]`."""
        distances = vectors.norm(dim=1)
        envelope = self.envelope(distances)
        if self.kernels is not None:
            return FrozenOrbitals(*self.kernels, envelope, distances, vectors, kind, PairIndex.of_graph(graph))
        radial = self.gaussians(distances, graph.of_neighbors(kind)) * envelope[:, None]
        return Orbitals(graph, envelope, radial, self.monomials(vectors) * self.roots)

    def of_elements(self, kind: Tensor) -> Tensor:
        """c of each atom's element `[atoms, waves]`."""
        return self.coefficients.index_select(0, kind)

    def densities(self, sums: Tensor) -> Tensor:
        """ρ_nl `[atoms, (l_max + 1) · waves]`, degree by degree, of ψ `[atoms, monomials, waves]`."""
        squares = sums.square()
        return torch.cat([squares[:, begin:end].sum(dim=1) for begin, end in self.degrees], dim=1)

    def mixed(self, sums: Tensor, mixing: Tensor) -> Tensor:
        """Σ_l ρ of the orbitals Σ_n w_lnm ψ_n `[atoms, m]`, `mixing` being w `[l_max + 1, waves, m]`."""
        parts = [(sums[:, a:b] @ mixing[l]).square().sum(dim=1) for l, (a, b) in enumerate(self.degrees)]
        return torch.stack(parts).sum(dim=0)

    def rescale(self, mean: Tensor) -> None:
        """Divides c by roots of the densities' means `[(l_max + 1) · waves]`, so that those of each wave are one."""
        size = mean.view(self.l_max + 1, -1).mean(dim=0).sqrt()
        with torch.no_grad():
            self.coefficients.div_(torch.where(size > 0, size, torch.ones_like(size)).to(self.coefficients))

    def freeze(self) -> None:
        """Makes the sums take their kernels, for good: Gaussians and cutoff become one piecewise polynomial."""
        exact, dtype = deepcopy(self).double(), self.roots.dtype
        kinds, waves = self.coefficients.shape

        def every(distances: Tensor) -> Tensor:
            places = [torch.full_like(distances, k, dtype=torch.int64) for k in range(kinds)]
            values = torch.cat([exact.gaussians(distances, place) for place in places], dim=1)
            return values * exact.envelope(distances)[:, None]

        table = tabulate(every, self.cutoff)
        ones = torch.zeros(1, 4, len(self.monomials.parents) * waves, dtype=dtype)
        ones[:, 0] = 1.0
        self.kernels = (
            EmbeddedSums(table.to(dtype), kinds, self.monomials, self.roots),
            RadialSum(Table(ones, 0.0, self.cutoff)),
        )
