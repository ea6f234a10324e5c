"""Smooth embedding of distances and trained vectors of the elements, with attention among neighbors (DPA-1).

D. Zhang et al., npj Comput. Mater. 10, 94 (2024), doi:10.1038/s41524-024-01278-7. One network for all elements, which
reads the vectors of both; attention layers are optional, as DeePMD-kit recommends for speed.

| paper | here | shape |
|---|---|---|
| R̃_i: s(r), s x/r, s y/r, s z/r | `rows` | [pairs, 4] |
| T_i, vectors of the elements | `TypedNetworks.types` | [elements, T] |
| G_i | `embedded` | [pairs, M] |
| G_i after attention | `NeighborAttention` | [atoms, neighbors, M] |
| (1/N) G^T R̃ | `moments` | [atoms, 4, M] |
| D_i = (G^T R̃)(R̃^T G_<) / N², and T_i | `forward` | [atoms, M · M_< + T] |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from adiabat.descriptors.embedded import EmbeddedDescriptor
from adiabat.descriptors.typed import TypedNetworks, TypedSettings
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph, Neighborhood
from adiabat.nn.neighbor_attention import NeighborAttention
from adiabat.settings import Settings


class AttentionSettings(Settings):
    """Options of the attention layers; the defaults are DeePMD-kit's."""

    layers: int = Field(default=2, ge=1)
    """Number of layers."""
    hidden: int = Field(default=128, ge=1)
    """Length of queries, keys and values."""
    gated: bool = True
    """Whether shares are multiplied by the cosine of the angle between both neighbors (attn_dotr)."""
    normalized: bool = True
    """Whether queries, keys and values have length 1."""
    scale: float | None = Field(default=None, gt=0.0)
    """Of the scores; null for 1/√hidden."""


class SeAttenSettings(TypedSettings):
    """Options of the descriptor."""

    kind: Literal["se_atten"] = "se_atten"
    """Name of the descriptor."""
    embedding: tuple[int, ...] = Field(default=(25, 50, 100), min_length=1)
    """Widths of the embedding network's layers; the last is M."""
    axis: int = Field(default=16, ge=1)
    """M_<, columns of G kept in its second factor."""
    one_side: bool = False
    """Whether the networks read the neighbor's vector alone, or the center's too."""
    attention: AttentionSettings | None = None
    """Attention among the neighbors (DPA-1); null for none."""
    smooth: bool = True
    """Whether attention and the second network's factor fade out at the cutoff; else there are jumps."""
    centered: bool = False
    """Whether the mean of s is subtracted. Only smooth `strip` lets neighbors of all elements then become one at the
    cutoff."""

    def build(self, elements: Iterable[int]) -> SeAtten:
        return SeAtten(self, elements)

    @model_validator(mode="after")
    def _continuous(self) -> Self:
        if self.centered and not (self.mixing == "strip" and self.smooth):
            raise ValueError("centered = true gives jumps at the cutoff here: set it to false, or mixing to strip")
        return self


class SeAtten(EmbeddedDescriptor):
    """D_i as se_e2_a has it, with networks that read vectors of the elements and attention among the neighbors.

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
        self.axis, self.own = options.axis, options
        self.embedding = TypedNetworks(self.kinds, 1 if options.one_side else 2, options.embedding, options)
        self.attention = nn.ModuleList(_attention(options.attention, width, options.smooth))
        # only weights from elsewhere have a mean, with which empty slots count
        self.register_buffer("of_empty", torch.zeros(options.types), persistent=False)
        self.sizes = (width * options.axis + (options.types if options.marked else 0),) * self.kinds
        self.vectors = width

    def of_empties(self) -> Tensor:
        """G of an empty slot, by the center's element `[elements, M]`."""
        vectors = self.of_empty.expand(self.kinds, -1)
        if not self.own.one_side:
            vectors = torch.cat((vectors, self.embedding.types), dim=1)
        return self.embedding.of_vectors(self.environment.empty(), vectors, 0.0 if self.own.smooth else 1.0)

    def attended(
        self, embedded: Tensor, empty: Tensor, vectors: Tensor, weight: Tensor, near: Tensor, hood: Neighborhood
    ) -> tuple[Tensor, Tensor]:
        """G of the slots in rows `[atoms · width, M]`, and of empty ones `[atoms, M]`, after the attention layers."""
        r = vectors.norm(dim=1, keepdim=True)
        values = torch.cat((weight[:, None], near, vectors / r, embedded), dim=1)
        padded = hood.pad(values).view(hood.atoms, hood.width, values.shape[1])
        last = torch.cat((empty.new_zeros(hood.atoms, 5), empty), dim=1)  # one empty slot sees what all of them see
        weights, nears, directions, x = torch.cat((padded, last[:, None]), dim=1).split((1, 1, 3, empty.shape[1]), 2)
        for layer in self.attention:
            x = layer(x, directions, weights[..., 0], nears[..., 0], self.slots.sum())
        return x[:, :-1].flatten(0, 1), x[:, -1]

    def moments(self, vectors: Tensor, graph: Graph) -> Tensor:
        """R̃^T G / N `[atoms, 4, M]`; the last three rows turn with the atoms."""
        center, neighbor = self.ends(graph)
        near = (vectors.detach().square().sum(dim=1) < self.cutoff**2).to(vectors.dtype)[:, None]
        rows, weight = self.environment(vectors, center), self.environment.switch(vectors.norm(dim=1))
        embedded = self.embedding(rows[:, 0], (neighbor, center), weight[:, None] if self.own.smooth else 1.0)
        element, hood = self.element[graph.system.numbers], graph.rows()
        empty, s = self.of_empties().index_select(0, element), self.environment.empty().index_select(0, element)
        if not self.attention:
            slots = hood.pad(embedded[:, None])
        elif isinstance(hood, Neighborhood):
            found, empty = self.attended(embedded, empty, vectors, weight, near, hood)
            slots = found[:, None]
        else:
            raise CapabilityError("attention needs the neighbors in rows, which exported programs have not.")
        sums = hood.contract(hood.pad((rows * near)[:, None]), slots)
        first = (self.slots.sum() - graph.sum_over_neighbors(near)) * s[:, None] * empty
        return (sums + functional.pad(first[:, None], (0, 0, 0, 3))) / self.slots.sum()

    def contracted(self, moments: Tensor, graph: Graph) -> Tensor:
        """D `[atoms, size]` of the moments."""
        product = torch.bmm(moments.transpose(1, 2), moments[:, :, : self.axis]).flatten(1)
        if not self.own.marked:
            return product
        return torch.cat((product, self.embedding.types.index_select(0, self.element[graph.system.numbers])), dim=1)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self.contracted(self.moments(vectors, graph), graph)

    def with_vectors(self, graph: Graph) -> tuple[Tensor, Tensor]:
        moments = self.moments(graph.vectors(), graph)
        return self.contracted(moments, graph), moments[:, 1:]

    def adapt(self, graphs: Sequence[Graph]) -> None:
        super().adapt(graphs)
        self.of_empty.zero_()


def _attention(options: AttentionSettings | None, width: int, smooth: bool) -> list[NeighborAttention]:
    if options is None:
        return []
    scale = options.hidden**-0.5 if options.scale is None else options.scale
    settings = (options.hidden, options.gated, options.normalized, scale, smooth)
    return [NeighborAttention(width, *settings) for _ in range(options.layers)]
