"""Charges that are in equilibrium: Gaussian charges, each atom's electronegativity and hardness, one total charge.

A. K. Rappé and W. A. Goddard, J. Phys. Chem. 95, 3358 (1991), doi:10.1021/j100161a070, with Gaussian charges as in
S. A. Ghasemi et al., Phys. Rev. B 92, 045131 (2015), doi:10.1103/PhysRevB.92.045131.

| paper | here | shape, unit |
|---|---|---|
| χ_i | `electronegativities` | [atoms], eV/e |
| J_i | `hardness` | [elements], eV/e² |
| σ_i | `widths` | [elements], Å |
| γ_ij² = 2 (σ_i² + σ_j²) | `gamma` | [systems, seats, seats], Å² |
| A_ij without J | `GaussianCoulomb` | [systems, seats, seats], eV/e² |
| Q_i | `charges` | [atoms], e |

The charges minimize Σ χ_i Q_i + ½ J_i Q_i² + ½ Q·A·Q at Σ Q_i = Q_tot: one linear system a structure, with a Lagrange
multiplier as further unknown. Structures are padded to the largest of the batch. A charged periodic cell is in a
uniform background, so that the mean potential is zero in every cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import numpy as np
import torch
from torch import Tensor, nn

from adiabat.errors import CapabilityError
from adiabat.geometry import FarPairs, Graph, Neighborhood, System
from adiabat.geometry.waves import plane_waves, reciprocal_cells
from adiabat.nn.constants import ConstantModule
from adiabat.nn.ewald_split import EwaldSplit
from adiabat.nn.inner_cutoffs import InnerCutoff
from adiabat.units import COULOMB


class GaussianCoulomb(ConstantModule):
    """Matrices of the energies of unit Gaussian charges, their own included; periodic ones by Ewald's sum.

    Args:
        widths: standard deviations σ of the elements' charges, Å.
        split: of Ewald's sum.
        coulomb: k = e²/4πε₀, eV Å.
    """

    widths: Tensor

    def __init__(self, widths: Sequence[float], split: EwaldSplit, coulomb: float = COULOMB):
        super().__init__()
        self.split, self.coulomb = split, coulomb
        self.widest = max(widths)
        self.register_constant("widths", np.array(widths))

    def prepare(self, graph: Graph) -> Graph:
        """The graph with the seats, far pairs and waves that the sum needs."""
        graph = graph.with_members()
        if graph.far is not None and graph.waves is not None:
            return graph
        system = graph.system
        found = []
        cells = zip(system.volume.tolist(), system.atom_counts.tolist(), system.pbc.tolist(), strict=True)
        for volume, atoms, pbc in cells:
            own = self.split.reaches(volume, atoms, self.widest, self.coulomb) if all(pbc) else (1.0, 0.0, 0.0)
            found.append(own)
        widths, pairs, reaches = zip(*found, strict=True)
        waves = plane_waves(system, reaches)
        if not waves.shape[1]:
            waves = waves.new_zeros((system.systems, 1, 3))  # a compiled model takes no empty list
        return graph.replace(far=FarPairs.of(system, widths, pairs), waves=waves)

    def check(self, graph: Graph) -> None:
        """Raises CapabilityError for systems that are periodic in one or two directions, or split."""
        pbc = graph.system.pbc
        if bool((pbc.any(dim=1) & ~pbc.all(dim=1)).any()):
            raise CapabilityError(
                "charges in equilibrium know molecules and cells that are periodic in three directions, and one of"
                f" the systems has pbc {pbc[pbc.any(dim=1) & ~pbc.all(dim=1)][0].tolist()}: put vacuum into the"
                " cell and set pbc to true everywhere."
            )
        if graph.owned is not None:
            raise CapabilityError("the charges of a structure depend on all its atoms: it cannot be split.")

    def forward(self, graph: Graph, element: Tensor) -> Tensor:
        """`[systems, seats, seats]`, eV/e², from the atoms' places among the elements; zeros where no atom sits."""
        graph = self.prepare(graph)
        system, members = graph.system, graph.members
        assert members is not None
        there = seated(members, torch.ones_like(self.widths[element])) > 0.0
        sigma = torch.where(there, seated(members, self.widths[element]), 1.0)
        both = there[:, :, None] & there[:, None, :]
        gamma = (2.0 * (sigma.square()[:, :, None] + sigma.square()[:, None, :])).sqrt()
        periodic = system.pbc.all(dim=1)[:, None, None]
        free = self._free(system, members, both, gamma)
        values = torch.where(periodic, self._periodic(graph, members, gamma), free)
        own = torch.diag_embed(1.0 / (sigma * pi**0.5))
        return self.coulomb * torch.where(both, values + own, torch.zeros_like(values))

    @staticmethod
    def _free(system: System, members: Neighborhood, both: Tensor, gamma: Tensor) -> Tensor:
        """erf(r/γ)/r of different atoms."""
        places = seated(members, system.positions)
        different = both & (torch.diag_embed(torch.ones_like(both[:, 0], dtype=gamma.dtype)) == 0.0)
        squares = (places[:, :, None] - places[:, None, :]).square().sum(dim=3)
        distances = torch.where(different, squares, torch.ones_like(squares)).sqrt()
        return torch.where(different, torch.erf(distances / gamma) / distances, torch.zeros_like(distances))

    @staticmethod
    def _periodic(graph: Graph, members: Neighborhood, gamma: Tensor) -> Tensor:
        """Ewald's sum: the waves' part, the pairs', the smeared charges' own, the background."""
        system, far, waves = graph.system, graph.far, graph.waves
        assert far is not None
        assert waves is not None
        periodic = system.pbc.all(dim=1)
        width = far.widths.to(gamma.dtype)[:, None, None]
        volume = torch.where(periodic, system.volume, torch.ones_like(system.volume))[:, None, None]
        k = waves.to(gamma.dtype) @ reciprocal_cells(system)
        squares = k.square().sum(dim=2, keepdim=True)
        filled = squares > 0.0
        squares = torch.where(filled, squares, torch.ones_like(squares))
        sizes = 8.0 * pi / volume * torch.exp(-0.5 * width.square() * squares) / squares  # of k and −k one is listed
        sizes = torch.where(filled, sizes, torch.zeros_like(sizes))
        phases = k @ seated(members, system.positions).transpose(1, 2)
        cosines, sines = phases.cos(), phases.sin()
        total = (sizes * cosines).transpose(1, 2) @ cosines + (sizes * sines).transpose(1, 2) @ sines

        first, second = (members.slot.index_select(0, ends) for ends in far.pairs)
        places = first * members.width + second % members.width
        lengths = far.vectors(system).square().sum(dim=1)
        apart = lengths > 0.0
        distances = torch.where(apart, lengths, torch.ones_like(lengths)).sqrt()
        own = far.widths.to(gamma.dtype).index_select(0, system.system.index_select(0, far.pairs[0]))
        between = gamma.reshape(-1).index_select(0, places)
        nearer = (torch.erfc(distances / (2.0**0.5 * own)) - torch.erfc(distances / between)) / distances
        nearer = torch.where(apart, nearer, torch.zeros_like(nearer))
        pairs = torch.zeros_like(gamma).reshape(-1).index_add(0, places, nearer).reshape(gamma.shape)
        total = total + pairs + pairs.transpose(1, 2)

        smeared = torch.diag_embed((-((2.0 / pi) ** 0.5) / width[:, :, 0]).expand(gamma.shape[:2]))
        return total + smeared - 2.0 * pi / volume * (width.square() - 0.5 * gamma.square())


