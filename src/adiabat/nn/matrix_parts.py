"""3×3 matrices by their parts: trace (1 component), antisymmetric (3) and symmetric traceless (5).

The components are coordinates in an orthonormal basis, so that a matrix's squared Frobenius norm is the sum of their
squares. The parts are the degrees l = 0, 1, 2, their components in the order of `adiabat.nn.spherical_harmonics`.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from torch import Tensor

from adiabat.nn.constants import ConstantModule
from adiabat.nn.spherical_harmonics import SphericalHarmonics

SIZES = (1, 3, 5)


def basis() -> np.ndarray:
    """The nine matrices `[9, 3, 3]` that components belong to: Tr E_i E_jᵀ = δ_ij."""
    x, y, z = np.eye(3)
    skew = [np.cross(e, np.eye(3)).T / sqrt(2) for e in (x, y, z)]  # v ↦ e × v
    mixed = [(np.outer(a, b) + np.outer(b, a)) / sqrt(2) for a, b in ((x, z), (x, y), (y, z))]
    along_y = (3 * np.outer(y, y) - np.eye(3)) / sqrt(6)
    across = (np.outer(z, z) - np.outer(x, x)) / sqrt(2)
    return np.stack([np.eye(3) / sqrt(3), *skew, mixed[0], mixed[1], along_y, mixed[2], across])


def multiplication() -> np.ndarray:
    """T with (E_i E_j)_k = T_ijk `[9, 9, 9]`."""
    e = basis()
    table = np.einsum("iab,jbc,kac->ijk", e, e, e)
    return np.where(np.abs(table) > 1e-12, table, 0.0)


class DirectionMatrices(ConstantModule):
    """Components `[..., 9]` of the unit matrix, of v ↦ d × v and of d dᵀ − 1/3, for unit vectors d `[..., 3]`."""

    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.harmonics = SphericalHarmonics(2, normalize=False)
        self.register_constant("sizes", np.repeat([sqrt(3), sqrt(2 / 3), sqrt(2 / 15)], SIZES))

    def forward(self, directions: Tensor) -> Tensor:
        return self.harmonics(directions) * self.sizes
