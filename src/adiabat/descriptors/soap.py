"""SOAP: smooth overlap of atomic positions (Bartók, Kondor & Csányi, doi:10.1103/PhysRevB.87.184115).

| paper | here | shape, unit |
|---|---|---|
| ρ_i (eq. 21) | a Gaussian of width `sigma` (Å) on every neighbor and on the atom itself | – |
| c_nlm (eq. 28) | `DensityExpansion` | [atoms, channels, n_max, (l_max + 1)²] |
| p_nn'l (eq. 35) | `PowerSpectrum` | [atoms, features] |

Three programs compute it, each with bases, factors and an order of its own; `convention` chooses one of them:

- `quip`: QUIP, the original (GPL-2, used by GAP potentials): p / √(2l + 1), √2 where two channels differ, normalized;
  the last feature is a constant 0. Features: pairs of (element, n) ≥ (element', n'), l fastest.
- `dscribe`: DScribe (doi:10.1063/5.0151031): p · π √(8 / (2l + 1)), each unordered pair of (element, n) once; order:
  pairs of elements, l, n, n'. No cutoff function: Neighbors count until their
  Gaussian is 10⁻³ at the cutoff, where they end at once.
- `featomic`: featomic (doi:10.1063/5.0044689), Gaussians normalized to ∫ρ² = 1: p (−1)^l / √(2l + 1), √2 where two
  elements differ; order: pairs of elements, l, n, n', for equal elements too.

Departures from the paper: radial integrals are tabulated (relative error below 10⁻⁹). Compressed spectra are
those of Darby et al., doi:10.1038/s41524-022-00847-y: `mu2` sums the density over elements (with weights if given),
`mu1nu1` couples each element's density to that sum, `crossover` leaves out pairs of different elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log, pi, sqrt
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import DescriptorConfig
from adiabat.descriptors.density_expansion import DensityExpansion, Weighting
from adiabat.descriptors.density_radial import SMALLEST, Basis, radial_table
from adiabat.descriptors.density_spectrum import SpectrumDescriptor
from adiabat.elements import number
from adiabat.errors import ConfigError
from adiabat.kernels.density_power import Product

Convention = Literal["quip", "dscribe", "featomic"]
_BASES: Mapping[Convention, tuple[Basis, ...]] = {
    "quip": ("gaussians",),
    "dscribe": ("gto", "polynomial"),
    "featomic": ("powers",),
}


class SOAPConfig(DescriptorConfig):
    """Options of a SOAP power spectrum; the defaults are those of QUIP with the sizes usual for GAP."""

    kind: Literal["soap"] = "soap"
    """Name of the descriptor."""
    convention: Convention = "quip"
    """Whose basis, factors and order of features: quip, dscribe or featomic."""
    basis: Basis | None = None
    """Radial functions: gaussians (quip), gto or polynomial (dscribe), powers (featomic); None: the first there."""
    n_max: int = Field(default=8, ge=1)
    """Radial functions."""
    l_max: int = Field(default=8, ge=0)
    """Highest degree of the spherical harmonics."""
    sigma: float = Field(default=0.5, gt=0.0)
    """Width of an atom's Gaussian, Å."""
    width: float = Field(default=0.5, ge=0.0)
    """Width of the cosine that ends the neighborhood, Å; not used by dscribe, which has none."""
    center_weight: float = 1.0
    """Weight of the central atom's own Gaussian."""
    center_everywhere: bool = False
    """Add the central atom's Gaussian to every element's density instead of its own element's."""
    weighting: Weighting | None = None
    """How neighbors' weights fall off with distance; None: they do not."""
    compression: Literal["off", "mu2", "mu1nu1", "crossover"] = "off"
    """Which pairs of elements are kept, see above."""
    species: tuple[int | str, ...] = ()
    """Elements whose atoms count as neighbors; empty: all."""
    element_weights: dict[str, float] = {}
    """Weights of the elements in the sum of mu2; others weigh 1."""
    normalize: bool = True
    """Features of length 1 (quip)."""
    exponent: float = Field(default=10.0, gt=0.0)
    """QUIP's basis_error_exponent, which sets how far its radial functions reach."""

    def build(self, elements: Iterable[int]) -> SOAP:
        return SOAP(self, elements)

    @property
    def functions(self) -> Basis:
        """The radial functions; ConfigError if the convention does not have them."""
        known = _BASES[self.convention]
        if self.basis is not None and self.basis not in known:
            raise ConfigError(f"descriptor.basis '{self.basis}' is not one of {self.convention}: {', '.join(known)}.")
        return self.basis or known[0]


