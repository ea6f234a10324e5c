"""Small structures that every potential must cope with, in the elements that it knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.build import molecule

from adiabat.elements import COVALENT_RADII
from adiabat.geometry import System

FAR = 20.0  # Å between fragments


def structures(elements: Sequence[int], cutoff: float = 5.0) -> dict[str, System]:
    """Seven structures by name.

    - `molecule`: rattled ethanol; elements the potential does not know are replaced and the molecule widened.
    - `triclinic`: four atoms in a skewed periodic cell, smaller than common cutoffs.
    - `left-handed`: two atoms in a cell of negative determinant.
    - `one-atom`: the primitive cell of a close-packed crystal.
    - `slab`: three atoms, periodic in two directions.
    - `fragments`: two diatomics farther apart than the cutoff, at least 20 Å.
    - `atom`: a single one, without any neighbor.

    Args:
        elements: atomic numbers the potential knows.
        cutoff: the potential's, Å.
    """
    known = sorted(int(z) for z in elements)
    return {
        "molecule": _molecule(known),
        "triclinic": _triclinic(known),
        "left-handed": _left_handed(known),
        "one-atom": _one_atom(known),
        "slab": _slab(known),
        "fragments": _fragments(known, cutoff if np.isfinite(cutoff) else FAR),
        "atom": System.from_arrays([[0.1, -0.2, 0.3]], known[:1]),
    }


def _pick(known: Sequence[int], count: int) -> np.ndarray:
    return np.array([known[k % len(known)] for k in range(count)])


def _roomy(positions: np.ndarray, numbers: np.ndarray, vectors: np.ndarray | None = None) -> float:
    """Factor that brings the closest pair, images included, to at least 0.9 times the sum of covalent radii."""
    shifts = np.zeros((1, 3)) if vectors is None else np.indices((3, 3, 3)).reshape(3, -1).T - 1.0
    steps = shifts @ (np.eye(3) if vectors is None else vectors)
    apart = positions[:, None, None] - positions[None, :, None] + steps
    distance = np.linalg.norm(apart, axis=-1)
    radii = COVALENT_RADII[numbers]
    needed = 0.9 * (radii[:, None] + radii[None, :])[:, :, None] / np.where(distance > 1e-9, distance, np.inf)
    return max(1.0, float(needed.max()))


def _molecule(known: Sequence[int]) -> System:
    ethanol = molecule("CH3CH2OH")
    numbers, positions = ethanol.numbers, ethanol.positions
    if not set(numbers.tolist()) <= set(known):
        replacement = {z: known[k % len(known)] for k, z in enumerate((1, 6, 8))}
        numbers = np.array([replacement[z] for z in numbers.tolist()])
        positions = positions * _roomy(positions, numbers)
    rattle = np.random.default_rng(7).normal(scale=0.03, size=positions.shape)
    return System.from_arrays(positions + rattle, numbers)


def _crystal(fractional: list[list[float]], cell: list[list[float]], known: Sequence[int], pbc: object) -> System:
    numbers = _pick(known, len(fractional))
    vectors = np.array(cell)
    positions = np.array(fractional) @ vectors
    factor = _roomy(positions, numbers, vectors)
    return System.from_arrays(positions * factor, numbers, vectors * factor, pbc)


def _triclinic(known: Sequence[int]) -> System:
    fractional = [[0.02, 0.03, 0.0], [0.5, 0.47, 0.05], [0.52, 0.0, 0.5], [-0.04, 1.53, 0.46]]  # one lies outside
    return _crystal(fractional, [[3.3, 0.1, 0.0], [0.8, 3.5, -0.2], [-0.6, 0.5, 3.8]], known, True)


def _left_handed(known: Sequence[int]) -> System:
    return _crystal(
        [[0.0, 0.0, 0.0], [0.48, 0.55, 0.5]], [[0.2, 2.9, 0.1], [2.8, 0.0, 0.3], [0.1, 0.4, 3.1]], known, True
    )


def _one_atom(known: Sequence[int]) -> System:
    return _crystal([[0.0, 0.0, 0.0]], [[0.0, 1.8, 1.81], [1.8, 0.0, 1.79], [1.83, 1.8, 0.0]], known[-1:], True)


def _slab(known: Sequence[int]) -> System:
    fractional = [[0.0, 0.0, 0.30], [0.45, 0.52, 0.43], [0.05, 0.08, 0.56]]
    return _crystal(fractional, [[2.7, 0.0, 0.0], [0.7, 2.9, 0.0], [0.3, -0.2, 15.0]], known, [True, True, False])


def _fragments(known: Sequence[int], cutoff: float) -> System:
    numbers = _pick(known, 4)
    bond = float(COVALENT_RADII[numbers[:2]].sum())
    other = float(COVALENT_RADII[numbers[2:]].sum())
    far = max(FAR, cutoff + 5.0)
    return System.from_arrays(
        [[0, 0, 0], [bond, 0.1, 0], [far + bond, 0.3, 0.2], [far + bond, 0.3, 0.2 + 1.1 * other]], numbers
    )
