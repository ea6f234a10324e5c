"""What descriptors made of moment tensors share: one kernel for values, slopes, frozen models and training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.moment_tensors import NAME, MomentTensorEnergies, MomentTensorRows, MomentTensors
from adiabat.kernels.pairs import PairIndex


class MomentDescriptor(Descriptor):
    """Base of contractions of moment tensors with trained radial functions; a page gives `kernel` beside the rest.

    Attributes:
        coefficients: of the radial functions `[elements², radial, basis]`; pairs of elements are (center, neighbor).
    """

    coefficients: nn.Parameter
    _frozen: MomentTensorRows | None = None

    def kernel(self) -> MomentTensors:
        """The same in C++; CapabilityError if this machine has no compiler."""
        raise NotImplementedError

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=graph.rows())

    def kinds(self, graph: Graph) -> Tensor:
        """Place of each pair's elements among all ordered pairs of elements `[pairs]`."""
        element = self.element[graph.system.numbers]
        return graph.of_centers(element) * len(self.elements) + graph.of_neighbors(element)

    def linear(self, weights: Tensor, constants: Tensor) -> MomentTensorEnergies:
        return MomentTensorEnergies(self.kernel(), self.coefficients, weights, constants)

    def freeze(self) -> None:
        self._frozen = MomentTensorRows(self.kernel(), self.coefficients)

    def forward(self, graph: Graph) -> Tensor:
        return super().forward(graph) if self._frozen is None else self._frozen(*self.given(graph))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        kernel = self._usable(graph)
        return super().jacobian(graph) if kernel is None else kernel.jacobian(*self._given(graph))

    def weighted(self, graph: Graph, weights: Tensor) -> tuple[Tensor, Tensor]:
        kernel = self._usable(graph)
        if kernel is None:
            return super().weighted(graph, weights)
        return kernel.energies(*self._given(graph), weights)

    def tangents(self, graph: Graph, weights: Tensor) -> tuple[Tensor, Tensor]:
        kernel = self._usable(graph)
        return super().tangents(graph, weights) if kernel is None else kernel.tangents(*self._given(graph), weights)

    def _given(self, graph: Graph) -> tuple[Tensor, Tensor, PairIndex, Tensor]:
        vectors, element, pairs = self.given(graph)
        return vectors.detach(), element, pairs, self.coefficients.detach().to(vectors.dtype)

    def _usable(self, graph: Graph) -> MomentTensors | None:
        """The kernel for a graph, None if there is none."""
        dtype = graph.system.positions.dtype
        if graph.pairs.device.type != "cpu" or dtype not in (torch.float32, torch.float64):
            return None
        return self.kernel() if available(NAME) is None else None
