"""Charges and dipoles from scalars and vectors of atoms."""

from __future__ import annotations

from torch import Tensor, nn

from adiabat.geometry import System
from adiabat.nn.ewald import balanced
from adiabat.nn.gated_equivariant import GatedEquivariantBlock


class LatentDipole(nn.Module):
    """μ = Σ_i μ_i + q_i r_i with both from two gated blocks (PaiNN, arXiv:2102.03150, sec. 4 and fig. 3).

    Args:
        channels: of the scalars and of the vectors.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.blocks = nn.ModuleList(
            (GatedEquivariantBlock(channels, half, "silu"), GatedEquivariantBlock(half, 1, "silu"))
        )

    def forward(self, s: Tensor, v: Tensor, system: System) -> tuple[Tensor, Tensor]:
        """Charges `[atoms]`, e, which add up to each system's total charge, and dipoles `[systems, 3]`, e·Å.

        Args:
            s: scalars `[atoms, channels]`.
            v: vectors `[atoms, 3, channels]`.
            system: its positions are taken as they are, images included.
        """
        hidden, outer = self.blocks
        s, v = hidden(s, v)
        s, v = outer(nn.functional.silu(s), v)
        charges = balanced(s[:, 0], system)
        return charges, system.sum_over_atoms(v[:, :, 0] + charges[:, None] * system.positions)
