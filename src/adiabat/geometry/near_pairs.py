"""Those pairs of a graph that are closer than its cutoff, as rows of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from adiabat.geometry.neighborhood import Neighborhood, PairList


@dataclass(frozen=True)
class NearPairs:
    """The pairs within a radius that is shorter than the graph's cutoff.

    Attributes:
        index: their places among all pairs `[near]`, ascending.
        rows: their layout, with `near` pairs.
    """

    index: Tensor
    rows: Neighborhood | PairList

    @classmethod
    def of(cls, pairs: Tensor, near: Tensor, atoms: int) -> NearPairs:
        """From `pairs [2, pairs]` sorted by center and which of them are near `[pairs]`, bool."""
        index = near.nonzero()[:, 0]
        return cls(index, Neighborhood.of(pairs.index_select(1, index), atoms))

    @classmethod
    def every(cls, layout: PairList) -> NearPairs:
        """All pairs, for programs in which no size may depend on distances."""
        return cls(torch.arange(layout.pairs.shape[1], device=layout.pairs.device), layout)
