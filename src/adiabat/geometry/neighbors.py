"""Neighbor lists: all pairs within a cutoff, in one order."""

from __future__ import annotations

import ctypes
import functools
import math
import os
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from adiabat.elements import MAX_NUMBER
from adiabat.errors import CapabilityError, GeometryError
from adiabat.geometry.system import MAX_COORDINATE, System, check_atoms, check_cell
from adiabat.native import library

MIN_DISTANCE = 0.01  # Å; closer atoms are an error of the structure, not physics
_TOO_LARGE = -2  # what the search in C++ answers where memory ran out


def neighbor_pairs(system: System, cutoff: float) -> tuple[Tensor, Tensor]:
    """All directed pairs within `cutoff` (Å), sorted by center, neighbor and shift.

    Found by C++ with bins, in a time proportional to the atoms; by k-d trees on machines without a compiler.

    Returns `pairs [2, pairs]` (center, neighbor) and integer `shifts [pairs, 3]`; for an infinite cutoff both are
    empty. Raises GeometryError for overlapping atoms, and for what `System.check` refuses.
    """
    if not cutoff > 0:
        raise GeometryError(f"the cutoff {cutoff} is not positive: give a length in Å.")
    numbers = system.numbers
    if cutoff == float("inf"):
        return numbers.new_zeros((2, 0)), numbers.new_zeros((0, 3))
    search = compiled_search()
    found = None if search is None else search(system, cutoff)
    pairs, shifts = tree_pairs(system, cutoff) if found is None else found
    return pairs.to(numbers.device), shifts.to(numbers.device)


