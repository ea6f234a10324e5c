"""soap_turbo: SOAP of densities that separate into a radial and an angular part.

M. A. Caro, Phys. Rev. B 100, 024112 (2019), doi:10.1103/PhysRevB.100.024112.

| paper | here | shape, unit |
|---|---|---|
| σ_∥(r) = σ_r + a_r r, σ_⊥(r) = σ_t + a_t r | `sigma_r`, `sigma_r_scaling`, `sigma_t`, `sigma_t_scaling` | Å |
| exp(−(x − r)²/2σ_∥²) exp(−r² (1 − cos γ)/σ_⊥²) | the density of a neighbor at r, times A(r) | – |
| c_nlm | `DensityExpansion` with the table of `separable_radial` | [atoms, elements, n_max, (l_max + 1)²] |
| p_nn'l | `SpectrumDescriptor` | [atoms, features], 1 |

Features: pairs of (element, n) ≤ (element', n'), l fastest, √2 where they differ, normalized. These are the numbers
of QUIP and TurboGAP (the program soap_turbo), whose names are in brackets below.

Departures from the paper: integrals are tabulated (relative error below 10⁻⁹) and none is left out where it is
small. The program leaves out the tail in the filtered shell of a Gaussian that is 4 σ away from it, which makes steps
of some 10⁻⁷ in the features, and a term of the integrals over that shell, which changes features by up to 10⁻⁷ with
its default filter of 4 and 10⁻⁵ and more with one of 2; `skip` 4 and `ending` false do so, too, for parity.

Compression: `trivial` keeps the products in which one side is an element's first radial function (that of published
potentials); `a_b` those of doi:10.1038/s41524-022-00847-y: a of the two sides resolve distances and b elements, and
what they do not resolve is summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import DescriptorConfig
from adiabat.descriptors.density_expansion import DensityExpansion
from adiabat.descriptors.density_spectrum import SpectrumDescriptor
from adiabat.descriptors.separable_radial import SeparableDensity, separable_table
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError
from adiabat.kernels.density_power import Product

MOST = {"poly3": 10, "poly3gauss": 11}  # functions that float64 can tell apart
PerElement = float | dict[str, float]


class SOAPTurboConfig(DescriptorConfig):
    """Options of soap_turbo; what is for each element is one number or a table such as {H: 0.4, O: 0.5}."""

    kind: Literal["soap_turbo"] = "soap_turbo"
    """Name of the descriptor."""
    n_max: int | dict[str, int] = 8
    """Radial functions, for each element (alpha_max)."""
    l_max: int = Field(default=8, ge=0)
    """Highest degree of the spherical harmonics."""
    width: float = Field(default=0.5, gt=0.0)
    """Width of the shell before the cutoff in which the density is filtered, Å (rcut_hard − rcut_soft)."""
    filter: float = Field(default=4.0, gt=0.0)
    """How many standard deviations of the filter, a Gaussian, the shell holds (nf)."""
    sigma_r: PerElement = 0.5
    """Radial width of an atom's Gaussian, Å, for each element (atom_sigma_r)."""
    sigma_t: PerElement = 0.5
    """Its width across, Å, for each element (atom_sigma_t)."""
    sigma_r_scaling: PerElement = 0.0
    """Growth of the radial width with distance, for each element (atom_sigma_r_scaling)."""
    sigma_t_scaling: PerElement = 0.0
    """Growth of the width across with distance, for each element (atom_sigma_t_scaling)."""
    amplitude_scaling: PerElement = 1.0
    """Power of 1 − 3r² + 2r³ in a neighbor's amplitude, for each element; 0 leaves a step at the cutoff."""
    center_weight: PerElement = 1.0
    """Weight of the central atom's own Gaussian, for each element (central_weight)."""
    radial_enhancement: Literal[0, 1, 2] = 1
    """Power of the distance in amplitudes, averaged over the Gaussian."""
    basis: Literal["poly3", "poly3gauss"] = "poly3gauss"
    """Radial functions: poly3, powers of 1 − x/r_c; poly3gauss, the last replaced by a Gaussian at the center."""
    skip: float | None = Field(default=None, ge=0.0)
    """How many radial widths before the shell a neighbor's tail in it is left out (the program: 4); None: never."""
    ending: bool = True
    """Whether integrals over the shell have their term at the cutoff (the program: false)."""
    compression: Literal["off", "trivial", "0_0", "0_1", "0_2", "1_0", "1_1", "1_2", "2_0", "2_1", "2_2"] = "trivial"
    """Which products are kept, see above (compress_mode)."""
    species: tuple[int | str, ...] = ()
    """Elements whose atoms count as neighbors, in the order of the features; empty: all, ascending (species_Z)."""

    def build(self, elements: Iterable[int]) -> SOAPTurbo:
        return SOAPTurbo(self, elements)

    def of(self, name: str, element: int) -> float:
        """The value of an option for an element; ConfigError if it has none."""
        given = getattr(self, name)
        if not isinstance(given, Mapping):
            return given
        named = {number(key): value for key, value in given.items()}
        if element not in named:
            raise ConfigError(f"descriptor.{name} has no value for {symbol(element)}: add it, or give one for all.")
        return named[element]

    def density(self, element: int) -> SeparableDensity:
        """What an element's atoms are; ConfigError if that is out of range."""
        names = ("sigma_r", "sigma_t", "sigma_r_scaling", "sigma_t_scaling", "amplitude_scaling")
        own = {name: self.of(name, element) for name in names}
        count, most = self.of("n_max", element), MOST[self.basis]
        if not 1 <= count <= most:
            raise ConfigError(f"descriptor.n_max is {count}, but {self.basis} can have 1 to {most} radial functions.")
        for name in ("sigma_r", "sigma_t"):
            begin, end = own[name], own[name] + own[f"{name}_scaling"] * self.cutoff
            if min(begin, end) <= 0.0:
                raise ConfigError(f"descriptor.{name} goes from {begin} Å to {end} Å, and must stay positive.")
        if own["amplitude_scaling"] < 0.0:
            raise ConfigError(f"descriptor.amplitude_scaling {own['amplitude_scaling']} must not be negative.")
        if self.width >= self.cutoff:
            raise ConfigError(f"descriptor.width {self.width} Å must be smaller than the cutoff {self.cutoff} Å.")
        gauss, rest = self.basis == "poly3gauss", (self.cutoff, self.width, self.filter)
        return SeparableDensity(
            int(count), gauss, self.radial_enhancement, *rest, **own, skip=self.skip, ending=self.ending
        )


