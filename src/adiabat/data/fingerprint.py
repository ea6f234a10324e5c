"""A simple invariant fingerprint of a frame, to measure how different two frames are.

For every pair of elements the distances of neighbors are spread on a grid with Gaussians, summed over neighbors,
averaged over the atoms and joined with the composition. Invariant under translation, rotation, reflection and
permutation of like atoms; two different frames of equal distances are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from adiabat.data.frame import Frame
from adiabat.geometry import neighbor_pairs

CUTOFF = 5.0  # Å
BINS = 20


def fingerprint(frame: Frame, elements: tuple[int, ...]) -> np.ndarray:
    """`[element pairs · BINS + elements]`, without unit.

    Args:
        frame: one structure.
        elements: atomic numbers of the whole data set, ascending; the fingerprint's layout follows them.
    """
    system = frame.system
    pairs, shifts = neighbor_pairs(system, CUTOFF)
    i, j = pairs.numpy()
    positions = system.positions.double().numpy()
    vectors = positions[j] - positions[i] + shifts.numpy() @ system.cell[0].double().numpy()
    distances = np.sqrt(np.square(vectors).sum(axis=1))
    place = np.zeros(119, dtype=np.int64)
    place[list(elements)] = np.arange(len(elements))
    kinds = place[system.numbers.numpy()]
    species = len(elements)
    low, high = np.minimum(kinds[i], kinds[j]), np.maximum(kinds[i], kinds[j])
    block = low * species - low * (low - 1) // 2 + (high - low)
    blocks = species * (species + 1) // 2
    grid, width = np.linspace(0.5, CUTOFF, BINS), (CUTOFF - 0.5) / (BINS - 1)
    fade = 0.5 * (np.cos(np.pi * distances / CUTOFF) + 1)  # no jump when a neighbor leaves
    spread = np.exp(-0.5 * ((distances[:, None] - grid) / width) ** 2) * fade[:, None]
    histogram = np.zeros((blocks, BINS))
    np.add.at(histogram, block, spread)
    fractions = np.bincount(kinds, minlength=species) / system.atoms
    return np.concatenate([histogram.ravel() / system.atoms, fractions])


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
