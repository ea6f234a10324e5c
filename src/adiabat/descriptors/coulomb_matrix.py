"""Coulomb matrix: the repulsion between the nuclei of a molecule.

M. Rupp, A. Tkatchenko, K.-R. Müller and O. A. von Lilienfeld, Phys. Rev. Lett. 108, 058301 (2012),
doi:10.1103/PhysRevLett.108.058301; program whose numbers it gives: DScribe, doi:10.1016/j.cpc.2019.106949.

| paper | here | shape, unit |
|---|---|---|
| Z_i | nuclear charges | [systems, seats], e |
| M_ij (eq. 1) | `matrix` | [systems, seats, seats], e²/Å, diagonal as it is |

Departures from the paper: distances are in Å, as in DScribe and qmllib, not in Bohr.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor

from adiabat.descriptors.pair_matrix import MatrixConfig, PairMatrix, no_images, repulsion
from adiabat.geometry import Graph


class CoulombMatrixConfig(MatrixConfig):
    """Options of the Coulomb matrix."""

    kind: Literal["coulomb_matrix"] = "coulomb_matrix"
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> CoulombMatrix:
        return CoulombMatrix(self, elements)


class CoulombMatrix(PairMatrix):
    """Z_i Z_j / |R_i − R_j|, and ½ Z_i^2.4 on the diagonal."""

    def check(self, graph: Graph) -> None:
        no_images(graph, "Coulomb matrix")

    def matrix(self, graph: Graph) -> Tensor:
        return repulsion(graph)
