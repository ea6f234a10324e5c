"""Which symmetry functions to use: one by one, or a recipe for every combination of elements.

Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717; evenly shifted radial functions as in Gastegger et
al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations_with_replacement, product
from typing import Literal

from pydantic import Field

from adiabat.elements import symbols
from adiabat.settings import Settings


class SymmetryFunction(Settings):
    """One function of one element's environment."""

    kind: Literal["G2", "G4", "G5"]
    """G2: pairs; G4: triplets with all three distances; G5: triplets without the neighbors' distance."""
    center: str
    """Symbol of the central atom."""
    neighbors: tuple[str, ...]
    """Symbols of the neighbors: one for G2, two for G4 and G5, in either order."""
    eta: float = Field(ge=0.0)
    """η, Å⁻²."""
    shift: float = 0.0
    """R_s, Å."""
    zeta: float = Field(default=1.0, ge=1.0)
    """ζ, sharpness of the angular part."""
    sign: Literal[-1, 1] = 1
    """λ: +1 has its maximum at 0°, −1 at 180°."""
    cutoff: float = Field(gt=0.0)
    """R_c, Å."""


class Recipe(Settings):
    """Symmetry functions for every combination of elements, in units of the cutoff so that one recipe fits all."""

    centered: tuple[float, ...] = (0.5, 2.0, 8.0)
    """η·R_c² of G² functions centered on the atom."""
    shifted: int = Field(default=8, ge=0)
    """Number of G² Gaussians at even distances up to the cutoff; their spacing is their width √(1/2η)."""
    start: float = Field(default=0.25, ge=0.0, lt=1.0)
    """Place of the first shifted Gaussian, fraction of the cutoff."""
    triplets: Literal["G4", "G5"] = "G4"
    """Kind of the angular functions."""
    angular: tuple[float, ...] = (0.5, 4.0)
    """η·R_c² of the angular functions."""
    zetas: tuple[float, ...] = (1.0, 2.0, 4.0, 16.0)
    """ζ of the angular functions."""
    signs: tuple[Literal[-1, 1], ...] = (-1, 1)
    """λ of the angular functions; each comes with every η and ζ."""

    def functions(self, elements: Iterable[int], cutoff: float) -> list[SymmetryFunction]:
        """The symmetry functions for these elements and this cutoff (Å)."""
        names = symbols(sorted(elements))
        step = (1.0 - self.start) * cutoff / max(self.shifted, 1)
        radial = [(eta / cutoff**2, 0.0) for eta in self.centered]
        radial += [(0.5 / step**2, self.start * cutoff + k * step) for k in range(self.shifted)]
        angular = list(product([eta / cutoff**2 for eta in self.angular], self.zetas, self.signs))
        found = []
        for center in names:
            for near in names:
                own = {"kind": "G2", "center": center, "neighbors": (near,), "cutoff": cutoff}
                found += [SymmetryFunction(**own, eta=eta, shift=shift) for eta, shift in radial]
            for both in combinations_with_replacement(names, 2):
                own = {"kind": self.triplets, "center": center, "neighbors": both, "cutoff": cutoff}
                for eta, zeta, sign in angular:
                    found.append(SymmetryFunction(**own, eta=eta, zeta=zeta, sign=sign))
        return found
