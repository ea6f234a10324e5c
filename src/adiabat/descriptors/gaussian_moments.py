"""Gaussian moments: contractions of Cartesian moment tensors of the neighbors, with trained radial functions.

V. Zaverkin and J. Kästner, J. Chem. Theory Comput. 16, 5410 (2020), doi:10.1021/acs.jctc.0c00347; the numbers are
those of the program apax.

| paper | here | shape, unit |
|---|---|---|
| φ_s'(r) = (2b/π)^(1/4) exp(−b (r − γ_s')²), b = (N / r_max)² | `basis`, γ from r_min on | [pairs, basis], 1 |
| β_{Z_i,Z_j,s,s'} | `coefficients` | [elements², radial, basis], 1 |
| R_s = f_c Σ_s' β φ_s' / √N, f_c = ½ (1 + cos πr/r_max) | `radial` | [pairs, radial], 1 |
| Ψ_L,s = Σ_j R_s r̂ ⊗ … ⊗ r̂ | `moments` | [atoms, radial, 3, …], 1 |
| (Ψ_0)_r | all radial functions r | n |
| (Ψ_1)_ri (Ψ_1)_si, (Ψ_2)_rij (Ψ_2)_sij, (Ψ_3)_rijk (Ψ_3)_sijk | r ≤ s | n (n + 1)/2 each |
| (Ψ_2)_rij (Ψ_2)_sik (Ψ_2)_tjk | r ≤ s ≤ t | n (n + 1) (n + 2)/6 |
| (Ψ_1)_ri (Ψ_1)_sj (Ψ_2)_tij, (Ψ_3)_rijk (Ψ_3)_sijl (Ψ_2)_tkl | r ≤ s, all t | n² (n + 1)/2 each |
| (Ψ_3)_rijk (Ψ_2)_sij (Ψ_1)_tk | all r, s, t | n³ |

Departures from the paper: directions are r / (|r| + 10⁻⁵ Å) and features are in the program's order.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations_with_replacement, product
from math import pi, sqrt
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import DescriptorConfig
from adiabat.descriptors.gaussian_contractions import GaussianContractions, triples
from adiabat.descriptors.moments import MomentDescriptor
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.moment_tensors import Gaussians, MomentTensors
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.monomials import Monomials
from adiabat.nn.radial import GaussianBasis

OFFSET = 1e-5  # Å, added to distances in directions


class GaussianMomentsConfig(DescriptorConfig):
    """Options of Gaussian moments; the defaults are published ones."""

    trained: ClassVar[bool] = True
    kind: Literal["gaussian_moments"] = "gaussian_moments"
    """Name of the descriptor."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of the environments, Å (r_max)."""
    inner: float = Field(default=0.5, ge=0.0)
    """Center of the first Gaussian, Å (r_min)."""
    basis: int = Field(default=7, ge=1)
    """Gaussians in a radial function."""
    radial: int = Field(default=5, ge=1)
    """Radial functions; 5 give 360 features."""
    contractions: int = Field(default=8, ge=1, le=8)
    """How many of the eight kinds of contractions, in the order above."""

    def build(self, elements: Iterable[int]) -> GaussianMoments:
        return GaussianMoments(self, elements)


