"""Σ_j s_ij R_l(r_ij) ∘ x_l,j of features in three parts l, with tabulated R, without a tensor of pairs × channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table


class PartSum(Kernel):
    """The messages of TensorNet: one filter for each part, differentiable once in features, distances and factors.

    Args:
        table: R, the three parts' channels side by side, with the dtype of the features.
    """

    differentiable: ClassVar[int] = 5

    def __init__(self, table: Table):
        self.table = table
        self.packed = table.packed(3)

    def __call__(
        self, parts: Sequence[Tensor], distances: Tensor, factors: Tensor, pairs: PairIndex
    ) -> tuple[Tensor, ...]:
        """Sums over neighbors, shaped like the parts.

        Args:
            parts: x, `[atoms, 1, channels]`, `[atoms, 3, channels]`, `[atoms, 5, channels]`.
            distances: r, `[pairs]`, Å.
            factors: s, `[pairs]`; a pair with 0 adds nothing.
            pairs: from `PairIndex.of`.
        """
        return self.apply(*parts, distances, factors, *pairs.tensors)

    def reference(
        self, parts: Sequence[Tensor], distances: Tensor, factors: Tensor, pairs: PairIndex
    ) -> tuple[Tensor, ...]:
        """The same in torch."""
        filters = (self.table(distances) * factors[:, None]).chunk(3, dim=1)
        return tuple(pairs.sum(x[pairs.neighbors] * w[:, None]) for x, w in zip(parts, filters, strict=True))

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [torch.empty_like(x) for x in inputs[:3]]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _, neighbors, begins, _, _ = inputs[5:]
        self._call("forward", inputs, [begins, neighbors], made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        centers, _, _, order, begins = inputs[5:]
        self._call("backward", inputs, [begins, order, centers], [*gradients, *made])

    def _call(self, name: str, inputs: Sequence[Tensor], index: Sequence[Tensor], rest: Sequence[Tensor]) -> None:
        given, table = inputs[:5], self.table
        atoms, _, channels = given[0].shape
        dtype = same_type(*given, self.packed)
        call(
            "part_sum", name, dtype, atoms, channels, *given, *index, self.packed, table.intervals, table.start,
            table.inverse_step, *rest,
        )  # fmt: skip
