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
from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.nn.ewald_potentials import EwaldPotentials
from adiabat.nn.ewald_split import EwaldSplit
from adiabat.nn.inner_cutoffs import InnerCutoff
from adiabat.nn.seats import different, lengths, seated
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
        self.coulomb = coulomb
        self.sum = EwaldPotentials(split, coulomb, max(widths))
        self.register_constant("widths", np.array(widths))

    def prepare(self, graph: Graph) -> Graph:
        """The graph with the seats, far pairs and waves that the sum needs."""
        return self.sum.prepare(graph)

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
        apart = different(there)
        places = seated(members, system.positions)
        distances = lengths(places[:, :, None] - places[:, None, :], apart)
        free = torch.where(apart, torch.erf(distances / gamma) / distances, torch.zeros_like(distances))
        values = torch.where(periodic, self.sum(graph, gamma), free)
        own = torch.diag_embed(1.0 / (sigma * pi**0.5))
        return self.coulomb * torch.where(both, values + own, torch.zeros_like(values))


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