class GaussianMoments(MomentDescriptor):
    """Invariant contractions of Gaussian moments.

    Attributes:
        coefficients: β `[elements², radial, basis]`, 1; pairs of elements are (center, neighbor).
    """

    def __init__(self, config: GaussianMomentsConfig, elements: Iterable[int]):
        super().__init__(elements, config.cutoff)
        if config.inner >= config.cutoff:
            raise ConfigError(f"inner {config.inner} Å must be smaller than the cutoff {config.cutoff} Å.")
        self.config, kinds, count = config, len(self.elements), config.basis
        last = config.inner + (config.cutoff - config.inner) * (count - 1) / count
        self.basis = GaussianBasis(count, config.inner, last, width=config.cutoff / count / sqrt(2.0))
        self.smoothing = CosineCutoff(config.cutoff)
        self.size_of_basis = (2.0 * (count / config.cutoff) ** 2 / pi) ** 0.25 / sqrt(count)
        self._kernel: MomentTensors | None = None
        self.coefficients = nn.Parameter(torch.empty((kinds * kinds, config.radial, count)).uniform_(-1.0, 1.0))
        self.monomials = Monomials(3)
        place = {power: k for k, power in enumerate(self.monomials.powers)}
        for degree in (1, 2, 3):
            axes = product(range(3), repeat=degree)
            where = torch.tensor([place[tuple(a.count(k) for k in range(3))] for a in axes])  # type: ignore[index]
            self.register_buffer(f"components{degree}", where, persistent=False)
        n = config.radial
        both = torch.tensor(list(combinations_with_replacement(range(n), 2)))
        pairs = both[:, 0] * n + both[:, 1]
        self.register_buffer("pairs", pairs, persistent=False)
        self.register_buffer(
            "triples", torch.tensor([(r * n + s) * n + t for r, s, t in triples(n)]), persistent=False
        )
        lengths = [n, *(len(pairs),) * 3, n * (n + 1) * (n + 2) // 6, len(pairs) * n, len(pairs) * n, n**3]
        self.sizes = (sum(lengths[: config.contractions]),) * kinds

    def radial(self, r: Tensor, kinds: Tensor) -> Tensor:
        """R_s `[pairs, radial]` of distances (Å) and the places of the pairs' elements, both `[pairs]`."""
        basis = self.basis(r) * (self.smoothing(r) * self.size_of_basis)[:, None]
        return (self.coefficients.index_select(0, kinds) @ basis[:, :, None])[:, :, 0]

    def moments(self, vectors: Tensor, graph: Graph) -> list[Tensor]:
        """Ψ_0 to Ψ_3: `[atoms, radial]`, `[atoms, radial, 3]`, `[atoms, radial, 9]` and `[atoms, radial, 27]`."""
        r, rows = vectors.norm(dim=1), graph.rows()
        shapes = self.monomials(vectors / (r + OFFSET)[:, None])
        radial = self.radial(r, self.kinds(graph))
        every = rows.contract(rows.pad(radial[:, None]), rows.pad(shapes[:, None]))
        return [every[:, :, 0]] + [every.index_select(2, self.get_buffer(f"components{l}")) for l in (1, 2, 3)]

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        zero, one, two, three = self.moments(vectors, graph)
        n, pairs = self.config.radial, self.get_buffer("pairs")
        found = [zero]
        for moment in (one, two, three):
            found.append(torch.bmm(moment, moment.transpose(1, 2)).flatten(1).index_select(1, pairs))
        found += [made.flatten(1) for made in self._of_three(one, two, three, n)]
        return torch.cat(found[: self.config.contractions], dim=1)

    def _of_three(self, one: Tensor, two: Tensor, three: Tensor, n: int) -> list[Tensor]:
        """The four contractions of three moments, `[atoms, ...]` each."""
        pairs, turned = self.get_buffer("pairs"), two.transpose(1, 2)
        first = one[:, :, None, :, None] * one[:, None, :, None, :]  # ri sj
        square = two.unflatten(2, (3, 3)).transpose(2, 3).flatten(1, 2)  # (r, j) i
        second = torch.bmm(square, square.unflatten(1, (n, 3)).permute(0, 3, 1, 2).flatten(2))  # (r, j) (s, k)
        second = second.unflatten(2, (n, 3)).unflatten(1, (n, 3)).transpose(2, 3)  # r s j k
        cube = three.unflatten(2, (9, 3)).transpose(2, 3).flatten(1, 2)  # (r, k) ij
        third = torch.bmm(cube, cube.transpose(1, 2)).unflatten(2, (n, 3)).unflatten(1, (n, 3)).transpose(2, 3)
        made = [torch.bmm(part.flatten(3).flatten(1, 2), turned) for part in (second, first, third)]
        made = [made[0].flatten(1).index_select(1, self.get_buffer("triples"))] + [
            part.index_select(1, pairs) for part in made[1:]
        ]
        mixed = torch.bmm(cube, turned).unflatten(1, (n, 3)).transpose(2, 3).flatten(1, 2)  # (r, s) k
        return [*made, torch.bmm(mixed, one.transpose(1, 2))]

    def kernel(self) -> MomentTensors:
        centers, rates = self.basis.centers.tolist(), (0.5 / self.basis.widths.double().square()).tolist()
        form = Gaussians(tuple(centers), tuple(rates), self.cutoff, OFFSET, self.size_of_basis)
        if self._kernel is None or self._kernel.form != form:
            made = GaussianContractions(self.config.radial, self.config.contractions)
            basic = [(s, m) for s in range(self.config.radial) for m in range(len(self.monomials.powers))]
            tables = (basic, self.monomials.parents, made.products, made.scalars, made.numbers)
            self._kernel = MomentTensors(*tables, len(self.elements), form)
        return self._kernel
