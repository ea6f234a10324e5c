"""Energy of point charges, pair by pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.nn.cutoffs import smooth_step


class SoftenedCoulomb(nn.Module):
    """½ k q_i q_j (s / √(r² + 1 Å²) + (1 − s) / r): Coulomb's law that stays finite for close charges.

    s goes smoothly from 1 to 0 (SpookyNet, doi:10.1038/s41467-021-27504-0). With a reach, value and
    slope of 1/r and of 1/√(r² + 1) at the reach are subtracted, so that the energy ends there smoothly.

    Args:
        start: where s leaves 1, Å.
        stop: where s reaches 0, Å.
        reach: Å; None for all distances.
        coulomb: k, eV Å.
    """

    def __init__(self, start: float, stop: float, reach: float | None, coulomb: float):
        super().__init__()
        self.start, self.stop, self.reach, self.coulomb = start, stop, reach, coulomb

    def forward(self, distances: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Half the energy of each pair `[pairs]`, eV, from distances, Å, and the two charges `[pairs]`, e."""
        soft, bare = (distances.square() + 1.0).rsqrt(), distances.reciprocal()
        if self.reach is not None:
            away, inside = distances - self.reach, distances < self.reach
            end = self.reach**2 + 1.0
            soft = soft - end**-0.5 + away * self.reach * end**-1.5
            bare = bare - 1.0 / self.reach + away / self.reach**2
            soft, bare = (torch.where(inside, value, torch.zeros_like(value)) for value in (soft, bare))
        share = smooth_step(distances, self.start, self.stop)
        return 0.5 * self.coulomb * first * second * (share * soft + (1.0 - share) * bare)
