"""NEP's descriptor: trained Chebyshev expansions of distances, and invariants of an atom's neighbor density.

Z. Fan et al., Phys. Rev. B 104, 104309 (2021), doi:10.1103/PhysRevB.104.104309; invariants of four and five atoms:
Z. Fan et al., J. Chem. Phys. 157, 114801 (2022), doi:10.1063/5.0106617. Programs whose numbers it gives: GPUMD and
calorine.

| paper | here | shape, unit |
|---|---|---|
| r_ij | `distances` | [pairs], Å |
| f_k(r_ij) | `ChebyshevPairFunctions.basis` | [pairs, basis], 1 |
| c^{IJ}_nk | `ChebyshevPairFunctions.coefficients` | [elements², channels, basis], 1 |
| g_n(r_ij) | `radial(u, kinds)`, `angular(u, kinds)` | [pairs, channels], 1 |
| A_nlm | `density` | [atoms, channels, l_max (l_max + 2)], 1 |
| q_n, q_nl, q_nl₁l₂l₃, q_n1111 | `from_vectors` | [atoms, size], 1 |

Departures from the paper: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.density_network import NAME, DensityFeatures, DensityRows
from adiabat.nn.chebyshev_pairs import ChebyshevPairFunctions
from adiabat.nn.constants import ConstantModule
from adiabat.nn.invariants import DensityInvariants, Triple, coupling
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.settings import Settings


class NEPOptions(Settings):
    """Options of the features; the defaults are GPUMD's."""

    cutoff: float = Field(default=8.0, gt=0.0)
    """Radius of the radial features, Å."""
    angular_cutoff: float = Field(default=4.0, gt=0.0)
    """Radius of the angular features, Å; at most `cutoff`."""
    element_cutoffs: dict[str, tuple[float, float]] = {}
    """Radial and angular radius (Å) of some elements; a pair's is the mean of its two."""
    channels: int = Field(default=5, ge=1)
    """Radial features, n_max + 1 in nep.in."""
    angular_channels: int = Field(default=5, ge=1)
    """Angular features of each kind, n_max + 1."""
    basis: int = Field(default=9, ge=1)
    """Chebyshev polynomials in a radial feature, basis_size + 1."""
    angular_basis: int = Field(default=9, ge=1)
    """Chebyshev polynomials in an angular feature."""
    l_max: int = Field(default=4, ge=0, le=8)
    """Highest degree of the three-body features; 0 for none."""
    four_body: tuple[Triple, ...] = ((2, 2, 2),)
    """Degrees of the four-body features: 222, 112, 123, 233 and 134 are GPUMD's."""
    five_body: bool = False
    """Whether there is a five-body feature of degrees 1111."""

    def radii(self, elements: Iterable[int]) -> np.ndarray:
        """Radial and angular radius of every pair of elements `[elements, elements, 2]`, Å."""
        own = {number(name): radii for name, radii in self.element_cutoffs.items()}
        rows = np.array([own.get(z, (self.cutoff, self.angular_cutoff)) for z in elements])
        return 0.5 * (rows[:, None] + rows[None])


class NEPDescriptorConfig(NEPOptions, DescriptorConfig):
    """NEP's features as a descriptor."""

    trained: ClassVar[bool] = True
    kind: Literal["nep"] = "nep"
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> NEPDescriptor:
        return NEPDescriptor(self, elements)


class NEPDescriptor(Descriptor, ConstantModule):
    """q_n = Σ_j g_n(r_ij), and the invariants of A_nlm = Σ_j g_n(r_ij) Y_lm(r_ij) (2022, sec. II).

    Args:
        options: what features there are.
        elements: atomic numbers.

    Raises ConfigError if options contradict each other.
    """

    radii: Tensor
    _frozen: DensityRows | None = None

    def __init__(self, options: NEPOptions, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        radii = options.radii(elements)
        _check(options, elements, radii)
        super().__init__(elements, float(radii.max()))
        self.register_constant("radii", radii.reshape(-1, 2))
        kinds, size = len(elements), options.channels
        self.radial, self.angular = ChebyshevPairFunctions(kinds, options.channels, options.basis), None
        if options.l_max:
            self.angular = ChebyshevPairFunctions(kinds, options.angular_channels, options.angular_basis)
            self.harmonics = SphericalHarmonics(options.l_max, "integral", normalize=False)
            self.invariants = DensityInvariants(options.l_max, options.four_body, options.five_body)
            size += options.angular_channels * self.invariants.count
        self.sizes = (size,) * kinds

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=graph.rows())

    def kinds(self, graph: Graph) -> Tensor:
        """Place of each pair's elements in tables of all pairs of elements `[pairs]`."""
        element = self.element[graph.system.numbers]
        return graph.of_centers(element) * len(self.elements) + graph.of_neighbors(element)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        """`[atoms, size]`: radial features, then the angular ones kind by kind."""
        kinds, distances = self.kinds(graph), vectors.norm(dim=1)
        reach = self.radii.index_select(0, kinds)
        features = graph.sum_over_neighbors(self.radial(distances / reach[:, 0], kinds))
        if self.angular is None:
            return features
        rows = graph.rows()
        harmonics = self.harmonics(vectors / distances[:, None])[:, None, 1:]
        g = self.angular(distances / reach[:, 1], kinds)
        density = rows.contract(rows.pad(g[:, None]), rows.pad(harmonics))
        return torch.cat((features, self.invariants(density).flatten(1)), dim=1)

    def rows(self) -> DensityRows:
        """The same features in C++ at the present coefficients; CapabilityError if this machine has no compiler."""
        return DensityRows(self.of_kernel(self.radii.new_ones(self.size)))

    def freeze(self) -> None:
        self._frozen = self.rows()

    def forward(self, graph: Graph) -> Tensor:
        return super().forward(graph) if self._frozen is None else self._frozen(*self.given(graph))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        if graph.pairs.device.type != "cpu" or available(NAME) is not None:
            return super().jacobian(graph)
        with torch.no_grad():
            rows, given = self.rows(), self.given(graph)
            return rows(*given), rows.jacobian(*given)

    def of_kernel(self, factor: Tensor) -> DensityFeatures:
        """What the fast kernel needs to make the same features times `factor [size]`."""
        kinds = len(self.elements)
        radii, radial = self.radii.view(kinds, kinds, 2), self.radial.grid(kinds)
        if self.angular is None:
            return DensityFeatures(radii, radial, radial, 0, factor)
        own, angular = self.invariants, self.angular.grid(kinds)
        products = [coupling(triple) for triple in own.triples]
        return DensityFeatures(radii, radial, angular, own.l_max, factor, own.triples, products, own.fives_place)


def _check(options: NEPOptions, elements: Sequence[int], radii: np.ndarray) -> None:
    if (radii[..., 1] > radii[..., 0]).any() or radii.min() <= 0.0:
        raise ConfigError(
            f"angular radii {radii[..., 1].tolist()} must lie between 0 and the radial {radii[..., 0].tolist()}."
        )
    for triple in options.four_body:
        a, b, c = triple
        if max(triple) > options.l_max or min(triple) < 1 or not abs(a - b) <= c <= a + b or sum(triple) % 2:
            raise ConfigError(
                f"four-body degrees {triple} need an even sum, a triangle and l_max of at least {max(triple)}."
            )
    if options.five_body and not options.l_max:
        raise ConfigError("five_body needs l_max of at least 1.")
    for name in options.element_cutoffs:
        if number(name) not in elements:
            names = ", ".join(symbol(z) for z in elements)
            raise ConfigError(f"element_cutoffs names {name}, which is not among the model's elements {names}.")
