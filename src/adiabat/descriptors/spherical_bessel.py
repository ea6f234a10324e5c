"""Spherical Bessel descriptors (Kocer, Mason & Erturk, doi:10.1063/1.5086167 and doi:10.1063/1.5111045).

| paper | here | shape, unit |
|---|---|---|
| u_ln, the roots of j_l | `spherical_bessel_roots` | – |
| g_{n−l,l}(r) of the second paper | `bessel_combinations`, `bessel_table` | Å^(−3/2) |
| w_j | `densities`, `weights` | [sums, elements] |
| c_nlm = Σ_j w_j g_{n−l,l}(r_j) Y_lm(r_j) | `DensityExpansion`, one for each element | [atoms, elements, n, lm] |
| p_nl = Σ_m c_nlm², 0 ≤ l ≤ n ≤ n_max | `SphericalBessel` | [atoms, features] |

Radial functions are orthonormal in the sphere and vanish at the cutoff with their first and second derivatives, so
that there is no cutoff function. Neighbors are points, and the atom itself is not among them. Of degree l there are
n_max + 1 − l functions.

Features are those of the authors' program (sb_desc), n after n and l = 0..n in each, for each density:

- `weighted`: the sum over all neighbors, then, for several elements, the sum with a weight for each element. Their
  number does not grow with that of elements.
- `elements`: products of each pair of elements' densities, Σ_m c_a,nlm c_b,nlm with a ≤ b.

Departures from the papers: radial functions are tabulated (relative error below 10⁻⁹).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from scipy.special import spherical_jn
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.descriptors.density_expansion import DensityExpansion
from adiabat.descriptors.density_radial import RadialTable, tabulated
from adiabat.descriptors.density_spectrum import SpectrumDescriptor
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.density_power import Product
from adiabat.nn.spherical_bessel import bessel_combinations, spherical_bessel_roots


class SphericalBesselConfig(DescriptorConfig):
    """Options of spherical Bessel descriptors."""

    kind: Literal["spherical_bessel"] = "spherical_bessel"
    """Name of the descriptor."""
    n_max: int = Field(default=6, ge=0)
    """Largest n, which is the largest l too: (n_max + 1)(n_max + 2)/2 features for each density."""
    densities: Literal["weighted", "elements"] = "weighted"
    """How elements are told apart, see above."""
    weights: dict[str, float] = {}
    """Weight of each element in the second sum (weighted); empty: evenly from 1 to −1 in order of atomic numbers."""

    def build(self, elements: Iterable[int]) -> SphericalBessel:
        return SphericalBessel(self, elements)

    def sums(self, elements: tuple[int, ...]) -> np.ndarray:
        """Weights of the elements in each density `[sums, elements]`; ConfigError if one has none."""
        if not self.weights and len(elements) == 1:
            return np.ones((1, 1))
        given = {number(name): weight for name, weight in self.weights.items()}
        own = given or dict(zip(elements, np.linspace(1.0, -1.0, len(elements)), strict=True))
        missing = [symbol(z) for z in elements if z not in own]
        if missing:
            raise ConfigError(f"descriptor.weights has none for {', '.join(missing)}: add them, or leave all out.")
        return np.array([[1.0] * len(elements), [own[z] for z in elements]])


@lru_cache(maxsize=16)
def bessel_table(n_max: int, cutoff: float) -> RadialTable:
    """g_kl(r), k = n − l, channels k·(n_max + 1) + l; those with k + l > n_max are zero."""

    def values(r: np.ndarray) -> np.ndarray:
        out = np.zeros((len(r), n_max + 1, n_max + 1))
        for l in range(n_max + 1):
            count = n_max - l + 1
            roots = spherical_bessel_roots(l + 1, count + 1)[l]
            waves = spherical_jn(l, r[:, None] * roots / cutoff)
            out[:, :count, l] = waves @ bessel_combinations(l, count, cutoff)
        return out

    return tabulated(values, 40 + 4 * n_max, cutoff)


class SphericalBessel(Descriptor):
    """Power spectra of the neighbors' densities in spherical Bessel functions.

    Args:
        config: options.
        elements: atomic numbers.

    Attributes:
        spectrum: products of each pair of elements' densities.
        mixing: how much of each product is in each weighted density's `[sums, pairs of elements]`, or None.
    """

    mixing: Tensor | None

    def __init__(self, config: SphericalBesselConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        super().__init__(elements, config.cutoff)
        self.config = config
        kinds, n_max = len(elements), config.n_max
        ones, none = torch.ones(kinds), torch.zeros((kinds, kinds))
        table = bessel_table(n_max, config.cutoff)
        expansion = DensityExpansion(
            elements, table, n_max + 1, n_max, torch.arange(kinds), ones, none, config.cutoff, 0.0
        )
        both = list(combinations_with_replacement(range(kinds), 2))
        places = [(n - l, l) for n in range(n_max + 1) for l in range(n + 1)]
        terms = [Product(a * (n_max + 1) + k, b * (n_max + 1) + k, l, 1.0) for a, b in both for k, l in places]
        self.spectrum = SpectrumDescriptor(elements, config.cutoff, expansion, terms, normalize=False)
        mixing = None
        if config.densities == "weighted":
            sums = config.sums(self.elements)
            mixing = torch.tensor([[s[a] * s[b] * (1.0 if a == b else 2.0) for a, b in both] for s in sums])
        elif config.weights:
            raise ConfigError("descriptor.weights has no effect on densities of elements: leave it out.")
        self.register_buffer("mixing", mixing if mixing is None else mixing.double(), persistent=False)
        self.sizes = ((len(both) if mixing is None else len(mixing)) * len(places),) * kinds

    def freeze(self) -> None:
        self.spectrum.freeze()

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self._mixed(self.spectrum.from_vectors(vectors, graph))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        values, slopes = self.spectrum.jacobian(graph)
        return self._mixed(values), self._mixed(slopes)

    def _mixed(self, products: Tensor) -> Tensor:
        """Products of pairs of elements `[rows, pairs · n, ...]` as features `[rows, size, ...]`."""
        if self.mixing is None:
            return products
        found = products.unflatten(1, (self.mixing.shape[1], -1))
        mixed = self.mixing.to(products.dtype) @ found.flatten(2)
        return mixed.view(-1, self.mixing.shape[0], *found.shape[2:]).flatten(1, 2)
