"""Extended Coulomb-like matrix: the atoms of a cell and of the cells around it, as if they were a molecule.

F. Faber, A. Lindmaa, O. A. von Lilienfeld and R. Armiento, Int. J. Quantum Chem. 115, 1094 (2015),
doi:10.1002/qua.24917.

| paper | here | shape, unit |
|---|---|---|
| atoms of N unit cells | `places`, cell by cell | [systems, N · seats, 3], Å |
| φ(r_i, r_j) | `decay`: 1/r, or e^(−r/`length`) / Å | [systems, N · seats, N · seats], Å⁻¹ |
| x_ij | `matrix` | [systems, N · seats, N · seats], e²/Å, diagonal as it is |

Departures from the paper: N is (2 `cells` + 1)³, the cells up to `cells` away along each lattice vector, and fewer
where a structure is not periodic; a molecule has its Coulomb matrix. There is no program to compare with, and
neither N nor φ was checked against the paper's text. The matrix depends on which image of an atom the cell holds, and
on the cell: give all structures cells of one convention.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from adiabat.descriptors.pair_matrix import MatrixConfig, PairMatrix, charges_of, nuclear
from adiabat.geometry import Graph
from adiabat.nn.seats import different, lengths, seated


class NeighborCellsMatrixConfig(MatrixConfig):
    """Options of the extended Coulomb-like matrix."""

    kind: Literal["neighbor_cells_matrix"] = "neighbor_cells_matrix"
    """Name of the descriptor."""
    cells: int = Field(default=1, ge=0)
    """How many cells away along each lattice vector, on either side."""
    decay: Literal["exponential", "inverse"] = "exponential"
    """How entries fall with distance: as e^(−r/length) or as 1/r."""
    length: float = Field(default=1.0, gt=0.0)
    """Length of the exponential decay, Å."""

    def build(self, elements: Iterable[int]) -> NeighborCellsMatrix:
        return NeighborCellsMatrix(self, elements)


class NeighborCellsMatrix(PairMatrix):
    """Z_i Z_j φ(|r_i − r_j|) for the atoms of all cells, and ½ Z_i^2.4 on the diagonal."""

    steps: Tensor

    def __init__(self, config: NeighborCellsMatrixConfig, elements: Iterable[int]):
        along = torch.arange(-config.cells, config.cells + 1)
        steps = torch.cartesian_prod(along, along, along)
        steps = steps[steps.abs().amax(dim=1).argsort(stable=True)]  # the cell itself first
        super().__init__(config, elements, copies=len(steps))
        self.decay, self.length = config.decay, config.length
        self.register_buffer("steps", steps, persistent=False)

    def matrix(self, graph: Graph) -> Tensor:
        assert graph.members is not None
        system, members = graph.system, graph.members
        room = self.config.atoms - members.width
        own = functional.pad(seated(members, charges_of(graph)), (0, room))
        places = functional.pad(seated(members, system.positions), (0, 0, 0, room))
        there = ((self.steps[None] == 0) | system.pbc[:, None, :]).all(dim=2)  # [systems, cells]
        charges = (there[:, :, None] * own[:, None, :]).flatten(1)
        places = (places[:, None] + (self.steps.to(places.dtype) @ system.cell)[:, :, None]).flatten(1, 2)
        apart = different(charges > 0.0)
        distances = lengths(places[:, :, None] - places[:, None, :], apart)
        inverse = self.decay == "inverse"
        return nuclear(charges, distances.reciprocal() if inverse else torch.exp(-distances / self.length), apart)