class SOAP(SpectrumDescriptor):
    """Power spectrum of the neighbor density.

    Args:
        config: options.
        elements: atomic numbers.

    Attributes:
        expansion: makes the density's coefficients.
        spectrum: makes products of them.
    """

    def __init__(self, config: SOAPConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        smooth = config.convention != "dscribe"
        reach = config.cutoff if smooth else config.cutoff + config.sigma * sqrt(-2.0 * log(SMALLEST))
        channel, share, center = _channels(config, elements)
        total = config.compression == "mu1nu1"
        table = radial_table(
            config.functions, config.n_max, config.l_max, config.sigma, config.cutoff, reach, config.exponent
        )
        expansion = DensityExpansion(
            elements,
            table,
            config.n_max,
            config.l_max,
            channel,
            share,
            center,
            config.cutoff,
            config.width if smooth else 0.0,
            config.weighting,
            total,
        )
        quip = config.convention == "quip"
        terms = _terms(config, len(center) + total)
        super().__init__(elements, reach, expansion, terms, quip and config.normalize, constant=quip)
        self.config = config


def _channels(config: SOAPConfig, elements: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Channel and weight of each element `[elements]`, and weights of the central atom `[channels, elements]`."""
    species = [number(s) for s in config.species] or list(elements)
    one = config.compression == "mu2"
    weights = {number(name): weight for name, weight in config.element_weights.items()}
    if weights and not one:
        raise ConfigError("descriptor.element_weights has no effect without compression mu2: leave it out.")
    share = torch.tensor([weights.get(z, 1.0) * (z in species) for z in elements], dtype=torch.float64)
    channel = torch.tensor([0 if one or z not in species else species.index(z) for z in elements])
    center = torch.zeros((1 if one else len(species), len(elements)), dtype=torch.float64)
    center[channel, torch.arange(len(elements))] = share
    if config.center_everywhere:
        center = torch.ones_like(center)
    own = 1.0
    if config.weighting is not None and config.convention == "dscribe":
        own = float(config.weighting(torch.zeros(1, dtype=torch.float64)))
    scale = (pi * config.sigma**2) ** -0.75 if config.convention == "featomic" else 1.0
    return channel, share * scale, center * (scale * config.center_weight * own)


def _terms(config: SOAPConfig, channels: int) -> list[Product]:
    """The features in the order of the convention."""
    n_max, degrees = config.n_max, range(config.l_max + 1)
    if config.convention == "quip":
        if config.compression not in ("off", "mu2"):
            raise ConfigError(f"descriptor.compression '{config.compression}' is not one of quip's: off or mu2.")
        both = [(a, b) for a in range(channels * n_max) for b in range(a + 1)]
        root = sqrt(2.0)
        return [Product(a, b, l, (1.0 if a == b else root) / sqrt(2 * l + 1)) for a, b in both for l in degrees]
    ours = config.convention == "dscribe"
    if config.compression == "mu1nu1":
        pairs = [(k, channels - 1) for k in range(channels - 1)]
    else:
        pairs = [(j, k) for j in range(channels) for k in range(j, channels)]
        pairs = [(j, k) for j, k in pairs if j == k or config.compression == "off"]
    terms = []
    for j, k in pairs:
        for l in degrees:
            own = (-1) ** l * sqrt(1.0 if j == k else 2.0)
            factor = pi * sqrt(8.0 / (2 * l + 1)) if ours else own / sqrt(2 * l + 1)
            for n in range(n_max):
                begin = n if ours and j == k else 0
                terms += [Product(j * n_max + n, k * n_max + m, l, factor) for m in range(begin, n_max)]
    return terms
