"""Smooth three-body embedding of angles and trained vectors of the elements, DeePMD-kit's se_e3_tebd.

The three-body part of DPA-2 (D. Zhang et al., npj Comput. Mater. 10, 293 (2024), doi:10.1038/s41524-024-01493-2).

| here | what | shape |
|---|---|---|
| `theta` | θ_jk = (s r̂)_ij · (s r̂)_ik | [triplets] |
| `TypedNetworks` | G(θ_jk; T_j, T_k), which is not symmetric | [triplets, M] |
| `from_vectors` | D_i = Σ_j Σ_k θ_jk G(θ_jk; T_j, T_k) / N², and T_i | [atoms, M + T] |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.se_e3 import AngularDescriptor
from adiabat.descriptors.typed import TypedNetworks, TypedSettings
from adiabat.geometry import Graph


class SeE3TebdSettings(TypedSettings):
    """Options of the descriptor; the defaults are DeePMD-kit's."""

    kind: Literal["se_e3_tebd"] = "se_e3_tebd"
    """Name of the descriptor."""
    embedding: tuple[int, ...] = Field(default=(10, 20, 40), min_length=1)
    """Widths of the embedding network's layers; the last is M."""
    smooth: bool = True
    """Whether the second network's factor fades out at the cutoff."""

    def build(self, elements: Iterable[int]) -> SeE3Tebd:
        return SeE3Tebd(self, elements)


class SeE3Tebd(AngularDescriptor):
    """Sums over ordered pairs of neighbors with networks that read their elements' vectors.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    def __init__(self, options: SeE3TebdSettings, elements: Iterable[int]):
        super().__init__(options, elements)
        self.own = options
        self.embedding = TypedNetworks(self.kinds, 2, options.embedding, options)
        self.sizes = (options.embedding[-1] + (options.types if options.marked else 0),) * self.kinds

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        _, neighbor = self.ends(graph)
        first, second = self.unordered(graph)
        both = torch.where(first == second, 0.5, 1.0).to(graph.system.positions.dtype)[:, None]
        theta = self.cosines(vectors, graph, first, second)
        a, b = neighbor.index_select(0, first), neighbor.index_select(0, second)
        weight = self.environment.switch(vectors.norm(dim=1))[:, None] if self.own.smooth else None
        if weight is not None:
            weight = weight.index_select(0, first) * weight.index_select(0, second)
        values = self.embedding(theta, (a, b), 1.0 if weight is None else weight)
        values = values + self.embedding(theta, (b, a), 1.0 if weight is None else weight)
        sums = values.new_zeros((graph.system.atoms, values.shape[1]))
        values = values * (both * theta[:, None])
        sums = sums.index_add(0, graph.centers.index_select(0, first), values) / self.slots.sum() ** 2
        if not self.own.marked:
            return sums
        return torch.cat((sums, self.embedding.types.index_select(0, self.element[graph.system.numbers])), dim=1)
