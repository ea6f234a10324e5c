"""y_i = Σ_j s_ij R(r_ij) ∘ x_j with tabulated R, the convolution of SchNet, without a tensor of pairs × channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table


class RadialSum(Kernel):
    """The sum for one R, differentiable once in features, distances and factors.

    Args:
        table: R, with the dtype of the features.
    """

    differentiable: ClassVar[int] = 3

    def __init__(self, table: Table):
        self.table = table

    def __call__(self, features: Tensor, distances: Tensor, factors: Tensor, pairs: PairIndex) -> Tensor:
        """Sums over neighbors `[atoms, channels]`.

        Args:
            features: x, `[atoms, channels]`.
            distances: r, `[pairs]`, Å.
            factors: s, `[pairs]`; a pair with 0 is skipped.
            pairs: from `PairIndex.of`.
        """
        (made,) = self.apply(features, distances, factors, *pairs.tensors)
        return made

    def reference(self, features: Tensor, distances: Tensor, factors: Tensor, pairs: PairIndex) -> Tensor:
        """The same in torch."""
        return pairs.sum(features[pairs.neighbors] * self.table(distances) * factors[:, None])

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [torch.empty_like(inputs[0])]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        features, distances, factors, _, neighbors, begins, *_ = inputs
        dtype = same_type(features, distances, factors, self.table.coefficients)
        call(
            "radial_sum",
            "forward",
            dtype,
            *features.shape,
            begins,
            neighbors,
            distances,
            factors,
            features,
            *self._own,
            *made,
        )

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        features, distances, factors, centers, _, _, order, begins = inputs
        call(
            "radial_sum", "backward", features.dtype, *features.shape, begins, order, centers, distances, factors,
            features, *self._own, *gradients, *made,
        )  # fmt: skip

    @property
    def _own(self) -> tuple[Tensor, int, float, float]:
        return self.table.coefficients, self.table.intervals, self.table.start, self.table.inverse_step
