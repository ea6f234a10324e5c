"""Smooth three-body embedding of angles, DeePMD-kit's se_e3 (program: doi:10.1063/5.0155600).

| here | what | shape |
|---|---|---|
| `rows` | s r̂ over their deviation | [pairs, 3] |
| `products` | θ_jk = (s r̂)_ij · (s r̂)_ik | [triplets] |
| `from_vectors` | D_i = Σ_{t ≤ u} Σ_{j of t, k of u} θ_jk G_tu(θ_jk) / (N_t N_u) | [atoms, M] |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import pair_blocks
from adiabat.descriptors.embedded import EmbeddedConfig, EmbeddedDescriptor
from adiabat.geometry import Graph
from adiabat.nn.grouped_networks import GroupedNetworks


class SeE3Settings(EmbeddedConfig):
    """Options of the descriptor; the defaults are DeePMD-kit's."""

    kind: Literal["se_e3"] = "se_e3"
    """Name of the descriptor."""
    embedding: tuple[int, ...] = Field(default=(10, 20, 40), min_length=1)
    """Widths of the embedding networks' layers."""

    def build(self, elements: Iterable[int]) -> SeE3:
        return SeE3(self, elements)


class AngularDescriptor(EmbeddedDescriptor):
    """Base of sums over pairs of an atom's neighbors."""

    def triplets(self, graph: Graph) -> Tensor:
        return graph.triplets_within(self.cutoff)

    def unordered(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Pairs of pairs with one center, in one order, and after them each pair with itself `[triplets]`."""
        first, second = (self.triplets(graph) if graph.triplets is None else graph.triplets).unbind(0)
        alone = torch.arange(graph.centers.shape[0], device=graph.centers.device)
        return torch.cat((first, alone)), torch.cat((second, alone))

    def cosines(self, vectors: Tensor, graph: Graph, first: Tensor, second: Tensor) -> Tensor:
        """θ_jk `[triplets]`: the cosine of the angle times both s, over their deviations."""
        rows = self.environment(vectors, self.ends(graph)[0])[:, 1:]
        return (rows.index_select(0, first) * rows.index_select(0, second)).sum(dim=1)


class SeE3(AngularDescriptor):
    """Sums over pairs of neighbors, a network for each unordered pair of their elements.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    blocks: Tensor

    def __init__(self, options: SeE3Settings, elements: Iterable[int]):
        super().__init__(options, elements)
        self.sizes = (options.embedding[-1],) * self.kinds
        blocks = pair_blocks(self.kinds)
        self.register_buffer("blocks", blocks, persistent=False)
        self.embedding = GroupedNetworks(
            int(blocks.max()) + 1, (1, *options.embedding), options.activation, options.steps
        )

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        _, neighbor = self.ends(graph)
        first, second = self.unordered(graph)
        theta = self.cosines(vectors, graph, first, second)[:, None]
        a, b = neighbor.index_select(0, first), neighbor.index_select(0, second)
        # a pair with itself counts once; two pairs are met in both orders if their elements are the same
        weight = torch.where((a == b) & (first != second), 2.0, 1.0).to(theta.dtype)
        weight = weight / (self.slots.index_select(0, a) * self.slots.index_select(0, b))
        values = self.embedding(theta, self.blocks[a, b]) * (theta * weight[:, None])
        sums = values.new_zeros((graph.system.atoms, values.shape[1]))
        return sums.index_add(0, graph.centers.index_select(0, first), values)
