"""Embedding networks that read trained vectors of the elements, one set for all elements (DPA-1).

D. Zhang et al., npj Comput. Mater. 10, 94 (2024), doi:10.1038/s41524-024-01278-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.embedded import EmbeddedConfig
from adiabat.nn.grouped_networks import GroupedNetworks


class TypedSettings(EmbeddedConfig):
    """Options of descriptors whose networks read vectors of the elements."""

    types: int = Field(default=8, ge=1)
    """Length T of the elements' vectors."""
    mixing: Literal["concat", "strip"] = "concat"
    """Whether one network reads the vectors too, or its output is multiplied by 1 + a second network of them."""
    marked: bool = True
    """Whether the center's vector stands among the features."""


class TypedNetworks(nn.Module):
    """G(x; T_a, T_b) of a number x and the vectors of elements: one network of all, or G(x) (1 + w G'(T_a, T_b)).

    Args:
        kinds: number of elements.
        sides: how many elements' vectors are read, 1 or 2.
        widths: of the networks' layers, of which the last is M.
        options: of the vectors and networks.
    """

    def __init__(self, kinds: int, sides: int, widths: Sequence[int], options: TypedSettings):
        super().__init__()
        self.kinds, self.sides = kinds, sides
        self.types = nn.Parameter(torch.randn(kinds, options.types) / kinds**0.5)
        read, stripped = sides * options.types, options.mixing == "strip"
        network = options.activation, options.steps
        self.first = GroupedNetworks(1, (1 if stripped else 1 + read, *widths), *network)
        self.second = GroupedNetworks(1, (read, *widths), *network) if stripped else None

    def forward(self, x: Tensor, elements: Sequence[Tensor], weight: Tensor | float = 1.0) -> Tensor:
        """G `[n, M]` of `x [n]`.

        Args:
            x: the number.
            elements: places `[n]` of as many elements as the networks read.
            weight: w, of the second network `[n, 1]`.
        """
        if self.second is None:
            return self.of_vectors(x, torch.cat([self.types.index_select(0, places) for places in elements], dim=1))
        table = self._single(self.second, self._combinations())
        place = elements[0] if self.sides == 1 else elements[0] * self.kinds + elements[1]
        return self._single(self.first, x[:, None]) * (1.0 + weight * table.index_select(0, place))

    def of_vectors(self, x: Tensor, vectors: Tensor, weight: Tensor | float = 1.0) -> Tensor:
        """The same of vectors `[n, sides · T]` that belong to no element."""
        if self.second is None:
            return self._single(self.first, torch.cat((x[:, None], vectors), dim=1))
        return self._single(self.first, x[:, None]) * (1.0 + weight * self._single(self.second, vectors))

    def _combinations(self) -> Tensor:
        """Vectors of each element, or of each ordered pair of them `[elements or elements², sides · T]`."""
        if self.sides == 1:
            return self.types
        return torch.cat((self.types.repeat_interleave(self.kinds, dim=0), self.types.repeat(self.kinds, 1)), dim=1)

    @staticmethod
    def _single(network: GroupedNetworks, values: Tensor) -> Tensor:
        return network(values, values.new_zeros(values.shape[0]).long())
