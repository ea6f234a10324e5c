"""Smooth two-body embedding of distances alone, a part of DeepPot-SE (arXiv:1805.09003) as DeePMD-kit has it.

| here | what | shape |
|---|---|---|
| `rows` | s(r) = w(r)/r | [pairs, 1] |
| `embedded` | G(s(r_ij)) | [pairs, M] |
| `from_vectors` | D_i = Σ_j G / (5 N) | [atoms, M] |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor

from adiabat.descriptors.se_e2_a import TwoBodyDescriptor, TwoBodySettings
from adiabat.geometry import Graph

SCALE = 5.0  # the program's


class SeE2RSettings(TwoBodySettings):
    """Options of the descriptor."""

    kind: Literal["se_e2_r"] = "se_e2_r"
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> SeE2R:
        return SeE2R(self, elements)


class SeE2R(TwoBodyDescriptor):
    """D_i = Σ_j G(s(r_ij)) / (5 N), without any angle.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    def __init__(self, options: SeE2RSettings, elements: Iterable[int]):
        super().__init__(options, elements)
        self.sizes = (options.embedding[-1],) * self.kinds

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        center, neighbor = self.ends(graph)
        both = center * self.kinds + neighbor
        s = self.environment(vectors, center)[:, 0] * self.kept.index_select(0, both)
        _, of_empty = self.empty()
        more = self.embedded(s, center, neighbor) - of_empty.index_select(0, both)
        full = (of_empty.view(self.kinds, self.kinds, -1) * self.slots[:, None]).sum(dim=1)
        sums = full.index_select(0, self.element[graph.system.numbers]) + graph.sum_over_neighbors(
            more * self.near(vectors, both)
        )
        return sums / (SCALE * self.slots.sum())
