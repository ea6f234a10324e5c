"""Radial functions as cubic splines: a network's values and slopes at the cost of a table, within a known error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_banded
from torch import Tensor
from torch.nn import functional

from adiabat.errors import CapabilityError
from adiabat.geometry.neighbors import MIN_DISTANCE

TOLERANCE = 2e-6
FIRST, LAST = 256, 8192  # intervals tried
BLOCK = 64  # bytes of channels side by side


@dataclass(frozen=True)
class Table:
    """R(r) = Σ_n a_n u^n in each of many equal intervals with u = 0..1, twice continuously differentiable.

    Attributes:
        coefficients: a, `[intervals, 4, channels]`.
        start: Å, lower end; the spline continues its first polynomial below.
        stop: Å, upper end.
        error: largest error of values and of slopes found, each over the function's largest.
    """

    coefficients: Tensor
    start: float
    stop: float
    error: float = 0.0

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return self.coefficients.shape[0]

    @property
    def inverse_step(self) -> float:
        """Intervals per Å."""
        return self.intervals / (self.stop - self.start)

    def to(self, dtype: torch.dtype) -> Table:
        """A copy with another floating-point type."""
        return Table(self.coefficients.to(dtype), self.start, self.stop, self.error)

    def split(self, channels: int) -> tuple[Table, ...]:
        """The same function as several ones, each with so many of the channels."""
        parts = self.coefficients.split(channels, dim=2)
        return tuple(Table(part.contiguous(), self.start, self.stop, self.error) for part in parts)

    def narrow(self, start: int, length: int) -> Table:
        """Some of the channels."""
        part = self.coefficients.narrow(2, start, length).contiguous()
        return Table(part, self.start, self.stop, self.error)

    def packed(self, parts: int) -> Tensor:
        """The coefficients as kernels of several parts walk them `[intervals, blocks, parts, 4, width]`.

        Each part's channels are cut into blocks of 64 bytes, as in common.hpp, the last one filled up with zeros.
        """
        width = BLOCK // self.coefficients.element_size()
        values = self.coefficients.unflatten(2, (parts, -1))
        values = functional.pad(values, (0, -values.shape[3] % width))
        return values.unflatten(3, (-1, width)).permute(0, 3, 2, 1, 4).contiguous()

    def refined(self, intervals: int) -> Tensor:
        """The same function's coefficients in a whole multiple of intervals `[intervals, 4, channels]`."""
        factor = intervals // self.intervals
        a, b, c, d = self.coefficients.repeat_interleave(factor, dim=0).unbind(1)
        x = (torch.arange(intervals, device=a.device) % factor).to(a.dtype)[:, None] / factor
        parts = [a + x * (b + x * (c + x * d)), b + x * (2 * c + 3 * x * d), c + 3 * x * d, d]
        return torch.stack([part / factor**n for n, part in enumerate(parts)], dim=1)

    def __call__(self, distances: Tensor) -> Tensor:
        """`[n]` Å to `[n, channels]`, differentiable; what the kernels compute inside their loops."""
        t = (distances.double() - self.start) * self.inverse_step
        interval = t.detach().floor().long().clamp(0, self.intervals - 1)
        u = (t - interval).to(distances.dtype)[:, None]
        a, b, c, d = self.coefficients[interval].unbind(1)
        return a + u * (b + u * (c + u * d))


@torch.no_grad()
def tabulate(
    function: Callable[[Tensor], Tensor],
    stop: float,
    start: float = MIN_DISTANCE,
    tolerance: float = TOLERANCE,
    kink: float | None = None,
) -> Table:
    """The coarsest table of a smooth function within a tolerance of its values and slopes.

    Args:
        function: `[n]` Å to `[n, channels]`, evaluated in float64.
        stop: Å, upper end.
        start: Å, lower end.
        tolerance: largest error allowed, over the function's largest value and slope.
        kink: Å, a place where the second derivative jumps; it becomes a knot, the start moving up a little for it.

    Raises:
        CapabilityError: no table of up to 8192 intervals is near enough.
    """
    intervals, error, first = FIRST, float("inf"), FIRST
    if kink is not None:
        # steps of the same length on both sides, as few as make a table of the first size
        after = max(1, round(FIRST * (stop - kink) / (stop - start)))
        first = after + int((kink - start) * after / (stop - kink))
        start, intervals = kink - (first - after) * (stop - kink) / after, first
    while intervals <= LAST:
        step = (stop - start) / intervals
        parts = [(start, stop, intervals)]
        if kink is not None:
            before = intervals - after * intervals // first
            parts = [(start, kink, before), (kink, stop, intervals - before)]
        table = Table(torch.cat([_spline(function, *part) for part in parts]), start, stop)
        # three places in every interval, none of them a knot
        places = start + step * (torch.arange(3 * intervals, dtype=torch.float64) / 3 + 1 / 6)
        error = max(_difference(table(places), function(places)), _difference(*_slopes(table, function, places)))
        if error <= tolerance:
            return Table(table.coefficients, start, stop, error)
        intervals *= 2
    raise CapabilityError(
        f"a radial function cannot be tabulated: with {LAST} intervals the error is {error:.1e} of its largest value"
        f" or slope, above {tolerance:.0e}."
    )


def _difference(values: Tensor, exact: Tensor) -> float:
    return float((values - exact).abs().max() / exact.abs().max().clamp(min=1e-300))


def _slopes(table: Table, function: Callable[[Tensor], Tensor], places: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of both; a tenth of the way to the next knot is still the same polynomial."""
    step = 0.01 / table.inverse_step
    return tuple((f(places + step) - f(places - step)) / (2 * step) for f in (table, function))  # type: ignore[return-value]


def _spline(function: Callable[[Tensor], Tensor], start: float, stop: float, intervals: int) -> Tensor:
    """Coefficients of the cubic spline through equidistant values with the right slopes at both ends."""
    step = (stop - start) / intervals
    values = function(torch.linspace(start, stop, intervals + 1, dtype=torch.float64)).numpy()
    ends = [_slope(function, place, inward * 1e-4 * step) for place, inward in ((start, 1), (stop, -1))]
    # B-spline coefficients b: (b_{k-1} + 4 b_k + b_{k+1}) / 6 = f_k inside; with b_{-1} = b_1 − 2 h f'_0 at the ends
    right = 6 * values
    right[0] += 2 * step * ends[0]
    right[-1] -= 2 * step * ends[1]
    bands = np.ones((3, intervals + 1))
    bands[1] = 4.0
    bands[0, 1] = bands[2, -2] = 2.0
    inner = solve_banded((1, 1), bands, right)
    b = np.vstack([inner[1] - 2 * step * ends[0], inner, inner[-2] + 2 * step * ends[1]])
    p, q, r, s = (b[k : k + intervals] for k in range(4))
    powers = [(p + 4 * q + r) / 6, (r - p) / 2, (p - 2 * q + r) / 2, (s - 3 * r + 3 * q - p) / 6]
    return torch.from_numpy(np.ascontiguousarray(np.stack(powers, axis=1)))


def _slope(function: Callable[[Tensor], Tensor], place: float, step: float) -> np.ndarray:
    """One-sided derivative of second order, so that nothing outside of the range is asked for."""
    a, b, c = function(torch.tensor([place, place + step, place + 2 * step], dtype=torch.float64)).numpy()
    return (-3 * a + 4 * b - c) / (2 * step)
