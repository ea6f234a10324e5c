"""Chebyshev expansions of radial and angular distributions.

N. Artrith, A. Urban and G. Ceder, Phys. Rev. B 96, 014112 (2017), doi:10.1103/PhysRevB.96.014112; program whose
numbers it gives: aenet, doi:10.1016/j.commatsci.2015.11.047.

| paper | here | shape, unit |
|---|---|---|
| R_ij, θ_ijk | `r`, and its cosine in sums over pairs | [pairs], Å |
| R_c of the two distributions | `cutoff`, `angular_cutoff` | Å |
| f_c | `CosineCutoff` | 1 |
| T_α(2 R/R_c − 1) (eq. 5) | `radial` | [pairs, radial_order + 1] |
| w_t | `spins`, rows for ones and for the elements' weights | [sums, elements] |
| c_α^(2) = Σ_j w_j T_α(R_ij) f_c(R_ij) (eq. 6) | the first features of each sum | [atoms, radial_order + 1] |
| c_α^(3) = Σ_j<k w_j w_k T_α(cos θ) f_c(R_ij) f_c(R_ik) (eq. 7) | those behind them | [atoms, angular_order + 1] |

Features are those of all neighbors and then, for several elements, the same with weights: their number does not grow
with that of elements. Weights are …, −1, 1, … as in aenet (with 0 in the middle of an odd number of elements).

A Chebyshev polynomial of the cosine is a sum of Legendre polynomials, and these of products of harmonics (addition
theorem), so that no triplet of atoms is visited: T_α(cos θ_jk) = Σ_l b_αl Σ_m Y_lm(j) Y_lm(k). What the square of
a sum has of each neighbor with itself is taken away again.

Departures from the paper: T_α of the cosine, not of the angle, and each unordered pair of neighbors once, both as in
the program; the order of elements, which decides their weights, is that of atomic numbers unless `weights` has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import DescriptorConfig
from adiabat.descriptors.rows import RowDescriptor
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.chebyshev_sums import NAME, ChebyshevSums
from adiabat.nn.constants import ConstantModule
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.radial import ChebyshevBasis
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.settings import Settings


class ChebyshevOptions(Settings):
    """Options of the expansions, here and in `aenet`; the defaults are those of aenet's example for TiO2."""

    cutoff: float = Field(default=8.0, gt=0.0)
    """R_c of the radial distribution, Å."""
    radial_order: int = Field(default=16, ge=0)
    """Highest polynomial of the radial distribution."""
    angular_cutoff: float = Field(default=6.5, gt=0.0)
    """R_c of the angular distribution, Å, at most that of the radial one."""
    angular_order: int = Field(default=4, ge=0)
    """Highest polynomial of the angular distribution."""
    domain: Literal["cosine", "pi"] = "cosine"
    """Interval of the angular polynomials: −1 to 1, or 0 to π, which the program took for cosines until 2019."""
    weights: dict[str, float] = {}
    """w of each element; empty: …, −1, 1, … in the order of atomic numbers."""


class ChebyshevConfig(ChebyshevOptions, DescriptorConfig):
    """Chebyshev expansions as a descriptor."""

    kind: Literal["chebyshev"] = "chebyshev"
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> Chebyshev:
        return Chebyshev(self, elements)

    def spins(self, elements: tuple[int, ...]) -> list[float]:
        """w of these elements. Raises ConfigError if `weights` lacks one."""
        if not self.weights:
            return aenet_weights(len(elements))
        given = {number(name): weight for name, weight in self.weights.items()}
        missing = [symbol(z) for z in elements if z not in given]
        if missing:
            raise ConfigError(f"weights has none for {', '.join(missing)}: add them, or leave all out.")
        return [given[z] for z in elements]


def aenet_weights(kinds: int) -> list[float]:
    """The program's w of each of some elements: whole numbers around 0, which is left out of an even number."""
    half = kinds // 2
    return [float(w) for w in range(-half, half + 1) if w or kinds % 2]