class SOAPTurbo(SpectrumDescriptor):
    """Power spectrum of separable densities.

    Args:
        config: options.
        elements: atomic numbers.
    """

    def __init__(self, config: SOAPTurboConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        species = [number(s) for s in config.species] or elements
        densities = [config.density(z) for z in species]
        share = torch.tensor([float(z in species) for z in elements], dtype=torch.float64)
        channel = torch.tensor([species.index(z) if z in species else 0 for z in elements])
        center = torch.zeros((len(species), len(elements)), dtype=torch.float64)
        weights = torch.tensor([config.of("center_weight", z) for z in species], dtype=torch.float64)
        center[channel, torch.arange(len(elements))] = weights[channel] * share
        counts = [density.n_max for density in densities]
        table, origin = separable_table(densities, config.l_max)
        sizes = (max(counts), config.l_max)
        filters = (config.cutoff, 0.0, None, False)
        expansion = DensityExpansion(elements, table, *sizes, channel, share, center, *filters, origin)
        if config.compression in ("off", "trivial"):
            terms, sums = _terms(counts, config.l_max, config.compression == "trivial"), None
        else:
            terms, sums = _compressed(counts, config.l_max, config.compression)
        super().__init__(elements, config.cutoff, expansion, terms, normalize=True, sums=sums)
        self.config = config


def _terms(counts: Sequence[int], l_max: int, trivial: bool) -> list[Product]:
    """All products, or those with an element's first radial function on one side."""
    n_max = max(counts)
    rows = [place * n_max + n for place, count in enumerate(counts) for n in range(count)]
    both = [(a, b) for k, a in enumerate(rows) for b in rows[k:]]
    if trivial:
        both = [(a, b) for a, b in both if a % n_max == 0 or b % n_max == 0]
    return [Product(a, b, l, 1.0 if a == b else sqrt(2.0)) for a, b in both for l in range(l_max + 1)]


def _compressed(counts: Sequence[int], l_max: int, mode: str) -> tuple[list[Product], Tensor]:
    """Products of sums, and the sums `[sums, elements · n_max]`."""
    if len(set(counts)) > 1:
        raise ConfigError(f"descriptor.compression '{mode}' needs the same n_max for all elements, not {counts}.")
    kinds, n_max = len(counts), counts[0]
    distances, elements = (int(word) for word in mode.split("_"))

    def side(least: int) -> np.ndarray:
        own = np.eye(kinds) if elements >= least else np.ones((1, kinds))
        return np.kron(own, np.eye(n_max) if distances >= least else np.ones((1, n_max)))

    sums = [side(1)] if elements != 1 and distances != 1 else [side(1), side(2)]
    begin, first, last = kinds * n_max, len(sums[0]), len(sums[-1])
    both = [(a, b) for a in range(first) for b in range(last) if len(sums) == 2 or a <= b]
    shift = begin + first if len(sums) == 2 else begin
    terms = [
        Product(begin + a, shift + b, l, sqrt(2.0) if len(sums) == 1 and a != b else 1.0)
        for a, b in both
        for l in range(l_max + 1)
    ]
    return terms, torch.from_numpy(np.concatenate(sums))
