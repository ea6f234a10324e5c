"""Sine matrix: a cheap function with the periods of the cell and the poles of the Coulomb repulsion.

F. Faber, A. Lindmaa, O. A. von Lilienfeld and R. Armiento, Int. J. Quantum Chem. 115, 1094 (2015),
doi:10.1002/qua.24917; program whose numbers it gives: DScribe, doi:10.1016/j.cpc.2019.106949.

| paper | here | shape, unit |
|---|---|---|
| B | `cell`, rows are lattice vectors | [systems, 3, 3], Å |
| π B⁻¹ r_i | `phases` | [systems, seats, 3] |
| x_ij | `matrix` | [systems, seats, seats], e²/Å, diagonal as it is |

Departures from the paper: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from adiabat.descriptors.pair_matrix import MatrixConfig, PairMatrix, charges_of, need_cells, nuclear
from adiabat.geometry import Graph
from adiabat.geometry.waves import reciprocal_cells
from adiabat.nn.seats import different, lengths, seated


class SineMatrixConfig(MatrixConfig):
    """Options of the sine matrix."""

    kind: Literal["sine_matrix"] = "sine_matrix"
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> SineMatrix:
        return SineMatrix(self, elements)


class SineMatrix(PairMatrix):
    """Z_i Z_j / |B Σ_k e_k sin²(π e_k B⁻¹ (r_i − r_j))|, and ½ Z_i^2.4 on the diagonal."""

    def check(self, graph: Graph) -> None:
        need_cells(graph, "sine matrix")

    def matrix(self, graph: Graph) -> Tensor:
        assert graph.members is not None
        charges = seated(graph.members, charges_of(graph))
        places = seated(graph.members, graph.system.positions)
        phases = 0.5 * places @ reciprocal_cells(graph.system).transpose(1, 2)
        squares = (phases[:, :, None] - phases[:, None, :]).sin().square()
        apart = different(charges > 0.0)
        distances = lengths(squares @ graph.system.cell[:, None], apart)
        return nuclear(charges, torch.reciprocal(distances), apart)
