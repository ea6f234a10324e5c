"""Descriptors without parameters whose rows and slopes a kernel makes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from adiabat.descriptors.base import Descriptor
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.rows import RowKernel


class RowDescriptor(Descriptor):
    """Base of descriptors that a RowKernel gives too; a page gives `made_kernel` beside the rest.

    Attributes:
        library: name of the kernel.
    """

    library: ClassVar[str]
    _kernel: RowKernel | None = None
    _frozen: bool = False

    def made_kernel(self) -> RowKernel:
        """The same in C++, for both floating-point types; CapabilityError if this machine has no compiler."""
        raise NotImplementedError

    def kernel(self) -> RowKernel:
        """What `made_kernel` gives, made once."""
        if self._kernel is None:
            self._kernel = self.made_kernel()
        return self._kernel

    def freeze(self) -> None:
        self.kernel()
        self._frozen = True

    def forward(self, graph: Graph) -> Tensor:
        return self.kernel()(*self.given(graph)) if self._frozen else super().forward(graph)

    def is_fast(self, graph: Graph) -> bool:
        """Whether the kernel can be had for a graph."""
        return graph.pairs.device.type == "cpu" and available(self.library) is None

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        if not self.is_fast(graph):
            return super().jacobian(graph)
        with torch.no_grad():
            kernel, given = self.kernel(), self.given(graph)
            return kernel(*given), kernel.jacobian(*given)
