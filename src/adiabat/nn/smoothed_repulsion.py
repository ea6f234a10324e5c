"""Screened nuclear repulsion that a polynomial takes to zero with two derivatives (LAMMPS pair_style zbl)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.nn.zbl import LAMMPS


class SmoothedRepulsion(nn.Module):
    """½ Σ_j E(r) + S(r), the universal potential of Ziegler, Biersack and Littmark (1985) within two radii.

    S is a constant up to the inner radius and adds a cubic and a quartic term from there on, such that the sum, its
    slope and its curvature vanish at the outer one.

    Args:
        inner, outer: radii, Å.
    """

    def __init__(self, inner: float, outer: float):
        super().__init__()
        self.inner, self.outer = inner, outer

    def forward(self, distances: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Half the energy of each pair `[pairs]`, eV, which is its center's share.

        Args:
            distances: `[pairs]`, Å.
            first, second: atomic numbers of the two atoms `[pairs]`.
        """
        zi, zj = first.to(distances.dtype), second.to(distances.dtype)
        charges = LAMMPS.coulomb * zi * zj
        rate = (zi**LAMMPS.power + zj**LAMMPS.power) / LAMMPS.length
        value, slope, curvature = _derivatives(torch.full_like(distances, self.outer), charges, rate)
        span = self.outer - self.inner
        cubic = (span * curvature - 3.0 * slope) / span**2
        quartic = (2.0 * slope - span * curvature) / span**3
        constant = 0.5 * span * slope - value - span**2 * curvature / 12.0
        x = (distances - self.inner).clamp(min=0.0)
        energy = _screened(distances, charges, rate) + constant + x**3 * (cubic / 3.0 + quartic / 4.0 * x)
        return 0.5 * torch.where(distances < self.outer, energy, torch.zeros_like(energy))


def _screened(r: Tensor, charges: Tensor, rate: Tensor) -> Tensor:
    return charges / r * sum((c * torch.exp(-d * rate * r) for c, d in LAMMPS.screening), torch.zeros_like(r))


def _derivatives(r: Tensor, charges: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The screened energy with its first two derivatives by r."""
    total = [torch.zeros_like(r) for _ in range(3)]
    for factor, decay in LAMMPS.screening:
        a = decay * rate
        part = charges * factor * torch.exp(-a * r) / r
        total[0] = total[0] + part
        total[1] = total[1] - part * (a + 1.0 / r)
        total[2] = total[2] + part * (a**2 + 2.0 * a / r + 2.0 / r**2)
    return total[0], total[1], total[2]
