"""Bag of bonds: the entries of the Coulomb matrix, sorted within bags of two elements.

K. Hansen et al., J. Phys. Chem. Lett. 6, 2326 (2015), doi:10.1021/acs.jpclett.5b00831; program whose numbers it
gives: qmllib.

| paper | here | shape, unit |
|---|---|---|
| ½ Z_i^2.4 | the diagonal of `repulsion` | [systems, seats] |
| Z_i Z_j / r_ij | what is left of it | [systems, seats, seats], e²/Å |
| bags | a stretch of the row for every two elements | [systems, size] |

An element's stretch: its diagonal entries, its bonds with itself, its bonds with each element after it; each bag in
descending order, filled up with zeros.

Departures from the paper: distances are in Å, as in qmllib.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from adiabat.descriptors.pair_matrix import no_images, repulsion
from adiabat.descriptors.structure import StructureConfig, StructureDescriptor
from adiabat.elements import number, symbol
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph
from adiabat.nn.seats import seated


class BagOfBondsConfig(StructureConfig):
    """Options of the bag of bonds."""

    kind: Literal["bag_of_bonds"] = "bag_of_bonds"
    """Name of the descriptor."""
    atoms: dict[str, int] = Field(default={"S": 1, "O": 3, "N": 3, "C": 7, "H": 16})
    """The most atoms of each element in a molecule, in the order of the bags. The default is for molecules of QM7."""

    def build(self, elements: Iterable[int]) -> BagOfBonds:
        return BagOfBonds(self, elements)


class BagOfBonds(StructureDescriptor):
    """Bags of all elements and pairs of elements."""

    def __init__(self, config: BagOfBondsConfig, elements: Iterable[int]):
        room = {number(name): count for name, count in config.atoms.items()}
        missing = sorted(set(elements) - room.keys())
        if missing:
            raise ConfigError(f"atoms names no number of {symbol(missing[0])}: give the most that a molecule has.")
        super().__init__(room)
        self.room = room
        counts = list(room.values())
        pairs = [n * m for i, n in enumerate(counts) for m in counts[i + 1 :]]
        self.size = sum(n * (n + 1) // 2 for n in counts) + sum(pairs)

    def check(self, graph: Graph) -> None:
        no_images(graph, "bag of bonds")
        for z, most in self.room.items():
            found = int(graph.system.sum_over_atoms((graph.system.numbers == z).long()).max())
            if found > most:
                name = symbol(z)
                raise CapabilityError(
                    f"a molecule has {found} {name} and bags have room for {most}: raise atoms.{name}."
                )

    def prepare(self, graph: Graph) -> Graph:
        return graph.with_members()

    def forward(self, graph: Graph) -> Tensor:
        graph = self.prepare(graph)
        assert graph.members is not None
        matrix, numbers = repulsion(graph), seated(graph.members, graph.system.numbers)
        own = torch.diagonal(matrix, dim1=1, dim2=2)
        bonds = matrix.triu(1)
        bags, room = [], list(self.room.items())
        for i, (one, n) in enumerate(room):
            here = numbers == one
            bags += [_bag(own, here, n), _bag(bonds, here[:, :, None] & here[:, None, :], n * (n - 1) // 2)]
            for other, m in room[i + 1 :]:
                there = numbers == other
                between = here[:, :, None] & there[:, None, :] | there[:, :, None] & here[:, None, :]
                bags.append(_bag(bonds, between, n * m))
        return torch.cat(bags, dim=1)


def _bag(values: Tensor, chosen: Tensor, room: int) -> Tensor:
    """The chosen values of each system in descending order `[systems, room]`; none is negative."""
    found = torch.where(chosen, values, torch.zeros_like(values)).flatten(1).sort(dim=1, descending=True)[0]
    return functional.pad(found, (0, room - found.shape[1]))
