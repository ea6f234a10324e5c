"""EAM: the embedded-atom method, and Finnis-Sinclair potentials, from tables.

M. S. Daw and M. I. Baskes, Phys. Rev. B 29, 6443 (1984), doi:10.1103/PhysRevB.29.6443; densities that depend on both
atoms: M. W. Finnis and J. E. Sinclair, Philos. Mag. A 50, 45 (1984), doi:10.1080/01418618408244210, and G. J. Ackland
and V. Vitek, Phys. Rev. B 41, 10324 (1990), doi:10.1103/PhysRevB.41.10324. Program whose numbers it gives: LAMMPS
(eam/alloy, eam/fs); its files, called setfl, are read and written by `adiabat.nn.setfl`.

| paper | here | shape, unit |
|---|---|---|
| R_ij | `distances` | [pairs], Å |
| ρ_j(R) or ρ_ij(R) | `density` | [elements or their ordered pairs, points], file's unit |
| ρ_h,i = Σ_j ρ_j(R_ij) | `host` | [atoms], file's unit |
| F_i(ρ) | `embedding` | [elements, points], eV |
| R φ_ij(R) | `pair` | [pairs of elements, points], eV Å |
| E_i = F_i(ρ_h,i) + ½ Σ_j φ_ij(R_ij) | `atomic_energies` | [atoms], eV |

Departures from the papers: functions are cubic polynomials between the points of the file, and F goes on as a line
beyond the last one, both as in LAMMPS. Its energy and forces are as continuous at the cutoff as the file's tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import element_index
from adiabat.elements import symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.hermite_table import HermiteTable
from adiabat.nn.pair_law import PairKinds
from adiabat.nn.setfl import Setfl, read_setfl
from adiabat.potential import ArchitectureConfig, AtomicPotential


class EAMConfig(ArchitectureConfig):
    """Options of the embedded-atom method: a file, or the sizes of tables that a checkpoint fills."""

    method: Literal["eam"] = "eam"
    """Name of the architecture."""
    file: str | None = None
    """A .eam.alloy or .eam.fs file, read once when the potential is made; the checkpoint holds its tables."""
    finnis_sinclair: bool = False
    """Whether densities depend on both elements (eam/fs); what follows is found in the file."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    distances: int = Field(default=0, ge=0)
    """Points of the functions of distance."""
    distance_step: float = Field(default=0.01, gt=0.0)
    """Å between them."""
    densities: int = Field(default=0, ge=0)
    """Points of the embedding functions."""
    density_step: float = Field(default=0.01, gt=0.0)
    """Density between them, in the file's unit."""


class EAM(AtomicPotential):
    """E = Σ_i F_i(Σ_j ρ_j(R_ij)) + ½ Σ_j φ_ij(R_ij)."""

    config: EAMConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True
    element: Tensor

    @classmethod
    def own_elements(cls, config: EAMConfig) -> tuple[int, ...]:
        return () if config.file is None else read_setfl(config.file).elements

    def __init__(self, config: EAMConfig, elements: Iterable[int]):
        found = None if config.file is None else read_setfl(config.file)
        if found is not None:
            config = _described(found)
        super().__init__(config, elements, config.cutoff)
        if min(config.distances, config.densities) < 5:
            raise ConfigError("eam needs tables: give `file`, a .eam.alloy or .eam.fs file.")
        kinds = len(self.elements)
        sources = kinds**2 if config.finnis_sinclair else kinds
        self.embedding = HermiteTable(kinds, config.densities, config.density_step, extended=True)
        self.density = HermiteTable(sources, config.distances, config.distance_step)
        self.pair = HermiteTable(kinds * (kinds + 1) // 2, config.distances, config.distance_step)
        self.kinds = PairKinds(self.elements)
        self.register_buffer("element", element_index(self.elements), persistent=False)
        if found is not None:
            self.set_tables(found)

    def set_tables(self, tables: Setfl) -> None:
        """Takes the tables of a file for this potential's elements. Raises ConfigError if it lacks one."""
        if missing := [z for z in self.elements if z not in tables.elements]:
            known = ", ".join(symbol(z) for z in tables.elements)
            raise ConfigError(f"the file has no tables of {symbol(missing[0])}: it knows {known}.")
        own = [tables.elements.index(z) for z in self.elements]
        self.embedding.set_values(tables.embedding[own])
        rows = tables.density[own]
        self.density.set_values(rows[:, own].reshape(-1, rows.shape[-1]) if tables.finnis_sinclair else rows[:, 0])
        self.pair.set_values(tables.pair[own][:, own][np.triu_indices(len(own))])

    def tables(self) -> Setfl:
        """The tables as a file has them."""
        kinds, config = len(self.elements), self.config
        pair = self.pair.exact()
        whole = pair[self.kinds.table.reshape(119, 119)[list(self.elements)][:, list(self.elements)]]
        density = self.density.exact().reshape(kinds, kinds if config.finnis_sinclair else 1, -1)
        steps = config.distance_step, config.density_step
        own = self.elements, config.cutoff, *steps
        return Setfl(*own, self.embedding.exact(), density, whole, config.finnis_sinclair)

    def freeze(self) -> None:
        """Nothing to replace: a frozen copy gains by running without autograd alone."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        element = self.element.index_select(0, graph.system.numbers)
        r, source = graph.vectors().norm(dim=1), graph.of_neighbors(element)
        if self.config.finnis_sinclair:
            source = source * len(self.elements) + graph.of_centers(element)
        inside = r < self.cutoff
        nothing = torch.zeros_like(r)
        host = graph.sum_over_neighbors(torch.where(inside, self.density(r, source), nothing))
        pairs = torch.where(inside, 0.5 * self.pair(r, self.kinds(graph)) / r, nothing)
        return self.embedding(host, element) + graph.sum_over_neighbors(pairs)


def _described(tables: Setfl) -> EAMConfig:
    return EAMConfig(
        finnis_sinclair=tables.finnis_sinclair,
        cutoff=tables.cutoff,
        distances=tables.density.shape[-1],
        distance_step=tables.distance_step,
        densities=tables.embedding.shape[-1],
        density_step=tables.density_step,
    )
