"""Which symmetry functions to use: one by one, or a recipe for every combination of elements.

Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717; evenly shifted radial functions as in Gastegger et
al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations_with_replacement, product
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from adiabat.elements import symbols
from adiabat.errors import ConfigError
from adiabat.settings import Settings

Weight = Literal["number", "one"] | dict[str, float]
Core = Literal["poly1", "poly2", "poly3", "poly4", "exponential"]


class SymmetryFunction(Settings):
    """One function of one element's environment."""

    kind: Literal["G1", "G2", "G3", "G4", "G5", "P2", "P4", "P5"]
    """G1, G2, G3: pairs; G4: triplets with all three distances; G5: triplets without the neighbors' distance; P2, P4
    and P5: the same of compact functions."""
    center: str
    """Symbol of the central atom."""
    neighbors: tuple[str, ...] = ()
    """Symbols of the neighbors: one for pairs, two for triplets, in either order; none for all, weighted."""
    weight: Weight = "number"
    """Weight of neighbors of each element where none is named: number (Z), one, or a number for each symbol; those of
    triplets are products of two."""
    eta: float = Field(default=0.0, ge=0.0)
    """η of G2, G4 and G5, Å⁻²."""
    shift: float = 0.0
    """R_s of G2, G4 and G5, Å."""
    kappa: float = 0.0
    """κ of G3, Å⁻¹."""
    zeta: float = 1.0
    """ζ of G4 and G5, sharpness of the angular part, at least 1; some published potentials have negative ones."""
    sign: Literal[-1, 1] = 1
    """λ of G4 and G5: +1 has its maximum at 0°, −1 at 180°."""
    cutoff: float = Field(gt=0.0)
    """R_c, Å."""
    begin: float = 0.0
    """Where compact functions of distances begin, Å, and may be negative; they end at the cutoff."""
    angles: tuple[float, float] = (0.0, 180.0)
    """Where those of angles begin and end, degrees; beyond 0 or 180 only if centered there."""
    core: Core = "poly2"
    """How compact functions fall from their middle."""
    asymmetric: bool = False
    """Whether those of distances fall as core((2 − u) u) instead of core(u)."""

    @model_validator(mode="after")
    def _smooth(self) -> Self:
        if 0.0 <= self.zeta < 1.0:
            raise ValueError(f"zeta = {self.zeta} has no finite slope: give at least 1")
        return self

    @property
    def pairwise(self) -> bool:
        """Whether it is a sum over pairs."""
        return self.kind in ("G1", "G2", "G3", "P2")

    @property
    def wide(self) -> bool:
        """Whether it is of triplets and leaves the neighbors' distance out."""
        return self.kind in ("G5", "P5")

    @property
    def compact(self) -> bool:
        """Whether it is of compact functions."""
        return self.kind.startswith("P")

    def weights(self, elements: Iterable[int]) -> tuple[float, ...]:
        """Weight of each element; none where neighbors are named."""
        if self.neighbors:
            return ()
        if isinstance(self.weight, str):
            return tuple(float(z) if self.weight == "number" else 1.0 for z in elements)
        missing = [s for s in symbols(elements) if s not in self.weight]
        if missing:
            raise ConfigError(f"weight {self.weight} has no number for {missing[0]}: add one.")
        return tuple(self.weight[s] for s in symbols(elements))


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

    weights: tuple[Weight, ...] = ()
    """Weights of the neighbors' elements: for each, every function once, of all neighbors; none for functions of
    every element and two elements."""

    def functions(self, elements: Iterable[int], cutoff: float) -> list[SymmetryFunction]:
        """The symmetry functions for these elements and this cutoff (Å)."""
        step = (1.0 - self.start) * cutoff / max(self.shifted, 1)
        radial = [(eta / cutoff**2, 0.0) for eta in self.centered]
        radial += [(0.5 / step**2, self.start * cutoff + k * step) for k in range(self.shifted)]
        pairs = [{"kind": "G2", "eta": eta, "shift": shift} for eta, shift in radial]
        triplets = [
            {"kind": self.triplets, "eta": eta / cutoff**2, "zeta": zeta, "sign": sign}
            for eta, zeta, sign in product(self.angular, self.zetas, self.signs)
        ]
        return for_elements(pairs, triplets, elements, cutoff, self.weights)


def for_elements(
    pairs: Sequence[Mapping[str, Any]],
    triplets: Sequence[Mapping[str, Any]],
    elements: Iterable[int],
    cutoff: float,
    weights: Sequence[Weight] = (),
) -> list[SymmetryFunction]:
    """Functions with these options for every center and every one or two neighbors, or all with each weight."""
    names = symbols(sorted(elements))
    found = []
    for center in names:
        own: list[dict[str, Any]] = [{"weight": weight} | dict(f) for weight in weights for f in (*pairs, *triplets)]
        if not weights:
            own += [{"neighbors": (near,)} | dict(f) for near in names for f in pairs]
            both = combinations_with_replacement(names, 2)
            own += [{"neighbors": near} | dict(f) for near in both for f in triplets]
        found += [SymmetryFunction(**({"center": center, "cutoff": cutoff} | f)) for f in own]
    return found


WEIGHTED = Recipe(
    centered=(),
    shifted=22,
    start=0.0625,
    angular=(12.5, 3.125, 1.389, 0.781, 0.5),
    zetas=(1.0,),
    weights=("number",),
)
"""22 radial and 10 angular functions of all neighbors, as in doi:10.1063/1.5019667; the angular Gaussians are as wide
as a fifth of the cutoff, two fifths and so on."""
