"""Pairs of a lattice sum's part in real space, which reach farther than a model's neighborhoods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adiabat.geometry.neighbors import neighbor_pairs
from adiabat.geometry.system import System


@dataclass(frozen=True)
class FarPairs:
    """Pairs of atoms and images within a radius of their system's own.

    Attributes:
        pairs: `[2, far]`; of a pair and its reverse one is listed. Where there is none, that of the first atom with
            itself at no distance, so that no list is empty.
        shifts: `[far, 3]`, integer cell shifts of the second atom.
        widths: `[systems]`, Å, the width that the sum is split at in each system; 1 where there is none.
    """

    pairs: Tensor
    shifts: Tensor
    widths: Tensor

    @classmethod
    def of(cls, system: System, widths: Sequence[float], reaches: Sequence[float]) -> FarPairs:
        """The pairs within `reaches` (Å) of those systems that are periodic in all three directions.

        Args:
            system: one or several.
            widths: of each system, see the attribute.
            reaches: radius of each system, Å.
        """
        found, shifts, begin = [], [], 0
        positions = system.positions.detach()
        for index, (atoms, reach) in enumerate(zip(system.atom_counts.tolist(), reaches, strict=True)):
            if bool(system.pbc[index].all()):
                rows = slice(begin, begin + atoms)
                cell, pbc = system.cell[index].detach().cpu().numpy(), system.pbc[index].cpu().numpy()
                one = System.from_arrays(positions[rows].cpu(), system.numbers[rows].cpu(), cell, pbc)
                (i, j), shift = neighbor_pairs(one, reach)
                ahead = shift[:, 0].sign() * 4 + shift[:, 1].sign() * 2 + shift[:, 2].sign() > 0
                once = (i < j) | ((i == j) & ahead)
                found.append(torch.stack([i, j])[:, once] + begin)
                shifts.append(shift[once])
            begin += atoms
        like = system.numbers
        none = 0 if any(len(part) for part in shifts) else 1
        pairs = torch.cat([like.new_zeros((2, none)), *(part.to(like.device) for part in found)], dim=1)
        moved = torch.cat([like.new_zeros((none, 3)), *(part.to(like) for part in shifts)])
        return cls(pairs, moved, positions.new_tensor(list(widths)))

    def vectors(self, system: System) -> Tensor:
        """From the first atom of each pair to the second `[far, 3]`, Å."""
        first, second = self.pairs
        cells = system.cell.index_select(0, system.system.index_select(0, first))
        offsets = torch.einsum("pk,pkl->pl", self.shifts.to(cells.dtype), cells)
        return system.positions.index_select(0, second) - system.positions.index_select(0, first) + offsets
