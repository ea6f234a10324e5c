"""A descriptor that also says which element the center is, so that one set of weights can serve all elements."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adiabat.descriptors.base import Descriptor
from adiabat.geometry import Graph
from adiabat.kernels.rows import AtomKernel


class Marked(Descriptor):
    """Features of a descriptor behind marks: for each element but the first, 1 if it is the center's and else 0.

    With weights of its own for each mark, a linear head has a constant for each element and shares all others.

    Args:
        inner: the descriptor; all elements have equally many features.
    """

    def __init__(self, inner: Descriptor):
        super().__init__(inner.elements, inner.cutoff)
        self.inner = inner
        self.marks = len(inner.elements) - 1
        self.sizes = (self.marks + inner.size,) * len(inner.elements)

    def prepare(self, graph: Graph) -> Graph:
        return self.inner.prepare(graph)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        self.inner.adapt(graphs)

    def freeze(self) -> None:
        self.inner.freeze()

    def linear(self, weights: Tensor, constants: Tensor) -> AtomKernel | None:
        return self.inner.linear(weights[:, self.marks :], constants + self._own(weights))

    def forward(self, graph: Graph) -> Tensor:
        return self._marked(self.inner(graph), graph)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self._marked(self.inner.from_vectors(vectors, graph), graph)

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        values, slopes = self.inner.jacobian(graph)
        zeros = slopes.new_zeros((slopes.shape[0], self.marks, 3))
        return self._marked(values, graph), torch.cat((zeros, slopes), dim=1)

    def weighted(self, graph: Graph, weights: Tensor) -> tuple[Tensor, Tensor]:
        place = self.element[graph.system.numbers]
        sums, slopes = self.inner.weighted(graph, weights[:, self.marks :])
        return sums + self._own(weights).index_select(0, place), slopes

    def tangents(self, graph: Graph, weights: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.tangents(graph, weights[:, self.marks :])

    def _own(self, weights: Tensor) -> Tensor:
        """The weight of each element's own mark `[elements]`, 0 for the first."""
        return torch.cat((weights.new_zeros(1), weights[1:, : self.marks].diagonal()))

    def _marked(self, values: Tensor, graph: Graph) -> Tensor:
        places = torch.arange(1, self.marks + 1, device=values.device)
        marks = self.element[graph.system.numbers][:, None] == places
        return torch.cat((marks.to(values.dtype), values), dim=1)
