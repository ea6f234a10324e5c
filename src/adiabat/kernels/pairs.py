"""Pairs sorted both ways, as the kernels walk them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from adiabat.geometry import Graph, System
from adiabat.geometry.neighborhood import PairList
from adiabat.kernels.build import available
from adiabat.kernels.pair_vectors import NAME, PLAIN, STRAINED, sort_pairs


@dataclass(frozen=True)
class PairIndex(PairList):
    """Where the pairs of each center and of each neighbor are.

    A forward kernel walks the pairs of a center and a backward kernel those of a neighbor, so that no two threads
    write to one place and sums do not depend on the number of threads.

    Attributes:
        begins: first pair of each center, and the number of pairs `[atoms + 1]`.
        order: pairs sorted by neighbor `[pairs]`.
        order_begins: where the pairs of each neighbor begin in `order` `[atoms + 1]`.
    """

    begins: Tensor
    order: Tensor
    order_begins: Tensor

    @property
    def centers(self) -> Tensor:
        """The center of each pair `[pairs]`, ascending."""
        return self.pairs[0]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Centers, neighbors, begins, order, order_begins: what kernels take."""
        return self.pairs[0], self.pairs[1], self.begins, self.order, self.order_begins

    @classmethod
    def of_graph(cls, graph: Graph) -> PairIndex:
        """The one that was made for the graph beforehand, or a new one."""
        return graph.layout if isinstance(graph.layout, cls) else cls.of(graph.pairs, graph.system.atoms)

    @classmethod
    def of(cls, pairs: Tensor, atoms: int) -> PairIndex:
        """From `pairs [2, pairs]` sorted by center."""
        pairs = pairs.contiguous()
        if pairs.device.type == "cpu" and available(NAME) is None:
            return cls(pairs, atoms, *sort_pairs(pairs, atoms))
        centers, neighbors = pairs
        order = torch.argsort(neighbors, stable=True)
        return cls(pairs, atoms, _begins(centers, atoms), order, _begins(neighbors, atoms))

    def vectors(self, system: System, shifts: Tensor) -> Tensor:
        if self.pairs.device.type != "cpu" or available(NAME) is not None:
            return super().vectors(system, shifts)
        places = self.begins, self.order, self.order_begins
        kernel = STRAINED if system.cell.requires_grad else PLAIN
        return kernel(system.positions, system.cell, self.pairs, shifts, system.system, places)


def _begins(indices: Tensor, atoms: int) -> Tensor:
    counts = torch.bincount(indices, minlength=atoms)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