class ChargeEquilibration(nn.Module):
    """Charges from electronegativities.

    Args:
        coulomb: the matrices of the charges' energies.
        hardness: J of each element at first, eV/e²; trained, by its root, which keeps it positive.
    """

    def __init__(self, coulomb: GaussianCoulomb, hardness: Sequence[float]):
        super().__init__()
        self.coulomb = coulomb
        self.root = nn.Parameter(torch.tensor(list(hardness)).sqrt())

    @property
    def hardness(self) -> Tensor:
        """J `[elements]`, eV/e²."""
        return self.root.square()

    def forward(self, graph: Graph, electronegativities: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """Charges `[atoms]`, e, and the potentials they make at each other, their own included, `[atoms]`, eV/e.

        Args:
            graph: of one or several structures.
            electronegativities: `[atoms]`, eV/e.
            element: place of each atom's element `[atoms]`.
        """
        graph = self.coulomb.prepare(graph)
        members = graph.members
        assert members is not None
        matrix = self.coulomb(graph, element)
        there = seated(members, torch.ones_like(electronegativities))
        # an empty seat has the equation Q = 0
        stiffness = torch.diag_embed(seated(members, self.hardness[element]) + 1.0 - there)
        border = torch.cat([there, torch.zeros_like(there[:, :1])], dim=1)
        rows = torch.cat([torch.cat([matrix + stiffness, there[:, :, None]], dim=2), border[:, None]], dim=1)
        total = graph.system.charge.to(matrix.dtype)[:, None]
        right = torch.cat([-seated(members, electronegativities), total], dim=1)
        found = torch.linalg.solve(rows, right[:, :, None])[:, :-1]
        charges, potentials = (values.reshape(-1).index_select(0, members.slot) for values in (found, matrix @ found))
        return charges, potentials


class ScreenedElectrostatics(nn.Module):
    """Energy of Gaussian charges without their own and, nearby, without each other's, which networks have learned.

    E_i = ½ Q_i V_i − k Q_i² / 2σ_i√π − ½ k Σ_j Q_i Q_j erf(r/γ_ij) / r · f(r), f from 1 nearby to 0.

    Args:
        nearby: f.
        coulomb: k, eV Å.
    """

    def __init__(self, nearby: InnerCutoff, coulomb: float = COULOMB):
        super().__init__()
        self.nearby, self.coulomb = nearby, coulomb

    def forward(self, graph: Graph, charges: Tensor, potentials: Tensor, sigma: Tensor) -> Tensor:
        """Each atom's share `[atoms]`, eV, from charges and potentials of `ChargeEquilibration` and widths, Å."""
        distances = graph.vectors().norm(dim=1)
        gamma = (2.0 * (graph.of_centers(sigma).square() + graph.of_neighbors(sigma).square())).sqrt()
        screened = torch.erf(distances / gamma) / distances * self.nearby(distances)
        missing = charges / (sigma * pi**0.5) + graph.sum_over_neighbors(screened * graph.of_neighbors(charges))
        return 0.5 * charges * (potentials - self.coulomb * missing)


def seated(members: Neighborhood, values: Tensor) -> Tensor:
    """Values of atoms `[atoms, ...]` by system and seat `[systems, seats, ...]`, zeros where no atom sits."""
    return members.pad(values).reshape(members.atoms, members.width, *values.shape[1:])
