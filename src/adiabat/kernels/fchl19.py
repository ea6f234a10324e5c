"""Two- and three-body terms of FCHL19, their gradient and Jacobian, without a tensor of triplets × features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.rows import RowKernel

NAME = "fchl19"


class Grids(NamedTuple):
    """What the terms are made of: `descriptors.fchl19.FCHL19Config` says what each is, Å.

    Attributes:
        radial, angular: points of the grids, equally spaced up to their cutoffs.
        weight: factor of the three-body terms.
    """

    radial: int
    angular: int
    cutoff: float
    angular_cutoff: float
    radial_width: float
    angular_width: float
    radial_decay: float
    angular_decay: float
    weight: float


class FCHL19Terms(RowKernel):
    """Rows of the terms: two-body ones of each element, then three-body ones of each two elements p ≤ q.

    Args:
        grids: the terms.
        series: weight of each odd multiple of the angle `[order]`.
        kinds: number of elements.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(self, grids: Grids, series: Tensor, kinds: int):
        library(NAME)
        self.grids, self.kinds = grids, kinds
        self.series = series.detach().double().contiguous()
        self.size = kinds * grids.radial + kinds * (kinds + 1) * len(series) * grids.angular

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        radial, angular, *values = self.grids
        call(
            NAME, function, same_type(vectors, *rest), len(kinds), self.kinds, self.size, radial, angular,
            len(self.series), begins, neighbors, kinds, vectors, *(float(v) for v in values), self.series, *rest,
        )  # fmt: skip
