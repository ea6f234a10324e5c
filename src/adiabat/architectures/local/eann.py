"""EANN: networks of each element on embedded atom densities with trained orbitals.

Y. Zhang, C. Hu and B. Jiang, J. Phys. Chem. Lett. 10, 4962 (2019), doi:10.1021/acs.jpclett.9b02037. Program whose
numbers it gives: EANN (github.com/zhangylch/EANN).

| paper | here | shape, unit |
|---|---|---|
| r_ij | `graph.vectors()` | [pairs, 3], Å |
| φ_{lxlylz}^{α,r_s} f_c | `density.orbitals(...)` | [pairs, waves], [pairs, monomials] |
| c_j | `density.coefficients` | [elements, waves], 1 |
| α, r_s | `density.exponents`, `density.centers` | [elements, waves], Å⁻², Å |
| ψ, sums over neighbors | `orbitals.sums(c)` | [atoms, monomials, waves], 1 |
| ρ_i | `features(graph)` | [atoms, (l_max + 1) · waves], 1 |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper, as in the program: f_c is the square of the cosine cutoff; c, α and r_s are trained with
the networks, whose activations have trained factors and whose layers are normalized. Ours: the size of c at first is
that where the training data's densities average one, not the inverse number of neighbors; output layers do not start
at zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import element_index
from adiabat.geometry import Graph
from adiabat.nn.embedded_density import EmbeddedDensity
from adiabat.nn.residual_networks import ResidualOptions
from adiabat.potential import ArchitectureConfig, AtomicPotential


class EANNConfig(ArchitectureConfig):
    """Options of EANN; the defaults are the program's."""

    method: Literal["eann"] = "eann"
    """Name of the architecture."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    waves: int = Field(default=6, ge=1)
    """Gaussian orbitals of each element."""
    l_max: int = Field(default=2, ge=0, le=4)
    """Highest power of the orbitals' angular part, L."""
    network: ResidualOptions = ResidualOptions(blocks=0, normalization="before")
    """The networks of the elements."""


class EANN(AtomicPotential):
    """E = Σ_i NN_{Z_i}(ρ_i)."""

    config: EANNConfig
    element: Tensor

    def __init__(self, config: EANNConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        kinds = len(self.elements)
        self.density = EmbeddedDensity(kinds, config.waves, config.l_max, config.cutoff)
        self.networks = config.network.build(kinds, (config.l_max + 1) * config.waves, 1)
        self.register_buffer("element", element_index(self.elements), persistent=False)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def features(self, graph: Graph) -> Tensor:
        """ρ of each atom `[atoms, (l_max + 1) · waves]`, degree by degree."""
        kind = self.element[graph.system.numbers]
        orbitals = self.density.orbitals(graph, graph.vectors(), kind)
        return self.density.densities(orbitals.sums(self.density.of_elements(kind)))

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.networks(self.features(graph), self.element[graph.system.numbers])[:, 0]

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the size of c: each wave's densities average one over the training atoms and degrees."""
        with torch.no_grad():
            rows = torch.cat([self.features(graph.to(dtype=self.dtype)) for graph in graphs])
            self.density.rescale(rows.mean(dim=0))

    def freeze(self) -> None:
        self.density.freeze()
