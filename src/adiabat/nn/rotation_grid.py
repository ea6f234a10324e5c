"""Products of functions on the sphere, or on the rotations, that are given by their coefficients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.constants import ConstantModule
from adiabat.nn.wigner import WignerRows, pair_frames


class RotationGrid(ConstantModule):
    """Values on a grid from coefficients and back, exact for the product of two functions.

    The functions are f(R) = Σ_lmk x_lmk D^l_km(R) with |k| ≤ k_max. Those of k = 0 depend on the polar axis of R
    alone and are functions on the sphere, Σ_lm x_lm Y_lm with Σ_m Y² = 1. Polynomials of degree 3 l_max are
    integrated exactly (Gauss-Legendre in the height of the axis, equal steps in both angles), so that multiplying
    values is the coupling of coefficients by the integrals of three functions, equivariant and whatever the grid.

    Args:
        l_max: highest degree of the coefficients.
        k_max: highest order on the frame's side, 0 for functions on the sphere.
    """

    values: Tensor
    weights: Tensor

    def __init__(self, l_max: int, k_max: int = 0):
        super().__init__()
        self.k_max = k_max
        values, measure = _functions(l_max, k_max)
        self.register_constant("values", values.reshape(len(values), -1))
        sizes = 2 * np.arange(l_max + 1) + 1
        factors = np.repeat(sizes, sizes)[:, None] * measure[:, None, None]
        self.register_constant("weights", (values * factors).reshape(len(values), -1).T)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, (l_max+1)² · (2 k_max+1), channels]`, k = 0, −1, 1, −2 ..., to values `[n, channels, points]`."""
        return (x.transpose(1, 2).reshape(-1, x.shape[1]) @ self.values.T).unflatten(0, (-1, x.shape[2]))

    def coefficients(self, values: Tensor) -> Tensor:
        """The way back: `[n, channels, points]` to `[n, (l_max+1)² · (2 k_max+1), channels]`."""
        found = values.reshape(-1, values.shape[2]) @ self.weights.T
        return found.unflatten(0, (-1, values.shape[1])).transpose(1, 2)


def _functions(l_max: int, k_max: int) -> tuple[np.ndarray, np.ndarray]:
    """D^l_km `[points, (l_max+1)², 2 k_max+1]` and the measure of each point, which add up to 1."""
    heights, shares = np.polynomial.legendre.leggauss((3 * l_max) // 2 + 1)
    turns, rolls = 3 * l_max + 1, 3 * k_max + 1
    angles = 2 * np.pi * np.arange(turns) / turns
    height, angle = (part.ravel() for part in np.meshgrid(heights, angles, indexing="ij"))
    ring = np.sqrt(1 - height**2)
    axes = np.stack([ring * np.sin(angle), height, ring * np.cos(angle)], axis=1)
    rows = WignerRows(l_max, k_max).double()(pair_frames(torch.as_tensor(axes)))
    roll = 2 * np.pi * np.arange(rolls) / rolls
    found = np.zeros((len(axes), rolls, (l_max + 1) ** 2, 2 * k_max + 1))
    for l, block in enumerate(part.numpy()[:, None] for part in rows):
        middle, degree = block.shape[2] // 2, slice(l * l, (l + 1) ** 2)
        found[:, :, degree, 0] = block[:, :, middle]
        for k in range(1, middle + 1):
            cosine, sine = np.cos(k * roll)[:, None], np.sin(k * roll)[:, None]
            minus, plus = block[:, :, middle - k], block[:, :, middle + k]
            found[:, :, degree, 2 * k - 1] = cosine * minus + sine * plus
            found[:, :, degree, 2 * k] = cosine * plus - sine * minus
    measure = np.repeat(shares / 2, turns * rolls) / (turns * rolls)
    return found.reshape(-1, *found.shape[2:]), measure
