"""Screened nuclear repulsion."""

from __future__ import annotations

import torch
from torch import Tensor

from adiabat.elements import COVALENT_RADII
from adiabat.nn.constants import ConstantModule
from adiabat.nn.cutoffs import polynomial_envelope

# rounded as in mace-torch, whose numbers are to be reproduced
_COULOMB = 14.3996  # eV Å
_BOHR = 0.529  # Å
_SCREENING = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))


class ZBLRepulsion(ConstantModule):
    """½ Σ_j 14.3996 Z_i Z_j / r φ(r / a) f(r), the universal potential of Ziegler, Biersack and Littmark (1985).

    a = 0.4543 · 0.529 Å / (Z_i^0.3 + Z_j^0.3); f is the polynomial cutoff at the sum of the covalent radii, so that
    the term touches only pairs closer than a bond.

    Args:
        power: p of the polynomial cutoff.
    """

    radii: Tensor

    def __init__(self, power: int = 5):
        super().__init__()
        self.power = power
        self.register_constant("radii", COVALENT_RADII)

    def forward(self, distances: Tensor, numbers: Tensor, pairs: Tensor) -> Tensor:
        """Energy of each atom `[atoms]`, eV, from distances `[pairs]`, Å, atomic numbers and `pairs [2, pairs]`."""
        centers, neighbors = pairs
        zi, zj = numbers[centers].to(distances.dtype), numbers[neighbors].to(distances.dtype)
        reduced = distances * (zi**0.3 + zj**0.3) / (0.4543 * _BOHR)
        screening = sum((c * torch.exp(-b * reduced) for c, b in _SCREENING), torch.zeros_like(reduced))
        reach = self.radii[numbers[centers]] + self.radii[numbers[neighbors]]
        energy = 0.5 * _COULOMB * zi * zj / distances * screening
        energy = energy * polynomial_envelope(distances / reach, self.power)
        return distances.new_zeros(numbers.shape[0]).index_add(0, centers, energy)
