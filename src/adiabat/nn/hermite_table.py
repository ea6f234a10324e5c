"""Tables of equally spaced points as LAMMPS interpolates them: cubic polynomials with slopes of five points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from adiabat.nn.constants import ConstantModule


class HermiteTable(ConstantModule):
    """Functions of one variable from 0 on, each given by its values at multiples of a step.

    Beyond the last point the last value is kept; with `extended`, the line through it with the last slope.

    Args:
        rows: number of functions.
        points: of each, at least 5.
        step: between points.
        extended: whether functions go on as lines.
    """

    values: Tensor
    coefficients: Tensor

    def __init__(self, rows: int, points: int, step: float, extended: bool = False):
        super().__init__()
        self.step, self.points, self.extended = step, points, extended
        self.register_constant("values", np.zeros((rows, points)), persistent=True)
        self.register_constant("coefficients", np.zeros((rows, points - 1, 4)))

    def set_values(self, values: np.ndarray) -> None:
        """Takes other values `[rows, points]`."""
        self.set_constant("values", values)
        self.set_constant("coefficients", hermite(self._exact["values"]))

    def exact(self) -> np.ndarray:
        """The values in float64 `[rows, points]`."""
        return self._exact["values"]

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, *args, **kwargs)
        self.set_constant("coefficients", hermite(self._exact["values"]))

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """Values `[n]` of the functions `rows [n]` at x `[n]`."""
        scaled = x / self.step
        interval = scaled.detach().floor().long().clamp(0, self.points - 2)
        place = (scaled - interval).clamp(max=1.0)
        a, b, c, d = self.coefficients.flatten(0, 1).index_select(0, rows * (self.points - 1) + interval).unbind(1)
        found = ((a * place + b) * place + c) * place + d
        if not self.extended:
            return found
        beyond = (scaled - (self.points - 1)).clamp(min=0.0)
        return found + beyond * ((3.0 * a + 2.0 * b) + c)


def hermite(values: np.ndarray) -> np.ndarray:
    """Coefficients of u³, u², u and 1, u from 0 to 1 in each interval, `[rows, points − 1, 4]`."""
    slopes = np.empty_like(values)
    slopes[:, 0] = values[:, 1] - values[:, 0]
    slopes[:, -1] = values[:, -1] - values[:, -2]
    slopes[:, 1] = 0.5 * (values[:, 2] - values[:, 0])
    slopes[:, -2] = 0.5 * (values[:, -1] - values[:, -3])
    slopes[:, 2:-2] = (values[:, :-4] - values[:, 4:] + 8.0 * (values[:, 3:-1] - values[:, 1:-3])) / 12.0
    rise, first, second = np.diff(values), slopes[:, :-1], slopes[:, 1:]
    return np.stack((first + second - 2.0 * rise, 3.0 * rise - 2.0 * first - second, first, values[:, :-1]), axis=2)
