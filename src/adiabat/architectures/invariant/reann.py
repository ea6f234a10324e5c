"""REANN: embedded atom densities whose orbital coefficients follow the neighbors' own densities, pass after pass.

Y. Zhang, J. Xia and B. Jiang, Phys. Rev. Lett. 127, 156002 (2021), doi:10.1103/PhysRevLett.127.156002; with
`equivariant` EquiREANN: Y. Wu et al., J. Phys. Chem. A 128, 11061 (2024), doi:10.1021/acs.jpca.4c06669.
Programs whose numbers it gives: REANN (github.com/zhangylch/REANN), EquiREANN (github.com/bjiangch/EquiREANN).

| paper | here | shape, unit |
|---|---|---|
| r_ij | `graph.vectors()` | [pairs, 3], Å |
| φ_{lxlylz}^{α,r_s} f_c | `orbitals` | [pairs, waves], [pairs, monomials] |
| c_j^t | `c`, at first `density.coefficients` | [atoms, waves], 1 |
| α, r_s | `density.exponents`, `density.centers` | [elements, waves], Å⁻², Å |
| ψ_i^t, sums over neighbors; Ψ_i^t | `psi`; `behind`, their sum up to t | [atoms, monomials, waves], 1 |
| d_lnm, orbital combinations | `mixing[t]` | [l_max + 1, waves, orbitals], 1 |
| ρ_i^t | `rho` | [atoms, orbitals], 1 |
| c^(t+1) − c^t = g(ρ^t) | `messages[t]` | [atoms, waves], 1 |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper, as in the program: a pass adds to the coefficients instead of replacing them; densities of
all degrees are added up for each orbital; f_c is the square of the cosine cutoff; each pass has orbital combinations
of its own, or all share one (`shared_mixing`, older versions). Ours: the size of c at first is that where the
training data's densities average one, not the inverse number of neighbors; output layers do not start at zero. What
EquiREANN adds to the orbitals of pairs is summed in atoms, not kept for pairs, which is the same by linearity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import element_index
from adiabat.geometry import Graph
from adiabat.nn.embedded_density import EmbeddedDensity
from adiabat.nn.residual_networks import ResidualOptions
from adiabat.potential import ArchitectureConfig, AtomicPotential


class REANNConfig(ArchitectureConfig):
    """Options of REANN; the defaults are the program's, with the passes of the paper."""

    method: Literal["reann"] = "reann"
    """Name of the architecture."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    waves: int = Field(default=6, ge=1)
    """Gaussian orbitals of each element."""
    l_max: int = Field(default=2, ge=0, le=4)
    """Highest power of the orbitals' angular part, L."""
    orbitals: int | None = Field(default=None, ge=1)
    """Combinations of the orbitals; null for (l_max + 1) waves (waves + 1) / 2."""
    passes: int = Field(default=3, ge=0)
    """How often the coefficients follow the densities, T; 0 for embedded atom densities alone."""
    shared_mixing: bool = False
    """Whether all passes combine orbitals alike."""
    equivariant: bool = False
    """Whether the neighbors' summed orbitals are added to the pairs' (EquiREANN)."""
    network: ResidualOptions = ResidualOptions()
    """The networks that give energies."""
    message: ResidualOptions = ResidualOptions()
    """The networks that give changes of coefficients."""


class REANN(AtomicPotential):
    """E = Σ_i NN_{Z_i}(ρ_i^T), with c^(t+1) = c^t + g_{Z_i}^t(ρ_i^t)."""

    config: REANNConfig
    element: Tensor

    def __init__(self, config: REANNConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        kinds, waves, levels = len(self.elements), config.waves, config.l_max + 1
        count = config.orbitals or levels * waves * (waves + 1) // 2
        self.density = EmbeddedDensity(kinds, waves, config.l_max, config.cutoff)
        first = nn.init.orthogonal_(torch.empty(waves, count))
        sets = 1 if config.shared_mixing else config.passes + 1
        self.mixing = nn.Parameter(first.repeat(sets, levels, 1, 1))
        self.messages = nn.ModuleList(config.message.build(kinds, count, waves) for _ in range(config.passes))
        self.networks = config.network.build(kinds, count, 1)
        self.register_buffer("element", element_index(self.elements), persistent=False)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def features(self, graph: Graph) -> Tensor:
        """ρ of each atom after the last pass `[atoms, orbitals]`."""
        kind = self.element[graph.system.numbers]
        orbitals = self.density.orbitals(graph, graph.vectors(), kind)
        mixing = self.mixing.expand(len(self.messages) + 1, -1, -1, -1)
        c = self.density.of_elements(kind)
        psi = orbitals.sums(c)
        rho = self.density.mixed(psi, mixing[0])
        behind = torch.zeros_like(psi)
        for t, message in enumerate(self.messages, start=1):
            c, behind = c + message(rho, kind), behind + psi
            psi = orbitals.sums(c)
            if self.config.equivariant:
                sent = (behind * c[:, None]).flatten(1)
                psi = psi + orbitals.gathered(sent).view_as(psi)
            rho = self.density.mixed(psi, mixing[t])
        return rho

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.networks(self.features(graph), self.element[graph.system.numbers])[:, 0]

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the size of c: each wave's densities average one over the training atoms and degrees."""
        density, rows = self.density, []
        with torch.no_grad():
            for graph in (graph.to(dtype=self.dtype) for graph in graphs):
                kind = self.element[graph.system.numbers]
                orbitals = density.orbitals(graph, graph.vectors(), kind)
                rows.append(density.densities(orbitals.sums(density.of_elements(kind))))
            density.rescale(torch.cat(rows).mean(dim=0))

    def freeze(self) -> None:
        self.density.freeze()
