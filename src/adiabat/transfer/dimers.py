"""Energy curves of two atoms: what a model says where crystals and molecules are never labeled."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import find_peaks

from adiabat.batched import evaluate_many
from adiabat.elements import COVALENT_RADII, symbol
from adiabat.geometry import System
from adiabat.potential import Potential

POINTS = 60
LONGEST = 6.0  # Å, or the model's cutoff if that is shorter
ACCESSIBLE = 5.0  # eV above two separate atoms; beyond, ordinary dynamics does not come
HOLE = 0.2  # eV by which the energy may fall on the way inward from the minimum
MINIMUM = 0.1  # eV by which a minimum must lie below both its sides to count


@dataclass(frozen=True)
class Curve:
    """One pair of elements.

    Attributes:
        pair: `Si-O`.
        distances: `[points]`, Å, from half the sum of the covalent radii.
        base: `[points]`, energy of the base model above two separate atoms, eV.
        tuned: `[points]`, the same of the tuned model.
        start: sum of the covalent radii, Å.
    """

    pair: str
    distances: np.ndarray
    base: np.ndarray
    tuned: np.ndarray
    start: float

    @property
    def deviation(self) -> tuple[float, float]:
        """Largest |tuned − base| where the base is below ACCESSIBLE, eV, and its distance, Å."""
        gap = np.where(self.base <= ACCESSIBLE, np.abs(self.tuned - self.base), 0.0)
        worst = int(gap.argmax())
        return float(gap[worst]), float(self.distances[worst])

    def hole(self, energies: np.ndarray) -> float | None:
        """Distance (Å) at which the wall has fallen most, if by more than HOLE on the way inward."""
        outer = np.flatnonzero(self.distances >= 0.75 * self.start)
        bottom = int(outer[energies[outer].argmin()])
        inward = energies[: bottom + 1][::-1]
        fall = np.maximum.accumulate(inward) - inward
        worst = int(fall.argmax())
        return float(self.distances[bottom - worst]) if fall[worst] > HOLE else None

    def minima(self, energies: np.ndarray) -> list[float]:
        """Distances of the minima, Å, deeper than MINIMUM."""
        places, _ = find_peaks(-energies, prominence=MINIMUM)
        return [float(self.distances[k]) for k in places]

    @property
    def new_hole(self) -> float | None:
        """Distance of a hole that the base does not have, Å."""
        return self.hole(self.tuned) if self.hole(self.base) is None else None

    @property
    def new_minima(self) -> list[float]:
        """Minima of the tuned model beyond those of the base: the ones farthest from any of its."""
        old, new = self.minima(self.base), self.minima(self.tuned)
        far = sorted(new, key=lambda r: -min((abs(r - o) for o in old), default=np.inf))
        return far[: max(0, len(new) - len(old))]

    def row(self) -> dict[str, Any]:
        """Plain values."""
        size, place = self.deviation
        return {
            "pair": self.pair,
            "deviation": size,
            "deviation_at": place,
            "new_hole": self.new_hole,
            "new_minima": self.new_minima,
            "distances": self.distances.tolist(),
            "base": self.base.tolist(),
            "tuned": self.tuned.tolist(),
        }


def curves(base: Potential, tuned: Potential, numbers: Iterable[int]) -> list[Curve]:
    """Curves of all pairs of these elements, alike ones included; none of a global model, which has one molecule."""
    if not (base.local and tuned.local):
        return []
    made = []
    for i, j, distances in pairs(numbers, base.cutoff, POINTS):
        start = float(COVALENT_RADII[i] + COVALENT_RADII[j])
        both = [_energies(model, i, j, distances) for model in (base, tuned)]
        made.append(Curve(f"{symbol(i)}-{symbol(j)}", distances, both[0], both[1], start))
    return made


def pairs(numbers: Iterable[int], cutoff: float, points: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Every pair of these elements, alike ones included, and distances `[points]` from the wall to the cutoff, Å."""
    for i, j in itertools.combinations_with_replacement(sorted(set(numbers)), 2):
        start = float(COVALENT_RADII[i] + COVALENT_RADII[j])
        yield i, j, np.linspace(0.5 * start, max(min(LONGEST, cutoff), start), points)


def _energies(model: Potential, i: int, j: int, distances: np.ndarray) -> np.ndarray:
    apart = 2.0 * min(model.cutoff, 1e3) + 1.0
    systems = [System.from_arrays([[0.0, 0.0, 0.0], [r, 0.0, 0.0]], [i, j]) for r in (*distances, apart)]
    model.eval()
    values = np.array([float(found.energy[0]) for found in evaluate_many(model, systems, ("energy",))])
    return values[:-1] - values[-1]


def picture_data(found: Iterable[Curve]) -> Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pair to distances, base and tuned energies."""
    return {curve.pair: (curve.distances, curve.base, curve.tuned) for curve in found}
