"""Polynomial symmetry functions: low in cost, for they are zero outside of a shell and of a range of angles.

M. P. Bircher, A. Singraber and C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
doi:10.1088/2632-2153/abf817; program whose numbers it gives: n2p2, doi:10.1021/acs.jctc.8b00770 (types 20 to 25).

| paper | here | shape, unit |
|---|---|---|
| C(R; R_low, R_high) | `CompactFunction` of `begin` and `cutoff` | 1 |
| C(θ; θ_low, θ_high) | `CompactFunction` of `angles` | 1 |
| polynomials of order 1 to 4 | `core` | 1 |
| radial function | kind "P2": Σ_j C(R_ij) | [atoms, features], 1 |
| angular functions | kinds "P4", "P5": Σ_jk C(R_ij) C(R_ik) [C(R_jk)] C(θ) | [atoms, features], 1 |

Departures from the paper: as in n2p2, asymmetric functions are so in distances alone; the default functions are one
recipe for every combination of elements, or weighted by them (types 23 to 25).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Literal

from pydantic import Field

from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.base import DescriptorConfig
from adiabat.descriptors.symmetry_functions import Core, SymmetryFunction, Weight, for_elements


class PSFConfig(DescriptorConfig):
    """Options of a set of polynomial symmetry functions."""

    kind: Literal["psf"] = "psf"
    """Name of the descriptor."""
    centered: tuple[float, ...] = (1.0, 0.75, 0.5)
    """Radii of radial functions around the atom, fractions of the cutoff."""
    shells: int = Field(default=8, ge=0)
    """Radial functions at even distances up to the cutoff, each as wide as two steps."""
    start: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Where the first shell begins, fraction of the cutoff."""
    ranges: tuple[tuple[float, float], ...] = ((-1.0, 1.0), (-0.7, 0.7))
    """Begin and end of the distances in angular functions, fractions of the cutoff; may be negative."""
    angles: int = Field(default=5, ge=2)
    """Angular functions at even angles from 0° to 180°, each as wide as two steps; each comes with every range."""
    triplets: Literal["P4", "P5"] = "P4"
    """Kind of the angular functions: with the distance of the neighbors, or without."""
    core: Core = "poly2"
    """How functions fall from their middle."""
    asymmetric: bool = False
    """Whether those of distances fall as core((2 − u) u) instead of core(u)."""
    weights: tuple[Weight, ...] = ()
    """Weights of the neighbors' elements: for each, every function once, of all neighbors; none for functions of
    every element and two elements."""
    functions: tuple[SymmetryFunction, ...] = ()
    """Symmetry functions one by one; if given, they are all."""

    def build(self, elements: Iterable[int]) -> ACSF:
        elements = sorted(elements)
        return ACSF(self.functions or self._functions(elements), elements)

    def _functions(self, elements: list[int]) -> list[SymmetryFunction]:
        step, turn = (1.0 - self.start) / (self.shells + 1), 180.0 / (self.angles - 1)
        ends = [(-radius, radius) for radius in self.centered]
        ends += [(self.start + k * step, self.start + (k + 2) * step) for k in range(self.shells)]
        shape = {"core": self.core, "asymmetric": self.asymmetric}
        pairs = [{"kind": "P2", "ends": own, **shape} for own in ends]
        triplets = [
            {"kind": self.triplets, "ends": own, "angles": ((k - 1) * turn, (k + 1) * turn), **shape}
            for own, k in product(self.ranges, range(self.angles))
        ]
        for f in (*pairs, *triplets):
            begin, end = f.pop("ends")  # type: ignore[misc]
            f |= {"begin": begin * self.cutoff, "cutoff": end * self.cutoff}
        return for_elements(pairs, triplets, elements, self.cutoff, self.weights)
