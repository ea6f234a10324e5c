"""Pairs seen without direction: what depends on the distance alone is the same both ways and needed once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Halves:
    """Which two pairs of a list are one pair seen from either end.

    Attributes:
        both: the two directed pairs of each undirected one, a half of the list `[2, halves]`.
        half_of: the half that each pair belongs to `[pairs]`.
    """

    both: Tensor
    half_of: Tensor

    @classmethod
    def of(cls, pairs: Tensor, shifts: Tensor) -> Halves | None:
        """Matches (i, j, shift) with (j, i, −shift), images of an atom with itself included.

        Args:
            pairs: `[2, pairs]`.
            shifts: `[pairs, 3]`, integers.

        Returns:
            None if some pair lacks its reverse, or if the list is too large to number its possible pairs.
        """
        count = pairs.shape[1]
        if count % 2:
            return None
        if count == 0:
            return cls(pairs, pairs[0])
        reach = shifts.abs().amax(dim=0)
        atoms, *spans = (torch.cat([pairs.max()[None], 2 * reach]) + 1).tolist()
        if atoms * atoms * math.prod(spans) >= 2**63:
            return None
        steps = pairs.new_tensor([spans[1] * spans[2], spans[2], 1])
        shift = (shifts * steps).sum(dim=1)
        between, middle = math.prod(spans), int((reach * steps).sum())
        there = (pairs[0] * atoms + pairs[1]) * between + (middle + shift)
        back = (pairs[1] * atoms + pairs[0]) * between + (middle - shift)
        forward, order = there.sort(stable=True)
        reverse, partners = back.sort(stable=True)
        partner = torch.empty_like(order).index_copy_(0, partners, order)
        first = (torch.arange(count, device=pairs.device) < partner).nonzero()[:, 0]
        # an atom would have to be paired with itself without a shift to be its own reverse
        if len(first) * 2 != count or not torch.equal(forward, reverse):
            return None
        both = torch.stack([first, partner[first]])
        halves = torch.arange(len(first), device=pairs.device)
        return cls(both, torch.empty_like(order).index_copy_(0, both.flatten(), halves.repeat(2)))

    def once(self, values: Tensor) -> Tensor:
        """Pairs' values that are the same both ways, once `[halves, ...]`."""
        return values.index_select(0, self.both[0])

    def spread(self, values: Tensor) -> Tensor:
        """Values of halves for each pair `[pairs, ...]`."""
        return _Spread.apply(values, self.half_of, self.both)


class _Spread(torch.autograd.Function):
    """Its derivative is a sum of two gathers, faster than the sum by index that torch would take."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, half_of: Tensor, both: Tensor) -> Tensor:
        ctx.save_for_backward(half_of, both)
        return values.index_select(0, half_of)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Join.apply(gradient, *ctx.saved_tensors), None, None


class _Join(torch.autograd.Function):
    """The sum of the values of either direction."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, half_of: Tensor, both: Tensor) -> Tensor:
        ctx.save_for_backward(half_of, both)
        return values.index_select(0, both[0]) + values.index_select(0, both[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Spread.apply(gradient, *ctx.saved_tensors), None, None
