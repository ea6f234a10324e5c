"""LODE: long-distance equivariants (Grisafi & Ceriotti, doi:10.1063/1.5128375).

| paper | here | shape, unit |
|---|---|---|
| V_a(r), one for each element a | `SmearedPowerLaw` around every atom of the element | Å^−p |
| ⟨a n l m; V_i⟩ | `PotentialExpansion` | [atoms, elements · n_max, (l_max + 1)²] |
| ⟨a n l m; ρ_i⟩ | `DensityExpansion`, as in `soap` | [atoms, elements · n_max, (l_max + 1)²] |
| ⟨ρ ⊗ V⟩ (Grisafi, Nigam & Ceriotti, doi:10.1039/d0sc04934d) | `products: multiscale` | [atoms, features] |
| ⟨V ⊗ V⟩ | `products: potential` | [atoms, features] |

The potential that all atoms of a structure make around an atom is projected on local functions, so that what is far
away shows near the atom. `multiscale` multiplies it by the density of the neighbors and of the atom itself: a linear
model on that has charge times potential among its features. With p = 1 features fall off as 1/r, with p = 6 as
dispersion does.

Systems periodic in three directions are summed in reciprocal space up to `reach`; with p = 1, 2, 3 the mean of each
element's potential is left out. Systems without periodicity are summed pair by pair without a cutoff. Coefficients
are those of featomic's LodeSphericalExpansion, and products have the factor (−1)^l / √(2l + 1) of its power spectra,
for `potential` also √2 where two elements differ.

Departures from the papers: radial functions are orthonormal x^n exp(−x²/2σ_n²) on all space, as in featomic, not
Gaussians inside a sphere. Power laws are sums of Gaussians (relative error 10⁻⁹), radial integrals are tabulated
(10⁻⁹ of the largest). A wave that leaves or enters `reach` as the cell changes makes a small step, of relative size
v̂(reach) / v̂(0): a larger reach makes it smaller.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi, sqrt
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig, slopes_of
from adiabat.descriptors.density_spectrum import PowerSpectrum
from adiabat.descriptors.potential_expansion import FarLinks, PotentialExpansion, chained
from adiabat.descriptors.soap import SOAPConfig
from adiabat.errors import CapabilityError
from adiabat.geometry import Graph
from adiabat.kernels.density_power import Product


class LODEConfig(DescriptorConfig):
    """Options of long-distance equivariants."""

    kind: Literal["lode"] = "lode"
    """Name of the descriptor."""
    products: Literal["multiscale", "potential"] = "multiscale"
    """multiscale: density times potential; potential: potential times potential."""
    exponent: int = Field(default=1, ge=0, le=9)
    """p of the potential 1/r^p; 0 stands for Gaussians of width `smearing`."""
    smearing: float = Field(default=1.0, gt=0.0)
    """σ within which the power law is smoothed, Å."""
    n_max: int = Field(default=4, ge=1)
    """Radial functions, which reach to about the cutoff."""
    l_max: int = Field(default=2, ge=0)
    """Highest degree of the spherical harmonics."""
    reach: float | None = Field(default=None, gt=0.0)
    """Largest wave number, Å⁻¹; None: 1.2 π / smearing."""
    center_weight: float = 1.0
    """Weight of the central atom's own potential."""
    sigma: float = Field(default=0.5, gt=0.0)
    """Width of the Gaussians of the density, Å (multiscale)."""
    width: float = Field(default=0.5, gt=0.0)
    """Width of the cosine that ends the density, Å (multiscale)."""

    def build(self, elements: Iterable[int]) -> LODE:
        return LODE(self, elements)

    def expansion(self, elements: Iterable[int]) -> PotentialExpansion:
        """What expands the potential of these atomic numbers."""
        reach = 1.2 * pi / self.smearing if self.reach is None else self.reach
        sizes = (self.n_max, self.l_max, self.cutoff)
        return PotentialExpansion(elements, *sizes, self.exponent, self.smearing, reach, self.center_weight)


