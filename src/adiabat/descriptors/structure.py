"""Structure descriptor: a whole structure in, one row of numbers out, differentiable in positions and cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import ase
import torch
from torch import Tensor, nn

from adiabat.geometry import Graph, System
from adiabat.settings import Settings


class StructureConfig(Settings):
    """Base of every structure descriptor's configuration; `kind` names its page."""

    kind: str
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> StructureDescriptor:
        """The descriptor for structures of these atomic numbers."""
        raise NotImplementedError


class StructureDescriptor(nn.Module):
    """Base of all descriptors of whole structures; a page gives `forward`, `size` and, where it refuses any, `check`.

    Attributes:
        elements: atomic numbers it knows, ascending; an element's place here is its index.
        cutoff: radius of the pairs that its graphs need, Å; infinite where it needs none.
        size: length of the rows.
    """

    def __init__(self, elements: Iterable[int], cutoff: float = float("inf")):
        super().__init__()
        self.elements = tuple(sorted({int(z) for z in elements}))
        self.cutoff = float(cutoff)
        self.size = 0

    def check(self, graph: Graph) -> None:
        """Refuses systems that it cannot describe."""

    def prepare(self, graph: Graph) -> Graph:
        """The graph with everything whose size depends on the data made beforehand."""
        return graph

    def forward(self, graph: Graph) -> Tensor:
        """Rows `[systems, size]`."""
        raise NotImplementedError

    def graph(self, system: System) -> Graph:
        """The graph that `forward` takes. Raises GeometryError or CapabilityError for what it cannot describe."""
        graph = Graph.build(system.check(self.elements), self.cutoff)
        self.check(graph)
        return self.prepare(graph)

    def rows(self, structures: Sequence[ase.Atoms]) -> Tensor:
        """Rows of some structures `[structures, size]`, float64, without gradient history."""
        self.double()
        with torch.no_grad():
            found = [self(self.graph(System.from_ase(atoms)))[0] for atoms in structures]
        return torch.stack(found) if found else torch.zeros((0, self.size), dtype=torch.float64)