def legendre_of_chebyshev(order: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """b with T_α = Σ_l b_αl P_l, α and l up to an order `[order + 1, order + 1]`; T is of low to high."""
    nodes, weights = np.polynomial.legendre.leggauss(order + 1)  # exact for products of two of them
    chebyshev = np.polynomial.chebyshev.chebvander((2.0 * nodes - low - high) / (high - low), order)
    legendre = np.polynomial.legendre.legvander(nodes, order)
    return np.einsum("na,nl,n,l->al", chebyshev, legendre, weights, np.arange(order + 1) + 0.5)


class Chebyshev(RowDescriptor, ConstantModule):
    """Coefficients of the radial and the angular distribution of neighbors.

    Args:
        config: options.
        elements: atomic numbers.

    Attributes:
        legendre: b_αl `[angular_order + 1, angular_order + 1]`.

    Raises ConfigError if the angular cutoff is the larger one.
    """

    library: ClassVar[str] = NAME
    spins: Tensor
    degrees: Tensor
    aligned: Tensor

    def __init__(self, config: ChebyshevConfig, elements: Iterable[int]):
        super().__init__({int(z) for z in elements}, config.cutoff)
        if config.angular_cutoff > config.cutoff:
            raise ConfigError(
                f"angular_cutoff {config.angular_cutoff} Å is larger than cutoff {config.cutoff} Å: make it smaller."
            )
        self.config = config
        kinds, order = len(self.elements), config.angular_order
        rows = [[1.0] * kinds, config.spins(self.elements)] if kinds > 1 else [[1.0]]
        self.register_constant("spins", np.array(rows))
        self.basis = ChebyshevBasis(config.radial_order + 1)
        self.cut, self.angular_cut = CosineCutoff(config.cutoff), CosineCutoff(config.angular_cutoff)
        self.harmonics = SphericalHarmonics(order, "norm")
        self.legendre = legendre_of_chebyshev(order, *((-1.0, 1.0) if config.domain == "cosine" else (0.0, pi)))
        self.register_constant("degrees", np.repeat(self.legendre, 2 * np.arange(order + 1) + 1, axis=1))
        self.register_constant("aligned", self.legendre.sum(axis=1))
        self.sizes = (len(rows) * (config.radial_order + order + 2),) * kinds

    def radial(self, distances: Tensor) -> Tensor:
        """T_α f_c of distances `[pairs]`, Å, to `[pairs, radial_order + 1]`."""
        return self.basis(2.0 * distances / self.cutoff - 1.0) * self.cut(distances)[:, None]

    def weights(self, graph: Graph, dtype: torch.dtype) -> Tensor:
        """w of the neighbor in each sum `[pairs, sums]`."""
        kinds = self.element[graph.system.numbers]
        return self.spins.to(dtype).T.index_select(0, graph.of_neighbors(kinds))

    def shapes(self, vectors: Tensor) -> Tensor:
        """Harmonics of the pairs' directions `[pairs, (angular_order + 1)²]`."""
        return self.harmonics(vectors.to(self.harmonics.scale.dtype)).to(vectors.dtype)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        r, weight = vectors.norm(dim=1), self.weights(graph, vectors.dtype)
        radial = graph.sum_over_neighbors(weight[:, :, None] * self.radial(r)[:, None])
        shares = weight * self.angular_cut(r)[:, None]
        density = graph.sum_over_neighbors(shares[:, :, None] * self.shapes(vectors)[:, None])
        alone = graph.sum_over_neighbors(shares.square())[:, :, None] * self.aligned.to(r.dtype)
        angular = 0.5 * (density.square() @ self.degrees.T.to(r.dtype) - alone)
        return torch.cat((radial, angular), dim=2).flatten(1)

    def made_kernel(self) -> ChebyshevSums:
        cutoffs = (self.config.cutoff, self.config.angular_cutoff)
        return ChebyshevSums(cutoffs, self.config.radial_order + 1, self._exact["spins"], self.legendre)
