"""Atomic environment vectors, their gradient and Jacobian, without a tensor of triplets × functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.rows import RowKernel

NAME = "environment_vectors"


class EnvironmentVectors(RowKernel):
    """Rows of radial and angular functions, differentiable once in the pair vectors.

    Columns are radial ones by element of the neighbor, then angular ones by unordered pair of elements. Angular ones
    are products of a function of distances (a range) and one of the angle (a turn to a power), in the order η, ζ,
    shift, angle.

    Args:
        radial: η and shift of each radial function `[radial, 2]`, Å⁻² and Å.
        ranges: the same of the mean of two distances, shifts fastest `[ranges, 2]`.
        zetas: powers.
        turns: cosine and sine of each angle θ_s `[turns, 2]`.
        shifts: number of shifts for each η of `ranges`.
        kinds: number of elements.
        radii: cutoffs of radial and of angular functions, Å.
        factors: what multiplies radial functions, and cosines before their angle is taken.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(
        self,
        radial: Tensor,
        ranges: Tensor,
        zetas: Sequence[float],
        turns: Tensor,
        shifts: int,
        kinds: int,
        radii: tuple[float, float],
        factors: tuple[float, float],
    ):
        library(NAME)
        self.kinds = kinds
        tables = (radial, ranges, torch.tensor(zetas, dtype=torch.float64), turns)
        self._counts = (*(len(table) for table in tables), shifts)
        constants = torch.tensor([radii[0], 0.0, radii[1], 0.0, *factors], dtype=torch.float64)
        self._tables = [t.detach().to("cpu", torch.float64).contiguous() for t in (*tables, constants)]
        angular = len(ranges) * len(zetas) * len(turns)
        self.size = kinds * len(radial) + kinds * (kinds + 1) // 2 * angular

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        call(
            NAME, function, same_type(vectors, *rest), len(kinds), self.kinds, begins, neighbors, kinds, vectors,
            *self._counts, *self._tables, *rest,
        )  # fmt: skip
