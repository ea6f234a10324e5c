"""Tabulated functions of each pair's distance, and their slopes for kernels that give gradients by distances."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.tables import BLOCK, Table


class RadialValues(Kernel):
    """What a table gives, differentiable once in the distance.

    Args:
        table: of the kernel's floating-point type.
        slopes: whether slopes are made too, as constants.
    """

    def __init__(self, table: Table, slopes: bool = False):
        self.channels, self.slopes = table.coefficients.shape[2], slopes
        self.place = table.intervals, table.start, table.inverse_step
        fill = -self.channels % (BLOCK // table.coefficients.element_size())
        self.table = functional.pad(table.coefficients, (0, fill)).contiguous()

    def __call__(self, distances: Tensor) -> tuple[Tensor, ...]:
        """Values `[n, channels]` of `[n]` Å, and slopes `[n, channels]`, 1/Å, if they were asked for."""
        return self.apply(distances)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        shape = inputs[0].shape[0], self.channels
        return [inputs[0].new_empty(shape) for _ in range(1 + self.slopes)]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        dtype = same_type(inputs[0], self.table)
        rows, slopes = inputs[0].shape[0], made[-1]
        call(
            "radial_values", "push", dtype, rows, self.channels, int(self.slopes), inputs[0], self.table, *self.place,
            made[0], slopes,
        )  # fmt: skip

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        call(
            "radial_values", "pull", same_type(inputs[0], self.table), inputs[0].shape[0], self.channels, inputs[0],
            self.table, *self.place, gradients[0], made[0],
        )  # fmt: skip
