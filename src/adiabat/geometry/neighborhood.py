"""Layouts of pairs for sums over neighbors: rows of equal length, or the plain list."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from adiabat.geometry.halves import Halves
from adiabat.geometry.system import System


@dataclass(frozen=True)
class Neighborhood:
    """Pairs sorted by center, laid out as one row of equal length per atom.

    A sum over neighbors is then a matrix product per atom, and no tensor with pairs, components and channels at once
    is ever made. Rows shorter than the longest are filled up with slots that carry zeros. Its width depends on the
    data, so a model that is traced for compilation finds it made already (`Graph.rows`).

    Attributes:
        slot: where each pair is among the slots, row after row `[pairs]`.
        table: the neighbor in each slot `[atoms, width]`, 0 in a filled-up one.
    """

    slot: Tensor
    table: Tensor

    @classmethod
    def of(cls, pairs: Tensor, atoms: int) -> Neighborhood:
        """From `pairs [2, pairs]` sorted by center."""
        centers, neighbors = pairs
        counts = torch.bincount(centers, minlength=atoms)
        width = int(counts.max()) if atoms else 0
        begins = counts.cumsum(0) - counts
        slot = torch.arange(len(centers), device=centers.device) - begins[centers] + width * centers
        padded = neighbors.new_zeros(atoms * width).index_copy(0, slot, neighbors)
        return cls(slot, padded.view(atoms, width))

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return self.table.shape[0]

    @property
    def width(self) -> int:
        """Slots per atom, the largest number of neighbors."""
        return self.table.shape[1]

    @property
    def neighbors(self) -> Tensor:
        """The neighbor in each slot `[atoms · width]`."""
        return self.table.reshape(-1)

    def pad(self, values: Tensor) -> Tensor:
        """`[pairs, ...]` to `[atoms · width, ...]`, zeros in filled-up slots."""
        empty = values.new_zeros((self.atoms * self.width, *values.shape[1:]))
        return empty.index_copy(0, self.slot, values)

    def slots(self, halves: Halves) -> Halves:
        """The same halves of slots instead of pairs; those filled up belong to the first, whatever that means."""
        half_of = halves.half_of.new_zeros(self.atoms * self.width).index_copy(0, self.slot, halves.half_of)
        return Halves(self.slot[halves.both], half_of)

    def of_centers(self, values: Tensor) -> Tensor:
        """Values of atoms `[atoms, ...]` in all slots of each atom `[atoms · width, ...]`."""
        spread = values[:, None].expand(-1, self.width, *values.shape[1:])
        return spread.reshape(-1, *values.shape[1:])

    def sum(self, values: Tensor) -> Tensor:
        """Sum over neighbors: `[atoms · width, ...]` to `[atoms, ...]`."""
        return values.view(self.atoms, self.width, *values.shape[1:]).sum(dim=1)

    def largest(self, values: Tensor, least: float) -> Tensor:
        """The largest among the slots, filled-up ones included, and `least`: `[slots, n]` to `[atoms, n]`."""
        rows = values.view(self.atoms, self.width, values.shape[1])
        return functional.pad(rows, (0, 0, 0, 1), value=least).amax(dim=1)

    def contract(self, left: Tensor, right: Tensor) -> Tensor:
        """Σ_jm L_jmn R_jmc: `[slots, m, n]` and `[slots, m, c]` to `[atoms, n, c]`."""
        inner = self.width * left.shape[1]
        rows = left.reshape(self.atoms, inner, left.shape[2])
        return torch.bmm(rows.transpose(1, 2), right.reshape(self.atoms, inner, right.shape[2]))


@dataclass(frozen=True)
class PairList:
    """The same interface with one slot for each pair, in the order of the list: nothing depends on the data.

    Slower than `Neighborhood` on many pairs; for programs that have only the list, such as an exported model.

    Attributes:
        pairs: `[2, pairs]`, sorted by center.
        atoms: number of atoms.
    """

    pairs: Tensor
    atoms: int

    def vectors(self, system: System, shifts: Tensor) -> Tensor:
        """r_j + shift·cell − r_i, `[pairs, 3]`, Å."""
        centers, neighbors = self.pairs
        cells = system.cell[system.system[centers]]
        offsets = torch.bmm(shifts.to(system.positions.dtype)[:, None], cells)[:, 0]
        return system.positions[neighbors] - system.positions[centers] + offsets

    @property
    def neighbors(self) -> Tensor:
        """The neighbor in each slot `[pairs]`."""
        return self.pairs[1]

    def pad(self, values: Tensor) -> Tensor:
        """As given: every pair is a slot."""
        return values

    def slots(self, halves: Halves) -> Halves:
        """As given."""
        return halves

    def of_centers(self, values: Tensor) -> Tensor:
        """Values of atoms `[atoms, ...]` in all slots of each atom `[pairs, ...]`."""
        return values.index_select(0, self.pairs[0])

    def sum(self, values: Tensor) -> Tensor:
        """Sum over neighbors: `[pairs, ...]` to `[atoms, ...]`."""
        return values.new_zeros((self.atoms, *values.shape[1:])).index_add(0, self.pairs[0], values)

    def largest(self, values: Tensor, least: float) -> Tensor:
        """The largest among the neighbors and `least`: `[pairs, n]` to `[atoms, n]`."""
        found = values.new_full((self.atoms, values.shape[1]), least)
        return found.scatter_reduce(0, self.pairs[0][:, None].expand_as(values), values, "amax")

    def contract(self, left: Tensor, right: Tensor) -> Tensor:
        """Σ_jm L_jmn R_jmc: `[pairs, m, n]` and `[pairs, m, c]` to `[atoms, n, c]`."""
        return self.sum(torch.bmm(left.transpose(1, 2), right))
