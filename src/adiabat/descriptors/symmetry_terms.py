"""The factors that symmetry functions are products of, functions of a distance and of an angle, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from adiabat.kernels.symmetry_functions import Window
from adiabat.nn.constants import ConstantModule
from adiabat.nn.inner_cutoffs import KINDS, CompactFunction, InnerCutoff

T = TypeVar("T")


class Range(NamedTuple):
    """exp(−η (r − shift)²) cos(κ r) window(r).

    `wide` is for triplets: whether the distance of the two neighbors has no such factor.
    """

    window: Window
    eta: float = 0.0
    shift: float = 0.0
    kappa: float = 0.0
    wide: bool = False


Angle = Window | tuple[float, int]
"""A window of the angle in radians, or ζ and sign of 2^(1−ζ) (1 + sign cos θ)^ζ."""


class Ranges(ConstantModule):
    """Values of some ranges."""

    eta: Tensor
    shift: Tensor
    kappa: Tensor
    place: Tensor

    def __init__(self, ranges: Sequence[Range]):
        super().__init__()
        windows = _distinct(r.window for r in ranges)
        self.windows = nn.ModuleList(_module(w) for w in windows)
        self.gaussian, self.waves = any(r.eta for r in ranges), any(r.kappa for r in ranges)
        for name in ("eta", "shift", "kappa"):
            self.register_constant(name, np.array([getattr(r, name) for r in ranges]))
        self.register_buffer("place", torch.tensor([windows.index(r.window) for r in ranges]), persistent=False)

    def forward(self, r: Tensor) -> Tensor:
        """Distances `[n]`, Å, to `[n, ranges]`."""
        if len(self.windows) == 1:
            values = self.windows[0](r)[:, None].expand(-1, len(self.place))
        else:
            values = torch.stack([w(r) for w in self.windows], dim=1)[:, self.place]
        if self.gaussian:
            values = values * torch.exp(-self.eta.to(r.dtype) * (r[:, None] - self.shift.to(r.dtype)) ** 2)
        return values * torch.cos(self.kappa.to(r.dtype) * r[:, None]) if self.waves else values


class Family(nn.Module):
    """Sums over neighbors of some distinct functions, for each element of the neighbors or weighted by it.

    Args:
        keys: the functions, with the weight of each element, or none.
        kinds: number of elements.
        near: neighbors that a function has, one or two.

    Attributes:
        blocks: sums of each function: of every element, or of every two of them; 1 with weights.
        width: number of sums of an atom.
    """

    block: Tensor
    weights: Tensor | None

    def __init__(self, keys: Sequence[tuple[NamedTuple, tuple[float, ...]]], kinds: int, near: int):
        super().__init__()
        self.keys = list(keys)
        weights = torch.tensor([w for _, w in keys], dtype=torch.float64).T.contiguous() if keys[0][1] else None
        self.register_buffer("weights", weights, persistent=False)
        block = torch.zeros((kinds,) * near, dtype=torch.int64)
        both = list(combinations_with_replacement(range(kinds), near)) if weights is None else []
        for place, own in enumerate(both):
            block[own] = block[own[::-1]] = place
        self.register_buffer("block", block, persistent=False)
        self.blocks = max(len(both), 1)
        self.width = self.blocks * len(self.keys)

    def total(self, values: Tensor, atoms: Tensor, near: Sequence[Tensor], count: int) -> Tensor:
        """Adds `[n, functions, ...]` up to `[count, width, ...]`.

        Args:
            values: of pairs or triplets.
            atoms: where each goes `[n]`.
            near: elements of its neighbors, each `[n]`.
            count: number of places to go.
        """
        if self.weights is not None:
            for one in near:
                own = self.weights.to(values.dtype)[one]
                values = values * own.reshape(*own.shape, *(1 for _ in values.shape[2:]))
        index = atoms * self.blocks + self.block[tuple(near)]
        out = values.new_zeros((count * self.blocks, *values.shape[1:])).index_add(0, index, values)
        return out.reshape(count, self.width, *values.shape[2:])


class PairFamily(Family):
    """Functions of a distance; keys are ranges."""

    def __init__(self, keys: Sequence[tuple[Range, tuple[float, ...]]], kinds: int):
        super().__init__(keys, kinds, 1)
        self.ranges = Ranges([own for own, _ in keys])

    def forward(self, r: Tensor) -> Tensor:
        """Distances `[n]`, Å, to `[n, functions]`."""
        return self.ranges(r)


class TripletKey(NamedTuple):
    """A function of two neighbors."""

    range: Range
    angle: Angle


class TripletFamily(Family):
    """Functions of two neighbors: the product of the ranges of their distances, times a function of their angle."""

    wide: Tensor
    pick_range: Tensor
    pick_angle: Tensor

    def __init__(self, keys: Sequence[tuple[TripletKey, tuple[float, ...]]], kinds: int):
        super().__init__(keys, kinds, 2)
        own = [key for key, _ in keys]
        ranges, self.angles = _distinct(k.range for k in own), _distinct(k.angle for k in own)
        self.ranges = Ranges(ranges)
        self.windows = nn.ModuleList(_module(a) for a in self.angles if isinstance(a, Window))
        self.narrow = not any(r.wide for r in ranges)
        self.register_buffer("wide", torch.tensor([r.wide for r in ranges]), persistent=False)
        # rows of ones: multiplying by them picks columns several times faster than indexing does
        for name, distinct, places in (
            ("pick_range", ranges, [ranges.index(k.range) for k in own]),
            ("pick_angle", self.angles, [self.angles.index(k.angle) for k in own]),
        ):
            pick = torch.zeros((len(distinct), len(own)), dtype=torch.float64)
            pick[places, torch.arange(len(own))] = 1.0
            self.register_buffer(name, pick, persistent=False)

    def forward(self, r_ij: Tensor, r_ik: Tensor, r_jk: Tensor, ij: Tensor, ik: Tensor) -> Tensor:
        """Three distances `[n]`, Å, and the ranges of the first two `[n, ranges]`, to `[n, functions]`."""
        ranges = ij * ik
        if self.narrow:
            ranges = ranges * self.ranges(r_jk)
        else:
            ranges = ranges * torch.where(self.wide, 1.0, self.ranges(r_jk))
        cosine = (r_ij**2 + r_ik**2 - r_jk**2) / (2.0 * r_ij * r_ik)
        return (ranges @ self.pick_range.to(r_ij.dtype)) * (self._of_angle(cosine) @ self.pick_angle.to(r_ij.dtype))

    def of_distances(self, r_ij: Tensor, r_ik: Tensor, r_jk: Tensor) -> Tensor:
        """What `forward` gives, of the distances alone."""
        return self(r_ij, r_ik, r_jk, self.ranges(r_ij), self.ranges(r_ik))

    def _of_angle(self, cosine: Tensor) -> Tensor:
        """The distinct functions of the angle `[n, angles]`."""
        windows = iter(self.windows)
        if len(self.windows):
            most = 1.0 - torch.finfo(cosine.dtype).eps  # windows are level at 0° and 180°, where arccos has no slope
            angle = torch.arccos(cosine.clamp(-most, most))
        else:
            angle = cosine
        return torch.stack(
            [
                next(windows)(angle) if isinstance(own, Window) else power(1.0 + own[1] * cosine, own[0])
                for own in self.angles
            ],
            dim=1,
        )


def power(base: Tensor, zeta: float) -> Tensor:
    """2^(1−ζ) base^ζ for base ≥ 0; whole ζ by repeated squaring; 0 where negative ζ would divide by 0."""
    half = 0.5 * base.clamp(min=0.0)
    if zeta < 0:
        full = half > 0.0
        return torch.where(full, 2.0 * torch.where(full, half, 1.0) ** zeta, 0.0)
    if zeta != int(zeta):
        return 2.0 * half**zeta
    result, square, left = None, half, int(zeta)
    while left:
        if left & 1:
            result = square if result is None else result * square
        square, left = square * square if left > 1 else square, left >> 1
    assert result is not None
    return 2.0 * result


def _module(window: Window) -> nn.Module:
    kind = KINDS[window.form]
    if window.compact:
        return CompactFunction(kind, window.begin, window.end, window.asymmetric)
    return InnerCutoff(kind, window.end, window.begin / window.end)


def _distinct(keys: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(keys))
