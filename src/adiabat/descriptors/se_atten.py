"""Smooth embedding of distances and trained vectors of the elements, without attention layers.

The descriptor of DPA-1 (D. Zhang et al., arXiv:2208.08236) with no attention: one network for all elements, which
reads the vectors of both.

| here | what | shape |
|---|---|---|
| `rows` | R̃_i: s(r), s x/r, s y/r, s z/r | [pairs, 4] |
| `types` | vectors of the elements | [elements, T] |
| `embedded` | G(s(r_ij), t_j, t_i) | [pairs, M] |
| `forward` | D_i = (G^T R̃)(R̃^T G_<) / N², and t_i | [atoms, M · M_< + T] |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.embedded import EmbeddedDescriptor, EnvironmentSettings
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.grouped_networks import GroupedNetworks


class SeAttenSettings(EnvironmentSettings):
    """Options of the descriptor."""

    kind: Literal["se_atten"] = "se_atten"
    """Name of the descriptor."""
    embedding: tuple[int, ...] = Field(default=(25, 50, 100), min_length=1)
    """Widths of the embedding network's layers; the last is M."""
    axis: int = Field(default=16, ge=1)
    """M_<, columns of G kept in its second factor."""
    types: int = Field(default=8, ge=1)
    """Length T of the elements' vectors."""
    centered: Literal[False] = False
    """The mean of s is not subtracted: neighbors of all elements become one at the cutoff only where s is 0."""


class SeAtten(EmbeddedDescriptor):
    """D_i as se_e2_a has it, with one network that reads vectors of both elements.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    of_empty: Tensor

    def __init__(self, options: SeAttenSettings, elements: Iterable[int]):
        super().__init__(options, elements)
        width = options.embedding[-1]
        if options.axis > width:
            raise ConfigError(f"axis {options.axis} is more than the {width} columns of the embedding.")
        self.axis = options.axis
        self.types = nn.Parameter(torch.randn(self.kinds, options.types) / self.kinds**0.5)
        widths = (1 + 2 * options.types, *options.embedding)
        self.embedding = GroupedNetworks(1, widths, options.activation, options.steps)
        # only weights from elsewhere have a mean, with which empty slots count
        self.register_buffer("of_empty", torch.zeros(options.types), persistent=False)
        self.sizes = (width * options.axis + options.types,) * self.kinds

    def embedded(self, s: Tensor, of_neighbor: Tensor, of_center: Tensor) -> Tensor:
        """G `[n, M]` of `s [n]` and vectors `[n, T]`."""
        return self.embedding(torch.cat((s[:, None], of_neighbor, of_center), dim=1), torch.zeros_like(s).long())

    def forward(self, graph: Graph) -> Tensor:
        center, neighbor = self.ends(graph)
        vectors = graph.vectors()
        near = (vectors.detach().square().sum(dim=1) < self.cutoff**2).to(vectors.dtype)[:, None]
        rows = self.environment(vectors, center)
        embedded = self.embedded(rows[:, 0], self.types.index_select(0, neighbor), self.types.index_select(0, center))
        hood = graph.rows()
        sums = hood.contract(hood.pad((rows * near)[:, None]), hood.pad(embedded[:, None]))
        s = self.environment.empty()
        empty = s[:, None] * self.embedded(s, self.of_empty.expand(self.kinds, -1), self.types)
        element = self.element[graph.system.numbers]
        free = self.slots.sum() - graph.sum_over_neighbors(near)
        first = free * empty.index_select(0, element)
        moments = (sums + nn.functional.pad(first[:, None], (0, 0, 0, 3))) / self.slots.sum()
        product = torch.bmm(moments.transpose(1, 2), moments[:, :, : self.axis])
        return torch.cat((product.flatten(1), self.types.index_select(0, element)), dim=1)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        super().adapt(graphs)
        self.of_empty.zero_()
