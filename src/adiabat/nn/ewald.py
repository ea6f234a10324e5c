"""Electrostatic energy of smeared point charges in periodic cells, in reciprocal space."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from adiabat.geometry import Graph, System
from adiabat.geometry.waves import plane_waves, reciprocal_cells
from adiabat.nn.zbl import LAMMPS
from adiabat.units import COULOMB


class ReciprocalSum(nn.Module):
    """E = k 2π/V Σ_{0 < |k| < k_max} exp(−k²/4α²) / k² |Σ_i q_i exp(i k·r_i)|² (Ewald, doi:10.1002/andp.19213690304).

    That is the energy of Gaussian charges of standard deviation 1/(√2 α), their own included, without that of the
    mean charge. Only systems that are periodic in all three directions have it.

    Args:
        alpha: α, Å⁻¹.
        reach: k_max, Å⁻¹.
        coulomb: k = e²/4πε₀, eV Å.
    """

    def __init__(self, alpha: float, reach: float, coulomb: float = COULOMB):
        super().__init__()
        self.alpha, self.reach, self.coulomb = alpha, reach, coulomb

    def forward(self, graph: Graph, charges: Tensor) -> Tensor:
        """Each atom's share `[atoms]`, eV, of charges `[atoms]`, e.

        The list of waves depends on the cells, so a graph to be traced has it already (`Graph.with_waves`).
        """
        system = graph.system
        integers = plane_waves(system, self.reach) if graph.waves is None else graph.waves
        waves = integers.to(charges.dtype) @ reciprocal_cells(system)
        squares = waves.square().sum(dim=2)
        there = squares > 0.0  # zeros only fill up
        squares = torch.where(there, squares, torch.ones_like(squares))
        sizes = torch.exp(-squares / (4.0 * self.alpha**2)) / squares / system.volume[:, None]
        sizes = torch.where(there, 4.0 * pi * self.coulomb * sizes, torch.zeros_like(sizes))
        phases = (waves.index_select(0, system.system) @ system.positions[:, :, None])[:, :, 0]
        cosines, sines = phases.cos(), phases.sin()
        both = torch.cat((cosines, sines), dim=1) * charges[:, None]
        factors = both.new_zeros((integers.shape[0], both.shape[1])).index_add(0, system.system, both)
        potentials = (factors * torch.cat((sizes, sizes), dim=1)).index_select(0, system.system)
        return (both * potentials).sum(dim=1)


class EwaldSum(nn.Module):
    """Ewald's sum as qNEP has it in GPUMD: α = π / r_c, waves up to 2π α, pairs up to r_c.

    Args:
        cutoff: r_c, Å.
        full: whether the short-range part ½ k Σ_j q_i q_j erfc(α r) / r and the smeared charges' own energy, with the
            opposite sign, belong to it, which makes it the energy of point charges; else the sum in reciprocal space
            is all there is.
    """

    def __init__(self, cutoff: float, full: bool):
        super().__init__()
        self.cutoff, self.full = cutoff, full
        alpha = pi / cutoff
        self.reciprocal = ReciprocalSum(alpha, 2.0 * pi * alpha, LAMMPS.coulomb)

    def forward(self, graph: Graph, vectors: Tensor, charges: Tensor) -> Tensor:
        """Each atom's share `[atoms]`, eV, from the pairs' vectors `[pairs, 3]`, Å, and charges `[atoms]`, e."""
        energies = self.reciprocal(graph, charges)
        if not self.full:
            return energies
        alpha, coulomb = self.reciprocal.alpha, self.reciprocal.coulomb
        distances = vectors.norm(dim=1)
        screened = torch.erfc(alpha * distances) / distances
        screened = torch.where(distances < self.cutoff, screened, torch.zeros_like(screened))
        potentials = graph.sum_over_neighbors(screened * graph.of_neighbors(charges))
        return energies + coulomb * charges * (0.5 * potentials - alpha / pi**0.5 * charges)


def balanced(charges: Tensor, system: System) -> Tensor:
    """Charges `[atoms]`, e, shifted alike so that they add up to the total charge of each system."""
    missing = system.charge.to(charges.dtype) - system.sum_over_atoms(charges)
    return charges + (missing / system.sum_over_atoms(torch.ones_like(charges)))[system.system]