class LODE(Descriptor):
    """Products of the potential around each atom with its neighbors' density or with itself.

    Args:
        config: options.
        elements: atomic numbers.
    """

    def __init__(self, config: LODEConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        super().__init__(elements, config.cutoff)
        self.config = config
        self.potential = config.expansion(elements)
        self.density = None
        if config.products == "multiscale":
            names = ("cutoff", "n_max", "l_max", "sigma", "width")
            options = {name: getattr(config, name) for name in names}
            self.density = SOAPConfig(convention="featomic", **options).build(elements).expansion
        terms = _terms(config, len(elements))
        channels = len(elements) * config.n_max * (1 if self.density is None else 2)
        self.spectrum = PowerSpectrum(terms, channels, config.l_max)
        self.sizes = (len(terms),) * len(elements)
        self._copies: dict[torch.dtype, LODE] = {}

    def check(self, graph: Graph) -> None:
        pbc = graph.system.pbc
        if bool((pbc.any(dim=1) & ~pbc.all(dim=1)).any()):
            raise CapabilityError(
                "LODE sums over all space with periodicity in three directions or none, not in one or two: give the"
                " third direction of a slab a long period."
            )
        if graph.owned is not None:
            raise CapabilityError("LODE needs whole systems, not parts of one: run it in a single domain.")

    def prepare(self, graph: Graph) -> Graph:
        return self.potential.prepare(graph)

    def forward(self, graph: Graph) -> Tensor:
        own = self._in_type_of(graph)
        if own is not self:
            return own(graph)
        found = self.potential(graph)
        if self.density is not None:
            found = torch.cat((self._of_density(graph.vectors(), graph), found), dim=1)
        return self.spectrum(found)

    def _in_type_of(self, graph: Graph) -> LODE:
        """This descriptor, or a copy: features are stored in float64 whatever the model's type is."""
        dtype = graph.system.positions.dtype
        if self.potential.law.rates.dtype == dtype:
            return self
        if dtype not in self._copies:
            self._copies[dtype] = LODE(self.config, self.elements).to(graph.system.positions)
        return self._copies[dtype]

    def _of_density(self, vectors: Tensor, graph: Graph) -> Tensor:
        assert self.density is not None
        return self.density.from_vectors(vectors, graph).flatten(1, 2)

    def links(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Pairs of neighbors (multiscale), pairs of atoms anywhere, atoms and their images along the cell vectors.

        Sums over waves depend on where other atoms are, whichever of their images is meant, and on the cell.
        """
        far = FarLinks(self.potential, graph)
        pairs, vectors = torch.cat((far.couples, far.images), dim=1), torch.cat((far.vectors, far.cells))
        if self.density is None:
            return pairs, vectors
        return torch.cat((graph.pairs, pairs), dim=1), torch.cat((graph.vectors().detach(), vectors))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        own = self._in_type_of(graph)
        if own is not self:
            return own.jacobian(graph)
        far, near = FarLinks(self.potential, graph), None
        with torch.enable_grad():
            vectors = graph.vectors().detach().requires_grad_()
            found = self.potential(graph).detach()
            if self.density is not None:
                density = self._of_density(vectors, graph)
                near = slopes_of(density.flatten(1), vectors)
                found = torch.cat((density.detach(), found), dim=1)
            shape = found.shape[1:]
            flat = found.flatten(1).requires_grad_()
            values = self.spectrum(flat.unflatten(1, shape))
            inner = slopes_of(values, flat)
        slopes = []
        if near is not None:
            slopes.append(chained(inner[:, :, : near.shape[1]], graph.centers, near))
        outer = inner[:, :, inner.shape[2] - self.potential.size :]
        own = outer.unflatten(2, (self.potential.channels, -1))
        of_couples = values.new_zeros((far.couples.shape[1], values.shape[1], 3))
        for rows, along in far.chunks(values.shape[1]):
            first, second = far.couples[:, rows]
            of_couples[rows] = torch.bmm(own[first, :, far.kinds[second]], along)
        slopes.append(of_couples)
        slopes.append(self._of_images(outer, far, of_couples))
        return values.detach(), torch.cat(slopes)

    def _of_images(self, outer: Tensor, far: FarLinks, of_couples: Tensor) -> Tensor:
        """Slopes of atoms' images `[images, size, 3]`, such that all links together give the slopes by strains."""
        size = outer.shape[1]
        strained = chained(outer, far.atoms, far.strained().flatten(2)).unflatten(2, (3, 3))
        moved = far.vectors[:, None, :, None] * of_couples[:, :, None, :]
        total = moved.new_zeros((outer.shape[0], size, 3, 3)).index_add(0, far.couples[0], moved)
        rest = (strained - total[far.atoms]).transpose(1, 2).flatten(2)  # [atoms, 3, size · 3]
        cells = far.cells.unflatten(0, (-1, 3))
        return torch.linalg.solve(cells.transpose(1, 2), rest).unflatten(2, (size, 3)).flatten(0, 1)


def _terms(config: LODEConfig, elements: int) -> list[Product]:
    """Features in the order of pairs of elements, l, n, n'; the density's channels stand before the potential's."""
    n_max, terms, shift = config.n_max, [], 0
    pairs = [(a, b) for a in range(elements) for b in range(a, elements)]
    if config.products == "multiscale":
        pairs, shift = [(a, b) for a in range(elements) for b in range(elements)], elements * n_max
    for a, b in pairs:
        root = sqrt(2.0) if a != b and not shift else 1.0
        for l in range(config.l_max + 1):
            factor = (-1) ** l * root / sqrt(2 * l + 1)
            places = [(a * n_max + n, shift + b * n_max + m) for n in range(n_max) for m in range(n_max)]
            terms += [Product(first, second, l, factor) for first, second in places]
    return terms
