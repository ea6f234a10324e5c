"""Chebyshev expansions of radial and angular distributions, their gradient and Jacobian, without triplets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.rows import RowKernel

NAME = "chebyshev_sums"


class ChebyshevSums(RowKernel):
    """Rows of radial and then angular coefficients of each sum over neighbors.

    Args:
        cutoffs: of radial and angular distribution, Å; the second is not the larger one.
        radial: number of radial polynomials.
        weights: of the elements in each sum, one or two of them `[sums, kinds]`.
        degrees: b with T_α = Σ_l b_αl P_l `[angular, angular]`.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(self, cutoffs: tuple[float, float], radial: int, weights: np.ndarray, degrees: np.ndarray):
        library(NAME)
        self.cutoffs, self.radial = cutoffs, radial
        sums, angular = len(weights), len(degrees)
        self.size = sums * (radial + angular)
        own = degrees / (2.0 * np.arange(angular) + 1.0)  # the kernel's harmonics have Σ_m Y_lm² = 2l + 1
        self._tables = [torch.tensor(table, dtype=torch.float64).contiguous() for table in (weights, own)]

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        weights, degrees = self._tables
        counts = (weights.shape[1], self.size, len(weights), self.radial, len(degrees))
        call(
            NAME, function, same_type(vectors, *rest), len(kinds), *counts, begins, neighbors, kinds, vectors,
            *self.cutoffs, weights, degrees, *rest,
        )  # fmt: skip