class _Search:
    """The search in C++; see neighbors.cpp."""

    def __init__(self) -> None:
        loaded = library(Path(__file__).with_suffix(".cpp"))
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        self._search, self._take = loaded.search, loaded.take
        self._search.argtypes = [count, count, pointer, pointer, count, *(pointer,) * 5]
        self._search.restype = pointer
        self._take.argtypes = [pointer, count, pointer, pointer]
        self._take.restype = count
        self._mark, self._pick = loaded.mark, loaded.pick
        self._mark.argtypes = [count, pointer, pointer, pointer, pointer, ctypes.c_double, pointer]
        self._mark.restype = count
        self._pick.argtypes = [count, count, *(pointer,) * 5]
        self._pick.restype = None

    def __call__(self, system: System, cutoff: float) -> tuple[Tensor, Tensor] | None:
        """Pairs and shifts; None where something is wrong or odd, which `tree_pairs` names or can do."""
        positions, cell = (t.detach().to("cpu", torch.float64).contiguous() for t in (system.positions, system.cell))
        numbers, pbc, owner = (t.cpu().contiguous() for t in (system.numbers, system.pbc, system.system))
        limits = (ctypes.c_double * 3)(cutoff, MIN_DISTANCE, MAX_COORDINATE)
        count = ctypes.c_int64()
        found = self._search(
            system.atoms,
            system.systems,
            positions.data_ptr(),
            numbers.data_ptr(),
            MAX_NUMBER,
            owner.data_ptr(),
            cell.data_ptr(),
            pbc.data_ptr(),
            limits,
            ctypes.byref(count),
        )
        if count.value == _TOO_LARGE:
            raise MemoryError(f"the pairs of {system.atoms} atoms within {cutoff} Å do not fit into memory.")
        if found is None:
            return None
        pairs, shifts = numbers.new_empty((2, count.value)), numbers.new_empty((count.value, 3))
        complete = self._take(found, count.value, pairs.data_ptr(), shifts.data_ptr())
        return (pairs, shifts) if complete else None

    def closer(
        self, pairs: Tensor, shifts: Tensor, positions: Tensor, cell: Tensor, limit: float, marks: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """The pairs and shifts closer than `limit` (Å); None where `marks`, which is brought up to date, had them.

        All tensors are contiguous and on the CPU, positions `[atoms, 3]` and the cell `[3, 3]` in float64.
        """
        count = pairs.shape[1]
        own = count, pairs.data_ptr(), shifts.data_ptr()
        kept = self._mark(*own, positions.data_ptr(), cell.data_ptr(), limit**2, marks.data_ptr())
        if kept < 0:
            return None
        near, near_shifts = pairs.new_empty((2, kept)), shifts.new_empty((kept, 3))
        self._pick(count, kept, marks.data_ptr(), *own[1:], near.data_ptr(), near_shifts.data_ptr())
        return near, near_shifts


def compiled_search() -> _Search | None:
    """The search in C++; None on machines that cannot compile it."""
    return _search(os.environ.get("CXX"))


@functools.cache
def _search(compiler: str | None) -> _Search | None:
    """None where $CXX, `compiler`, or whatever is there without it, makes none."""
    try:
        return _Search()
    except (CapabilityError, OSError):
        return None


def tree_pairs(system: System, cutoff: float) -> tuple[Tensor, Tensor]:
    """As `neighbor_pairs` for a finite cutoff, from a k-d tree over all images within reach: slower."""
    positions, cells, pbc = (
        system.positions.detach().double().cpu(),
        system.cell.detach().double().cpu(),
        system.pbc.cpu(),
    )
    bounds = np.concatenate([[0], system.atom_counts.cpu().numpy().cumsum()])
    found_pairs, found_shifts = [], []
    for index in range(len(system)):
        begin, end = int(bounds[index]), int(bounds[index + 1])
        check_atoms(positions[begin:end], system.numbers[begin:end].cpu())
        check_cell(cells[index], pbc[index])
        i, j, shift = _pairs_of_one(positions[begin:end].numpy(), cells[index].numpy(), pbc[index].numpy(), cutoff)
        found_pairs.append(np.stack([i, j]) + begin)
        found_shifts.append(shift)
    pairs = torch.as_tensor(np.concatenate(found_pairs, axis=1))
    return pairs, torch.as_tensor(np.concatenate(found_shifts))


def _pairs_of_one(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    box, steps = _reduce(complete_cell(cell, pbc), pbc)
    _check_distances(np.arange(3) * 0, np.arange(3) * 0, np.where(pbc, np.linalg.norm(box, axis=1), np.inf))
    box, origin = _enclose(positions, box, pbc, cutoff)
    moved = np.floor((positions - origin) @ np.linalg.inv(box)) * pbc
    points = positions - origin - moved @ box
    i, j, shifts, distances = _search_tree(points, box, cutoff)
    i, j, shifts = i.astype(np.int64), j.astype(np.int64), shifts.astype(np.int64).reshape(-1, 3)
    _check_distances(i, j, distances)
    # undo the wrapping: positions stay as given, the shift takes up the difference, in the given lattice vectors
    moved = moved.astype(np.int64)
    shifts = (shifts - moved[j] + moved[i]) @ steps
    order = _order(i, j, shifts)
    return i[order], j[order], shifts[order]


def _check_distances(i: np.ndarray, j: np.ndarray, distances: np.ndarray) -> None:
    """Raises GeometryError if some are below `MIN_DISTANCE`."""
    if len(distances) and distances.min() < MIN_DISTANCE:
        k = int(distances.argmin())
        raise GeometryError(
            f"atoms {i[k]} and {j[k]} are {distances[k]:.2e} Å apart, closer than {MIN_DISTANCE} Å:"
            " the structure has overlapping atoms (a duplicate, a wrong cell or a wrong length unit?)."
        )


def _order(i: np.ndarray, j: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Sorts pairs by center, neighbor and shift: one order, whatever the search that found them looked like.

    Sums then round alike in a simulation and in its continuation from a file.
    """
    if len(i) == 0:
        return np.zeros(0, dtype=np.int64)
    low = shifts.min(axis=0)
    span = shifts.max(axis=0) - low + 1
    if (int(j.max()) + 1) * (int(i.max()) + 1) * math.prod(span.tolist()) >= 2**63:  # atoms far outside their cells
        return np.lexsort((*shifts.T[::-1], j, i))
    key = i * (int(j.max()) + 1) + j
    for k in range(3):
        key = key * span[k] + (shifts[:, k] - low[k])
    return np.argsort(key)


def complete_cell(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Lattice vectors with the missing non-periodic ones replaced by unit normals, so that the box is regular."""
    box = np.array(cell, dtype=np.float64)
    periodic = box[pbc]
    free = np.flatnonzero(~pbc)
    if len(free) == 0:
        return box
    if len(periodic) == 0:
        return np.eye(3)
    _, _, axes = np.linalg.svd(periodic)
    box[free] = axes[len(periodic) :]
    return box


def _reduce(box: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Short vectors of the same lattice, and the whole-number matrix `steps` with reduced = steps @ box.

    A search in a cell that is skewed a thousand times its width would try every image in between and never end.
    """
    box, steps = box.copy(), np.eye(3, dtype=np.int64)
    places = [(a, b) for a in np.flatnonzero(pbc) for b in np.flatnonzero(pbc) if a != b]
    for _ in range(1000):
        changed = False
        for a, b in places:
            count = round(float(box[a] @ box[b] / (box[b] @ box[b])))
            if count:
                shorter = box[a] - count * box[b]
                if shorter @ shorter < (1.0 - 1e-12) * (box[a] @ box[a]):
                    box[a], steps[a], changed = shorter, steps[a] - count * steps[b], True
        if not changed:
            break
    return box, steps


def _enclose(positions: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """The box widened along non-periodic directions so that images there are out of reach, and its origin."""
    box, origin = box.copy(), np.zeros(3)
    for k in np.flatnonzero(~pbc):
        along = positions @ box[k]  # a unit normal to everything periodic
        low, high = float(along.min()), float(along.max())
        origin += (low - 0.5 * cutoff) * box[k]
        box[k] *= high - low + 2.0 * cutoff
    return box, origin


def _heights(box: np.ndarray) -> np.ndarray:
    return 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)


def _search_tree(points: np.ndarray, box: np.ndarray, cutoff: float) -> tuple[np.ndarray, ...]:
    """Centers, neighbors, shifts and distances, where every direction repeats."""
    reach = np.ceil(cutoff / _heights(box)).astype(int)
    steps = np.indices(tuple(2 * reach + 1)).reshape(3, -1).T - reach
    images = (points[None] + (steps @ box)[:, None]).reshape(-1, 3)
    found = KDTree(points).sparse_distance_matrix(KDTree(images), 1.000001 * cutoff, output_type="ndarray")
    i, j, shifts = found["i"], found["j"] % len(points), steps[found["j"] // len(points)]
    a, b, c = shifts.T[:, :, None]
    vectors = (points[j] - points[i]) + (a * box[0] + b * box[1] + c * box[2])  # rounded alike from either end
    distances = np.sqrt((vectors**2).sum(axis=1))
    keep = (distances < cutoff) & ((i != j) | shifts.any(axis=1))
    return i[keep], j[keep], shifts[keep], distances[keep]
