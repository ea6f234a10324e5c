"""Ewald-sum matrix: the electrostatic energies of every two sublattices of nuclei.

F. Faber, A. Lindmaa, O. A. von Lilienfeld and R. Armiento, Int. J. Quantum Chem. 115, 1094 (2015),
doi:10.1002/qua.24917; program whose numbers it gives: DScribe, doi:10.1016/j.cpc.2019.106949.

| paper | here | shape, unit |
|---|---|---|
| Z_i | `charges` | [systems, seats], e |
| x^(r) + x^(m) + x^0 | `EwaldPotentials` times Z_i Z_j | [systems, seats, seats], e²/Å |
| a | chosen by `split` | Å⁻¹ |

Departures from the paper: the constant part x^0 is that of one pair of sublattices in a uniform background, as in
DScribe, so that every entry is independent of a; the paper's (eq. 20) has squares of both charges even where one is
zero. The diagonal is halved: the sum of diagonal and upper triangle is the energy of the lattice of nuclei. Sums are
converged to 1e-12.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from adiabat.descriptors.pair_matrix import MatrixConfig, PairMatrix, charges_of, need_cells
from adiabat.geometry import Graph
from adiabat.nn.ewald_potentials import EwaldPotentials
from adiabat.nn.ewald_split import EwaldSplit
from adiabat.nn.seats import seated
from adiabat.units import COULOMB


class EwaldMatrixConfig(MatrixConfig):
    """Options of the Ewald-sum matrix."""

    kind: Literal["ewald_matrix"] = "ewald_matrix"
    """Name of the descriptor."""
    split: EwaldSplit = EwaldSplit()
    """Where the sum is split, which changes nothing but the time it takes, and where its parts end."""

    def build(self, elements: Iterable[int]) -> EwaldSumMatrix:
        return EwaldSumMatrix(self, elements)


class EwaldSumMatrix(PairMatrix):
    """Z_i Z_j V_ij with the potential V_ij of sublattice j at atom i, and half of it on the diagonal."""

    def __init__(self, config: EwaldMatrixConfig, elements: Iterable[int]):
        super().__init__(config, elements)
        self.sum = EwaldPotentials(config.split, COULOMB)

    def check(self, graph: Graph) -> None:
        need_cells(graph, "Ewald-sum matrix")

    def prepare(self, graph: Graph) -> Graph:
        return self.sum.prepare(graph)

    def matrix(self, graph: Graph) -> Tensor:
        assert graph.members is not None
        charges = seated(graph.members, charges_of(graph))
        whole = charges[:, :, None] * charges[:, None, :] * self.sum(graph)
        return whole - 0.5 * torch.diag_embed(whole.diagonal(dim1=1, dim2=2))
