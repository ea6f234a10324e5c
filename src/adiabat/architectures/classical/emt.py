"""EMT: effective medium theory of close-packed metals.

K. W. Jacobsen, P. Stoltze and J. K. Nørskov, Surf. Sci. 366, 394 (1996), doi:10.1016/0039-6028(96)00816-3. Program
whose numbers it gives: ASE (EMT).

| paper | here | shape, unit |
|---|---|---|
| E₀, s₀, V₀, η₂, κ, λ, n₀ | `metals.table` | [elements, 9], eV, Å |
| β | `BETA` | 1 |
| χ_ij = n₀j / n₀i | `chi` | [pairs], 1 |
| θ(r) | `theta` | [pairs], 1 |
| γ₁, γ₂ | the last two of them | [elements], 1 |
| σ₁i, σ₂i (eqs. 14, 15) | `sigma1`, in `pair` | [atoms], 1 |
| s_i − s₀ | `excess` | [atoms], Å |
| E_c + E_AS − E₀ | `atomic_energies` | [atoms], eV |

Departures from the paper, all as in ASE: energies are relative to the crystal, so that an atom alone has −E₀; the
cutoff function θ is centered between the third and fourth shell of silver, whose s₀ is the largest, for all metals,
and is cut where it is 7·10⁻⁶, which leaves a jump of the energy of about 10⁻⁶ eV there. Its parameters for hydrogen,
carbon, nitrogen and oxygen are not meant for use and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from adiabat.descriptors.base import element_index
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.potential import ArchitectureConfig, AtomicPotential

BOHR = 0.5291772105638411  # Å, of CODATA 2014 as in ASE
BETA = 1.809  # (16π/3)^(1/3) / √2, rounded as in ASE
# table 2 of the paper: E₀ eV, s₀ bohr, V₀ eV, η₂ bohr⁻¹, κ bohr⁻¹, λ bohr⁻¹, n₀ bohr⁻³
METALS = {
    "Al": (-3.28, 3.00, 1.493, 1.240, 2.000, 1.169, 0.00700),
    "Ni": (-4.44, 2.60, 3.673, 1.669, 2.757, 1.948, 0.01030),
    "Cu": (-3.51, 2.67, 2.476, 1.652, 2.740, 1.906, 0.00910),
    "Pd": (-3.90, 2.87, 2.773, 1.818, 3.107, 2.155, 0.00688),
    "Ag": (-2.96, 3.01, 2.132, 1.652, 2.790, 1.892, 0.00547),
    "Pt": (-5.85, 2.90, 4.067, 1.812, 3.145, 2.192, 0.00802),
    "Au": (-3.80, 3.00, 2.321, 1.674, 2.873, 2.182, 0.00703),
}
UNITS = np.array([1.0, BOHR, 1.0, 1.0 / BOHR, 1.0 / BOHR, 1.0 / BOHR, BOHR**-3])
NEAREST = BETA * METALS["Ag"][1] * BOHR  # Å, nearest neighbors
MIDDLE = NEAREST * 0.5 * (math.sqrt(3.0) + 2.0)  # Å, where θ is a half
SLOPE = math.log(1e4 - 1.0) / (2.0 * NEAREST - MIDDLE)  # Å⁻¹; θ is 10⁻⁴ at the fourth neighbors


class EMTConfig(ArchitectureConfig):
    """Effective medium theory has no options: its parameters are the published ones."""

    method: Literal["emt"] = "emt"
    """Name of the architecture."""


class Metals(ConstantModule):
    """Parameters of each element, with γ₁ and γ₂ of its perfect crystal within the cutoff function."""

    table: Tensor
    element: Tensor

    def __init__(self, elements: Iterable[int]):
        super().__init__()
        rows = np.array([METALS[symbol(z)] for z in elements]) * UNITS
        _, s0, _, eta2, kappa, _, _ = rows.T[:, :, None]
        r = BETA * s0 * np.sqrt([1.0, 2.0, 3.0])
        x = np.array([12.0, 6.0, 24.0]) / 12.0 / (1.0 + np.exp(SLOPE * (r - MIDDLE)))
        gamma1 = (x * np.exp(-eta2 * (r - BETA * s0))).sum(axis=1)
        gamma2 = (x * np.exp(-kappa / BETA * (r - BETA * s0))).sum(axis=1)
        self.register_constant("table", np.column_stack((rows, gamma1, gamma2)))
        self.register_buffer("element", element_index(elements), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """E₀, s₀, V₀, η₂, κ, λ, n₀, γ₁, γ₂ of each atom `[atoms, 9]`."""
        return self.table.index_select(0, self.element.index_select(0, numbers))


class EMT(AtomicPotential):
    """E = Σ_i E_c(s_i) + E_AS − E₀."""

    config: EMTConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    @classmethod
    def own_elements(cls, config: EMTConfig) -> tuple[int, ...]:
        return tuple(number(name) for name in METALS)

    def __init__(self, config: EMTConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        if foreign := [z for z in elements if z not in map(number, METALS)]:
            raise ConfigError(
                f"effective medium theory has no parameters of {symbol(foreign[0])}: it knows {', '.join(METALS)}."
            )
        super().__init__(config, elements, MIDDLE + 0.5)
        self.metals = Metals(self.elements)

    def freeze(self) -> None:
        """Nothing to replace: a frozen copy gains by running without autograd alone."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        atoms = self.metals(graph.system.numbers)
        own, other = graph.of_centers(atoms).unbind(1), graph.of_neighbors(atoms).unbind(1)
        r = graph.vectors().norm(dim=1)
        theta = torch.sigmoid(SLOPE * (MIDDLE - r))
        theta = torch.where(r < self.cutoff, theta, torch.zeros_like(theta))
        chi = other[6] / own[6]
        sigma1 = graph.sum_over_neighbors(chi * theta * torch.exp(-other[3] * (r - BETA * other[1])))
        # each end's share of the pair energy is built from the other's density
        there = chi * theta * torch.exp(-other[4] * (r / BETA - other[1])) * own[2] / own[8]
        here = theta / chi * torch.exp(-own[4] * (r / BETA - own[1])) * other[2] / other[8]
        pair = graph.sum_over_neighbors(-0.25 * (there + here))
        return self._embedded(sigma1, atoms) + pair - atoms[:, 0]

    def _embedded(self, sigma1: Tensor, atoms: Tensor) -> Tensor:
        """E_c and the part of E_AS that density alone makes `[atoms]`, eV; zero for atoms without neighbors."""
        e0, _, v0, eta2, kappa, decay, _, gamma1, _ = atoms.unbind(1)
        alone = sigma1 <= 0.0
        safe = torch.where(alone, torch.ones_like(sigma1), sigma1)
        excess = -torch.log(safe / (12.0 * gamma1)) / (BETA * eta2)
        energy = e0 * (1.0 + decay * excess) * torch.exp(-decay * excess) + 6.0 * v0 * torch.exp(-kappa * excess)
        return torch.where(alone, torch.zeros_like(energy), energy)
