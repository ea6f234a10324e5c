"""A simple invariant fingerprint of a frame, to measure how different two frames are.

For every pair of elements the distances of neighbors are shared between the three nearest points of a grid (quadratic
B-splines), summed over neighbors, averaged over the atoms and joined with the composition. Invariant under
translation, rotation, reflection and permutation of like atoms; two different frames of equal distances are not told
apart.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from adiabat.data.frame import Frame
from adiabat.geometry import neighbor_pairs

CUTOFF = 5.0  # Å, last point of the grid
START = 0.5  # Å, first point
BINS = 20


def pair_distances(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centers, neighbors and distances (Å) of all directed pairs within CUTOFF.

    Raises GeometryError for overlapping atoms.
    """
    system = frame.system
    pairs, shifts = neighbor_pairs(system, CUTOFF)
    i, j = pairs.numpy()
    positions = system.positions.double().numpy()
    vectors = positions[j] - positions[i] + shifts.numpy() @ system.cell[0].double().numpy()
    return i, j, np.sqrt(np.square(vectors).sum(axis=1))


def fingerprint(
    frame: Frame, elements: tuple[int, ...], pairs: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """`[element pairs · BINS + elements]`, neighbors an atom, without unit.

    Args:
        frame: one structure.
        elements: atomic numbers of the whole data set, ascending; the fingerprint's layout follows them.
        pairs: from `pair_distances`, if at hand.
    """
    i, j, distances = pair_distances(frame) if pairs is None else pairs
    place = np.zeros(119, dtype=np.int64)
    place[list(elements)] = np.arange(len(elements))
    kinds = place[frame.system.numbers.numpy()]
    species = len(elements)
    low, high = np.minimum(kinds[i], kinds[j]), np.maximum(kinds[i], kinds[j])
    block = low * species - low * (low - 1) // 2 + (high - low)
    size = species * (species + 1) // 2 * BINS
    step = np.clip((distances - START) / (CUTOFF - START) * (BINS - 1), 1, BINS - 2)
    middle = np.rint(step).astype(np.int64)
    off = step - middle
    fade = 0.5 * (np.cos(np.pi * distances / CUTOFF) + 1)  # no jump when a neighbor leaves
    histogram = np.zeros(size)
    for shift, share in ((-1, 0.5 * (0.5 - off) ** 2), (0, 0.75 - off**2), (1, 0.5 * (0.5 + off) ** 2)):
        histogram += np.bincount(block * BINS + middle + shift, fade * share, size)
    fractions = np.bincount(kinds, minlength=species) / frame.system.atoms
    return np.concatenate([histogram / frame.system.atoms, fractions])


def fingerprints(frames: Iterable[Frame], elements: tuple[int, ...]) -> np.ndarray:
    """`[frames, features]`, one fingerprint a row."""
    return np.stack([fingerprint(frame, elements) for frame in frames])


def farthest_points(points: np.ndarray, count: int, seed: int = 0) -> list[int]:
    """Indices of `count` points, each the farthest from those before it; the first is drawn with `seed`.

    Args:
        points: `[points, features]`.
        count: how many to choose, at most the number of points.
        seed: of the first choice.
    """
    chosen = [int(np.random.default_rng(seed).integers(len(points)))]
    nearest = np.square(points - points[chosen[0]]).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen[-1]] = -1.0  # never again, even among copies
        chosen.append(int(nearest.argmax()))
        distance = np.square(points - points[chosen[-1]]).sum(axis=1)
        nearest = np.where(nearest < 0, nearest, np.minimum(nearest, distance))
    return chosen
