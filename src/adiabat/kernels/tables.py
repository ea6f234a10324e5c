"""Radial functions as cubic B-splines: a network's values and slopes at the cost of a table, within a known error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_banded
from torch import Tensor

from adiabat.errors import CapabilityError

TOLERANCE = 1e-6  # of the largest value
FIRST, LAST = 256, 8192  # intervals tried


@dataclass(frozen=True)
class Table:
    """R(r) = Σ_k B(r/h − k) coefficients_k with the cubic B-spline B; twice continuously differentiable.

    Attributes:
        coefficients: `[intervals + 3, channels]`.
        start: Å, lower end; the spline continues its first polynomial below.
        stop: Å, upper end.
        error: largest difference to the tabulated function found, over the function's largest value.
    """

    coefficients: Tensor
    start: float
    stop: float
    error: float

    @property
    def rows(self) -> int:
        """Number of coefficients of each channel."""
        return self.coefficients.shape[0]

    @property
    def inverse_step(self) -> float:
        """Intervals per Å."""
        return (self.rows - 3) / (self.stop - self.start)

    def to(self, dtype: torch.dtype) -> Table:
        """A copy with another floating-point type."""
        return Table(self.coefficients.to(dtype), self.start, self.stop, self.error)

    def __call__(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., channels]`, differentiable; what the kernels compute inside their loops."""
        t = (distances.double() - self.start) * self.inverse_step
        row = t.detach().floor().long().clamp(0, self.rows - 4)
        u = (t - row)[..., None]
        v = 1 - u
        weights = (v**3, 3 * u**3 - 6 * u**2 + 4, 3 * v**3 - 6 * v**2 + 4, u**3)
        terms = [(w / 6).to(distances.dtype) * self.coefficients[row + k] for k, w in enumerate(weights)]
        return terms[0] + terms[1] + terms[2] + terms[3]


def tabulate(function: Callable[[Tensor], Tensor], start: float, stop: float, tolerance: float = TOLERANCE) -> Table:
    """The coarsest table of a smooth function within a tolerance.

    Args:
        function: `[n]` Å to `[n, channels]`, evaluated in float64.
        start: Å, lower end.
        stop: Å, upper end.
        tolerance: largest error allowed, over the function's largest value.

    Raises:
        CapabilityError: no table of up to 8192 intervals is near enough.
    """
    intervals, error = FIRST, float("inf")
    while intervals <= LAST:
        table = _spline(function, start, stop, intervals)
        # three places in every interval, none of them a knot
        places = start + (stop - start) / intervals * (torch.arange(3 * intervals, dtype=torch.float64) / 3 + 1 / 6)
        exact = function(places)
        error = float((table(places) - exact).abs().max() / exact.abs().max().clamp(min=1e-300))
        if error <= tolerance:
            return Table(table.coefficients, start, stop, error)
        intervals *= 2
    raise CapabilityError(
        f"a radial function cannot be tabulated: with {LAST} intervals the error is {error:.1e} of its largest value,"
        f" above {tolerance:.0e}."
    )


def _spline(function: Callable[[Tensor], Tensor], start: float, stop: float, intervals: int) -> Table:
    step = (stop - start) / intervals
    knots = torch.linspace(start, stop, intervals + 1, dtype=torch.float64)
    values = function(knots).numpy()
    ends = [_slope(function, place, inward * 1e-4 * step) for place, inward in ((start, 1), (stop, -1))]
    # (c_{k-1} + 4 c_k + c_{k+1}) / 6 = f_k inside; with c_{-1} = c_1 − 2 h f'_0 at the ends
    right = 6 * values
    right[0] += 2 * step * ends[0]
    right[-1] -= 2 * step * ends[1]
    bands = np.ones((3, intervals + 1))
    bands[1] = 4.0
    bands[0, 1] = bands[2, -2] = 2.0
    inner = solve_banded((1, 1), bands, right)
    first, last = inner[1] - 2 * step * ends[0], inner[-2] + 2 * step * ends[1]
    return Table(torch.from_numpy(np.ascontiguousarray(np.vstack([first, inner, last]))), start, stop, np.nan)


def _slope(function: Callable[[Tensor], Tensor], place: float, step: float) -> np.ndarray:
    """One-sided derivative of second order, so that nothing outside of the range is asked for."""
    a, b, c = function(torch.tensor([place, place + step, place + 2 * step], dtype=torch.float64)).numpy()
    return (-3 * a + 4 * b - c) / (2 * step)
