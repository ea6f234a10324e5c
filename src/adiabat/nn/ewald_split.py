"""Where Ewald's sum is split between real and reciprocal space, and where its two parts end.

All rules give a width η and a number s: pairs count up to √2 s η and waves up to √2 s / η, where either part has
fallen to about exp(−s²). "kolafa-perram": J. Kolafa and J. W. Perram, Mol. Simul. 9, 351 (1992),
doi:10.1080/08927029208049126, with a width that balances the two parts, as in n2p2; "jackson-catlow": R. A. Jackson
and C. R. A. Catlow, Mol. Simul. 1, 207 (1988), doi:10.1080/08927028808080944, as in RuNNer.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from adiabat.settings import Settings

RATIO = 3.676
"""How much longer n2p2 takes for a pair than for a wave."""
SHARE = 0.1
"""η over the cell's length: small, because waves are cheaper than pairs where sums are matrix products."""
ACCURACY = 1e-12  # relative change at which the equations of kolafa-perram count as solved


class EwaldSplit(Settings):
    """Rule that gives width, reach of pairs and reach of waves for the volume and the atoms of a cell."""

    rule: Literal["plain", "kolafa-perram", "jackson-catlow"] = "plain"
    """plain: η a tenth of the cell's length, more for wide charges; or a published program's."""
    precision: float = Field(default=1e-12, gt=0.0)
    """Relative size at which the parts end; the forces' error in eV/Å that is aimed at (kolafa-perram)."""
    charge: float = Field(default=1.0, gt=0.0)
    """Largest charge that is expected, e (kolafa-perram)."""

    def reaches(self, volume: float, atoms: int, widest: float, coulomb: float) -> tuple[float, float, float]:
        """η (Å), reach of pairs (Å), reach of waves (Å⁻¹).

        Args:
            volume: of the cell, Å³.
            atoms: in the cell.
            widest: the largest standard deviation of the charges, Å.
            coulomb: e²/4πε₀, eV Å.
        """
        if self.rule == "kolafa-perram":
            width, s = self._balanced(volume, atoms, coulomb)
            width = max(width, widest)
        else:
            s = math.sqrt(-math.log(self.precision))
            length = volume ** (1.0 / 3.0)
            # the plain rule lets no charge be so wide that its own tail reaches beyond the pairs
            plain = max(SHARE * length, math.sqrt(2.0) * widest)
            width = plain if self.rule == "plain" else length / math.sqrt(2.0 * math.pi)
        return width, math.sqrt(2.0) * s * width, math.sqrt(2.0) * s / width

    def _balanced(self, volume: float, atoms: int, coulomb: float) -> tuple[float, float]:
        """η and s with exp(−s²)/√s = p √(η/2) / (2^¾ k q² √(N/V)) and η⁶ = V² (1 + 1/2s²) / (2π)³ RATIO."""
        start = (volume**2 / (2.0 * math.pi) ** 3 / RATIO) ** (1.0 / 6.0)
        strength = 2.0**0.75 * coulomb * self.charge**2 * math.sqrt(atoms / volume)
        width, before = start, 0.0
        s = 1.0
        while abs(width - before) > ACCURACY * width:
            s = _solved(self.precision / strength * math.sqrt(width / 2.0))
            width, before = start * (1.0 + 0.5 / s**2) ** (1.0 / 6.0), width
        return width, s


def _solved(size: float) -> float:
    """s > 0 with s² + ¼ ln s² = −ln size, by Newton's method in x = ln s²."""
    x, step = 0.0, 1.0
    while abs(step) > ACCURACY:
        step = (math.exp(x) + 0.25 * x + math.log(size)) / (math.exp(x) + 0.25)
        x -= step
    return math.exp(0.5 * x)
