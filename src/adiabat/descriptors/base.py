"""Descriptor: neighbors of each atom in, a row of numbers out, with the slopes that forces need."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from adiabat.geometry import Graph


class Descriptor(nn.Module):
    """Base of all descriptors.

    Attributes:
        elements: atomic numbers it knows, ascending; an element's place here is its index.
        cutoff: Å.
        sizes: number of features of each element's atoms; rows of shorter ones are padded with zeros.
    """

    def __init__(self, elements: Iterable[int], cutoff: float):
        super().__init__()
        self.elements = tuple(sorted(int(z) for z in elements))
        self.cutoff = float(cutoff)
        self.sizes: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Width of the feature rows: the largest of `sizes`."""
        return max(self.sizes)

    def forward(self, graph: Graph) -> Tensor:
        """Features `[atoms, size]`, differentiable with respect to positions and cell."""
        raise NotImplementedError

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Features `[atoms, size]` and their slopes `[pairs, size, 3]`, Å⁻¹, without gradient history.

        The slopes of pair p are those of its center's features with respect to the pair vector r_j − r_i.
        """
        raise NotImplementedError


def element_index(elements: Iterable[int]) -> Tensor:
    """Table from atomic number to place among `elements`, −1 for others `[119]`."""
    table = torch.full((119,), -1, dtype=torch.int64)
    for place, number in enumerate(elements):
        table[number] = place
    return table


def forces_from_slopes(slopes: Tensor, pairs: Tensor, atoms: int) -> Tensor:
    """Forces `[atoms, 3]`, eV/Å, from the energy's slopes with respect to pair vectors `[pairs, 3]`, eV/Å."""
    forces = slopes.new_zeros((atoms, 3))
    return forces.index_add(0, pairs[0], slopes).index_add(0, pairs[1], -slopes)


def virial_from_slopes(slopes: Tensor, vectors: Tensor, system: Tensor, systems: int) -> Tensor:
    """dE/dε `[systems, 3, 3]`, eV, of a symmetric strain ε; `system [pairs]` names each pair's system."""
    outer = vectors[:, :, None] * slopes[:, None, :]
    total = slopes.new_zeros((systems, 3, 3)).index_add(0, system, outer)
    return 0.5 * (total + total.transpose(1, 2))
