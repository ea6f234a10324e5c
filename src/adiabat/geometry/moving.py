"""The graph of one structure that moves: what did not change since the last step is kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adiabat.errors import GeometryError
from adiabat.geometry.graph import Graph
from adiabat.geometry.neighbors import compiled_search, neighbor_pairs
from adiabat.geometry.system import System, check_atoms

SKIN = 0.7  # Å, see `MovingGraph`


class MovingGraph:
    """Graphs of the same atoms at ever new positions, in the model's number type and on its device.

    The neighbor search finds the pairs within `cutoff + skin` and is repeated only once a pair outside may have come
    within the cutoff. Every graph holds the pairs within the cutoff alone, whatever was searched before: a model's
    cost grows with its pairs, dropping a pair costs a hundredth of evaluating it, and a simulation continued from a
    file sees the same pairs in the same order as one that was never interrupted.

    Args:
        system: one system with exact positions (float64, on the CPU).
        cutoff: Å, the model's; infinite for a global model.
        skin: Å, extra radius of the search. Half of it is how far an atom may move between searches: a wide skin
            means few searches and more pairs to drop in every step. The optimum is flat (water and silicon at 300 K,
            silicon at 1000 K, a molecule: within a fifth of the best from 0.4 to 1.0 Å), so it is a constant.
        slack: Å, graphs may keep pairs up to so far beyond the cutoff, and are then not filtered in every step. For
            devices where counting the pairs that stay means waiting for the device.
        device: of the graphs.
        dtype: of the graphs.

    Attributes:
        searches: how many neighbor searches there were.

    Raises:
        GeometryError: overlapping atoms, positions that are not finite, a singular cell.
    """

    def __init__(
        self,
        system: System,
        cutoff: float,
        skin: float = SKIN,
        slack: float = 0.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ):
        if len(system) != 1:
            raise GeometryError(f"{len(system)} systems were given as one that moves: give them one by one.")
        if not 0 <= slack <= skin:
            raise GeometryError(f"the slack {slack} Å is not between 0 and the skin, {skin} Å.")
        self.cutoff, self.skin, self.slack = float(cutoff), float(skin), float(slack)
        self.searches = 0
        self._exact = system
        self._fixed = system.to(device, dtype)
        self._cell = system.cell[0].numpy().copy()
        self._searched: Reference | None = None
        self._filtered: Reference | None = None
        self._pairs = torch.zeros((2, 0), dtype=torch.int64, device=device)
        self._shifts = torch.zeros((0, 3), dtype=torch.int64, device=device)
        self._offsets: Tensor | None = None
        self._keep = torch.zeros(0, dtype=torch.bool, device=device)  # which pairs the last graph has
        self._graph = Graph(self._fixed, self._pairs, self._shifts, self.cutoff)

    def move(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Graph:
        """The graph at these positions `[atoms, 3]` and, if it changed, with this cell `[3, 3]`, Å.

        The arrays are copied. Pairs and shifts are the same tensors as before if no pair came or went.
        """
        positions = np.array(positions, dtype=np.float64, order="C")
        if cell is not None and not np.array_equal(cell, self._cell):
            self._cell = np.array(cell, dtype=np.float64, order="C")
            exact = torch.as_tensor(self._cell)[None]
            self._exact = self._exact.replace(cell=exact)
            self._fixed = self._fixed.replace(cell=exact.to(self._fixed.cell))
            self._offsets = None
        exact = torch.from_numpy(positions)
        if self.cutoff == float("inf"):
            check_atoms(exact, self._exact.numbers)
            return self._at(exact.to(self._fixed.positions.device))
        if self._searched is None or self._searched.passed(positions, self._cell, self.cutoff, self.skin):
            self._search(positions)
        placed = exact.to(self._fixed.positions.device)
        if self._filtered is None or self._filtered.passed(positions, self._cell, self.cutoff, self.slack):
            self._filter(placed)
            if self.slack:
                self._filtered = Reference(positions, self._cell, self._exact.pbc[0].numpy())
        return self._at(placed)

    def keep(self, graph: Graph) -> None:
        """Hands in what was made of the pairs of the last graph (layout, halves), for the next with these pairs."""
        last = self._graph
        if graph.pairs is last.pairs and (graph.layout is not last.layout or graph.halves is not last.halves):
            self._graph = last.replace(layout=graph.layout, halves=graph.halves)

    def _at(self, placed: Tensor) -> Graph:
        fixed, last = self._fixed, self._graph
        system = fixed.replace(positions=placed.to(fixed.positions.dtype))
        return Graph(system, last.pairs, last.shifts, self.cutoff, None, last.layout, None, last.halves)

    def _search(self, positions: np.ndarray) -> None:
        system = self._exact.replace(positions=torch.from_numpy(positions))
        pairs, shifts = neighbor_pairs(system, self.cutoff + self.skin)
        device = self._fixed.positions.device
        self._pairs, self._shifts = pairs.to(device), shifts.to(device)
        self._searched = Reference(positions, self._cell, system.pbc[0].numpy())
        self._filtered = self._offsets = None
        self._keep = torch.zeros(pairs.shape[1], dtype=torch.bool, device=device)
        self._graph = self._graph.replace(pairs=self._pairs[:, :0], shifts=self._shifts[:0])
        self.searches += 1

    def _filter(self, placed: Tensor) -> None:
        """Keeps the pairs within the cutoff (and slack), by their exact distances."""
        search, limit = compiled_search() if placed.device.type == "cpu" else None, self.cutoff + self.slack
        if search is None:
            near = self._closer(placed, limit)
        else:
            near = search.closer(self._pairs, self._shifts, placed, torch.from_numpy(self._cell), limit, self._keep)
        if near is not None:
            self._graph = self._graph.replace(pairs=near[0], shifts=near[1])

    def _closer(self, placed: Tensor, limit: float) -> tuple[Tensor, Tensor] | None:
        """The pairs and shifts closer than `limit` (Å); None if the last graph has them."""
        rows = placed.T.contiguous()  # one row a coordinate: sums over three neighbors in memory are slow
        vectors = rows.index_select(1, self._pairs[1]) - rows.index_select(1, self._pairs[0])
        if self._exact.pbc.any():
            if self._offsets is None:
                cell = torch.as_tensor(self._cell, device=placed.device)
                self._offsets = (self._shifts.double() @ cell).T.contiguous()
            vectors += self._offsets
        keep = vectors.square_().sum(dim=0) < limit**2
        if torch.equal(keep, self._keep):
            return None
        self._keep = keep
        kept = keep.nonzero()[:, 0]
        return self._pairs.index_select(1, kept), self._shifts.index_select(0, kept)


class Reference:
    """Where the atoms were, and whether a pair may since have crossed a margin beyond the cutoff."""

    def __init__(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray):
        self.positions, self.cell, self.periodic = positions, cell, bool(pbc.all())

    def passed(self, positions: np.ndarray, cell: np.ndarray, cutoff: float, margin: float) -> bool:
        """Whether a pair that was beyond `cutoff + margin` may now be within `cutoff`.

        A deformed cell carries the atoms along: a vector d of the old crystal becomes d F with F = old⁻¹ new, at
        least σ_min(F) |d| long, and the atoms' own motion u against that shortens it by 2 max |u| at most.
        """
        reach = cutoff + margin
        if cell is self.cell:
            own = positions - self.positions
        elif self.periodic:
            map_ = np.linalg.solve(self.cell, cell)
            own = positions - self.positions @ map_
            reach *= float(np.linalg.svd(map_, compute_uv=False)[-1])
        else:
            return True
        limit = 0.5 * (reach - cutoff)
        # the comparison is false for NaN, which the new search then names
        return not (limit > 0.0 and np.einsum("ij,ij->i", own, own).max() < limit * limit)
