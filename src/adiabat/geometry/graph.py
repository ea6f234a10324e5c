"""Graph: a System with its neighbor pairs, and what is derived from pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adiabat.errors import GeometryError
from adiabat.geometry.bonds import Bonds
from adiabat.geometry.far_pairs import FarPairs
from adiabat.geometry.halves import Halves
from adiabat.geometry.near_pairs import NearPairs
from adiabat.geometry.neighborhood import Neighborhood, PairList
from adiabat.geometry.neighbors import neighbor_pairs
from adiabat.geometry.records import replace
from adiabat.geometry.system import System
from adiabat.geometry.waves import plane_waves

# what is derived from the pairs beforehand
MADE = ("layout", "triplets", "halves", "bonds", "waves", "couples", "members", "far", "near")


@dataclass(frozen=True)
class Graph:
    """Atoms and their directed neighbor pairs, each pair in both directions, sorted by center.

    Attributes:
        system: the atoms.
        pairs: `[2, pairs]` int64, row 0 the center i, row 1 the neighbor j.
        shifts: `[pairs, 3]` integer cell shifts of the neighbor.
        cutoff: Å; every pair within it is listed, images of an atom with itself included. Infinite for a
            global model: then there are no pairs and the model reads positions.
        owned: `[atoms]` bool or None; energies count owned atoms only, the rest are ghosts.
        layout: of the pairs for sums over neighbors, or None: `rows` makes it.
        triplets: `[2, triplets]` or None; pairs that share a center, made beforehand by `Potential.prepare`.
        halves: which pairs are one seen from either end, or None; made beforehand by `with_halves`.
        bonds: the short ones of the halves and their angles, or None; made beforehand by `with_bonds`.
        waves: plane waves with the cells' periods `[systems, waves, 3]`, or None; made beforehand by `with_waves`.
        couples: `[2, couples]` or None; ordered pairs of different atoms of one system, whatever their distance and
            without images, made beforehand by `with_couples`.
        members: the atoms of each system as one row, or None; made beforehand by `with_members`.
        far: pairs of a lattice sum in real space, or None; made beforehand by a model that has one.
        near: the pairs within a shorter radius, or None; made beforehand by `with_near`.
    """

    system: System
    pairs: Tensor
    shifts: Tensor
    cutoff: float
    owned: Tensor | None = None
    layout: Neighborhood | PairList | None = None
    triplets: Tensor | None = None
    halves: Halves | None = None
    bonds: Bonds | None = None
    waves: Tensor | None = None
    couples: Tensor | None = None
    members: Neighborhood | None = None
    far: FarPairs | None = None
    near: NearPairs | None = None

    @property
    def centers(self) -> Tensor:
        """`[pairs]`, center atom of each pair."""
        return self.pairs[0]

    @property
    def neighbors(self) -> Tensor:
        """`[pairs]`, neighbor atom of each pair."""
        return self.pairs[1]

    def vectors(self) -> Tensor:
        """r_j + shift·cell − r_i, `[pairs, 3]`, Å."""
        pairs = self.layout if isinstance(self.layout, PairList) else PairList(self.pairs, self.system.atoms)
        return pairs.vectors(self.system, self.shifts)

    def of_centers(self, values: Tensor) -> Tensor:
        """Values of atoms `[atoms, ...]` at the center of each pair `[pairs, ...]`."""
        return values.index_select(0, self.centers)

    def of_neighbors(self, values: Tensor) -> Tensor:
        """Values of atoms `[atoms, ...]` at the neighbor of each pair `[pairs, ...]`."""
        return values.index_select(0, self.neighbors)

    def sum_over_neighbors(self, values: Tensor) -> Tensor:
        """Sums of pairs' values `[pairs, ...]` over the neighbors of each atom `[atoms, ...]`."""
        return values.new_zeros((self.system.atoms, *values.shape[1:])).index_add(0, self.centers, values)

    def sum_over_centers(self, values: Tensor) -> Tensor:
        """Sums of pairs' values `[pairs, ...]` over the centers that each atom is a neighbor of `[atoms, ...]`."""
        return values.new_zeros((self.system.atoms, *values.shape[1:])).index_add(0, self.neighbors, values)

    def with_halves(self) -> Graph:
        """A copy with `halves`, if every pair has its reverse."""
        return self if self.halves is not None else replace(self, halves=Halves.of(self.pairs, self.shifts))

    def with_bonds(self, cutoff: float) -> Graph:
        """A copy with `halves` and with `bonds` shorter than `cutoff` (Å).

        Raises GeometryError if some pair lacks its reverse, without which bonds have no two ends.
        """
        if self.bonds is not None:
            return self
        graph = self.with_halves()
        if graph.halves is None:
            raise GeometryError("some pair of the graph lacks its reverse, and bonds need both: list all pairs.")
        close = graph.once(self.vectors().detach()).square().sum(dim=1) < cutoff**2
        both = graph.halves.both.index_select(1, close.nonzero()[:, 0])
        ends, order = self.centers.index_select(0, both.flatten()).sort(stable=True)
        first, second = triplets(ends, self.system.atoms)
        return replace(graph, bonds=Bonds(both, torch.stack([order[first], order[second]])))

    def with_waves(self, reach: float) -> Graph:
        """A copy with `waves` up to `reach` (Å⁻¹)."""
        return self if self.waves is not None else replace(self, waves=plane_waves(self.system, reach))

    def with_couples(self) -> Graph:
        """A copy with `couples`."""
        return self if self.couples is not None else replace(self, couples=couples(self.system))

    def with_members(self) -> Graph:
        """A copy with `members`."""
        if self.members is not None:
            return self
        owners = self.system.system
        atoms = torch.arange(owners.shape[0], device=owners.device)
        return replace(self, members=Neighborhood.of(torch.stack([owners, atoms]), len(self.system)))

    def with_near(self, cutoff: float) -> Graph:
        """A copy with `near`, the pairs closer than `cutoff` (Å); all of them if the layout is the plain list."""
        if self.near is not None:
            return self
        if isinstance(self.layout, PairList):
            return replace(self, near=NearPairs.every(self.layout))
        close = self.vectors().detach().square().sum(dim=1) < cutoff**2
        return replace(self, near=NearPairs.of(self.pairs, close, self.system.atoms))

    def triplets_within(self, cutoff: float) -> Tensor:
        """Unordered pairs of pairs that share a center, both closer than `cutoff` (Å) `[2, triplets]`."""
        close = (self.vectors().detach().norm(dim=1) < cutoff).nonzero()[:, 0]
        first, second = triplets(self.centers[close], self.system.atoms)
        return torch.stack([close[first], close[second]])

    def once(self, values: Tensor) -> Tensor:
        """Pairs' values that are the same both ways, once `[halves, ...]`; as they are without `halves`."""
        return values if self.halves is None else self.halves.once(values)

    def spread(self, values: Tensor) -> Tensor:
        """What `once` made shorter, for every pair again `[pairs, ...]`."""
        return values if self.halves is None else self.halves.spread(values)

    def rows(self) -> Neighborhood | PairList:
        """The pairs laid out in rows: the stored layout, or a new one."""
        return Neighborhood.of(self.pairs, self.system.atoms) if self.layout is None else self.layout

    def neighborhood(self) -> Neighborhood:
        """The pairs in rows with a slot for each neighbor, also where they are stored as a list."""
        rows = self.rows()
        return rows if isinstance(rows, Neighborhood) else Neighborhood.of(self.pairs, self.system.atoms)

    def replace(self, **changes: Any) -> Graph:
        """A copy with some fields changed. With the pairs, what was derived from them goes."""
        if {"pairs", "shifts"} & changes.keys():
            changes = dict.fromkeys(MADE) | changes
        return replace(self, **changes)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graph:
        """A copy on another device or with another floating-point type, without what was made beforehand."""
        system = self.system.to(device, dtype)
        if system is self.system and all(getattr(self, name) is None for name in MADE):
            return self
        owned = None if self.owned is None else self.owned.to(device)
        return self.replace(
            system=system,
            pairs=self.pairs.to(device),
            shifts=self.shifts.to(device),
            owned=owned,
        )

    @classmethod
    def build(cls, system: System, cutoff: float) -> Graph:
        """Finds all pairs within `cutoff` (Å) of each system of the batch.

        Raises GeometryError for atoms closer than 0.01 Å (overlapping) or coordinates beyond the list's range.
        """
        pairs, shifts = neighbor_pairs(system, cutoff)
        return cls(system, pairs, shifts, float(cutoff))

    @classmethod
    def batch(cls, graphs: Sequence[Graph]) -> Graph:
        """Several graphs of the same cutoff as one."""
        if len(graphs) == 1:
            return graphs[0]
        pairs, start = [], 0
        for graph in graphs:
            pairs.append(graph.pairs + start)
            start += graph.system.atoms
        owned = None
        if any(g.owned is not None for g in graphs):
            owned = torch.cat(
                [torch.ones_like(g.system.numbers, dtype=torch.bool) if g.owned is None else g.owned for g in graphs]
            )
        return cls(
            System.batch([g.system for g in graphs]),
            torch.cat(pairs, dim=1),
            torch.cat([g.shifts for g in graphs]),
            graphs[0].cutoff,
            owned,
        )

    def within(self, cutoff: float) -> Graph:
        """The same atoms with only the pairs closer than `cutoff` (Å)."""
        if cutoff >= self.cutoff:
            return self
        keep = self.vectors().detach().square().sum(dim=1) < cutoff**2
        return self.replace(pairs=self.pairs[:, keep], shifts=self.shifts[keep], cutoff=float(cutoff))


def couples(system: System) -> Tensor:
    """Ordered pairs of different atoms of one system `[2, couples]`, sorted by the first."""
    counts = system.atom_counts
    partners = counts[system.system]
    first = torch.repeat_interleave(partners)
    begins = (counts.cumsum(0) - counts)[system.system]  # first atom of the system that each atom is in
    place = torch.arange(first.shape[0], device=first.device) - (partners.cumsum(0) - partners)[first]
    second = begins[first] + place
    return torch.stack([first, second])[:, first != second]


def triplets(centers: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
    """Unordered pairs of pairs that share a center: `(first, second)`, indices into the pair list, first < second.

    Args:
        centers: `[pairs]`, sorted ascending.
        atoms: number of atoms.
    """
    counts = torch.bincount(centers, minlength=atoms)
    ends = counts.cumsum(0)[centers]
    rows = torch.arange(len(centers), device=centers.device)
    later = ends - rows - 1  # for each pair, how many later pairs have the same center
    first = torch.repeat_interleave(rows, later)
    begins = later.cumsum(0) - later
    second = torch.arange(len(first), device=centers.device) - begins[first] + first + 1
    return first, second
