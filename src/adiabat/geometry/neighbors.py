"""Neighbor lists: vesin behind checks, and a skin list for dynamics."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from vesin import NeighborList

from adiabat.errors import GeometryError
from adiabat.geometry.system import System, check_atoms, check_cell

MIN_DISTANCE = 0.01  # Å; closer atoms are an error of the structure, not physics


def neighbor_pairs(system: System, cutoff: float) -> tuple[Tensor, Tensor]:
    """All directed pairs within `cutoff` (Å), sorted by center.

    Returns `pairs [2, pairs]` (center, neighbor) and integer `shifts [pairs, 3]`; for an infinite cutoff both are
    empty. Raises GeometryError for overlapping atoms, and for what `System.check` refuses.
    """
    if not cutoff > 0:
        raise GeometryError(f"the cutoff {cutoff} is not positive: give a length in Å.")
    device = system.positions.device
    if cutoff == float("inf"):
        return torch.zeros((2, 0), dtype=torch.int64, device=device), torch.zeros(
            (0, 3), dtype=torch.int64, device=device
        )
    positions = system.positions.detach().double().cpu()
    cells = system.cell.detach().double().cpu()
    pbc = system.pbc.cpu()
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
    return pairs.to(device), torch.as_tensor(np.concatenate(found_shifts)).to(device)


def _pairs_of_one(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    box = complete_cell(cell, pbc)
    wrapped, moved = _wrap(positions, box, pbc)
    search = NeighborList(cutoff=float(cutoff), full_list=True)
    i, j, shifts, distances = search.compute(points=wrapped, box=box, periodic=pbc, quantities="ijSd")
    i, j, shifts = i.astype(np.int64), j.astype(np.int64), shifts.astype(np.int64).reshape(-1, 3)
    if len(distances) and distances.min() < MIN_DISTANCE:
        k = int(distances.argmin())
        raise GeometryError(
            f"atoms {i[k]} and {j[k]} are {distances[k]:.2e} Å apart, closer than {MIN_DISTANCE} Å:"
            " the structure has overlapping atoms (a duplicate, a wrong cell or a wrong length unit?)."
        )
    # undo the wrapping: positions stay as given, the shift takes up the difference
    shifts = shifts + moved[j] - moved[i]
    order = np.argsort(i, kind="stable")
    return i[order], j[order], shifts[order]


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


def _wrap(positions: np.ndarray, box: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions moved into the cell along periodic directions, and the lattice steps each atom was moved by."""
    if not pbc.any():
        return positions, np.zeros(positions.shape, dtype=np.int64)
    fractional = positions @ np.linalg.inv(box)
    steps = np.where(pbc, np.floor(fractional), 0.0)
    return positions - steps @ box, -steps.astype(np.int64)


class SkinList:
    """A neighbor list for dynamics: searched with a skin, searched again only once an atom has moved half of it.

    Args:
        cutoff: Å, the model's.
        skin: Å, extra radius; larger means fewer searches and more pairs to filter.
    """

    def __init__(self, cutoff: float, skin: float = 0.5):
        self.cutoff = cutoff
        self.skin = skin
        self.searches = 0
        self._reference: System | None = None
        self._pairs: tuple[Tensor, Tensor] | None = None

    def pairs(self, system: System) -> tuple[Tensor, Tensor]:
        """Pairs and shifts within `cutoff + skin`; a superset of the pairs within `cutoff`."""
        if self._pairs is None or self._stale(system):
            self._pairs = neighbor_pairs(system, self.cutoff + self.skin)
            self._reference = system
            self.searches += 1
        return self._pairs

    def _stale(self, system: System) -> bool:
        old = self._reference
        if old is None or old.positions.shape != system.positions.shape:
            return True
        same = (
            torch.equal(old.numbers, system.numbers)
            and torch.equal(old.pbc, system.pbc)
            and torch.equal(old.system, system.system)
            and torch.equal(old.cell, system.cell)
        )
        if not same:
            return True
        moved = (system.positions - old.positions).detach().square().sum(dim=1).max()
        return not bool(moved < (0.5 * self.skin) ** 2)  # also true for NaN, which the new search then names
