"""Sums over the angles at each atom (`nn.angular_sums.LegendreSum`), gated and cut off, one center at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex


class LegendreSum(Kernel):
    """f_ij Σ_{k ≠ j} Y_l0(θ_jik) b_ln(r_ik) g_ln for every pair ij, with g of atom k or of the center.

    Pairs with f = 0 are left out of the sums and get none.

    Args:
        degrees: l = 0..degrees − 1.
        count: values n of each degree.
        sizes: √((2l+1)/4π) `[degrees]`.
        of_centers: whether g is the center's.
    """

    differentiable: ClassVar[int] = 3

    def __init__(self, degrees: int, count: int, sizes: Tensor, of_centers: bool):
        self.degrees, self.count, self.of_centers = degrees, count, of_centers
        self.sizes = sizes.detach().clone()

    def __call__(self, harmonics: Tensor, radial: tuple[Tensor, ...], gates: Tensor, pairs: PairIndex) -> Tensor:
        """`[pairs, degrees · count]`, differentiable once in harmonics, distances and gates.

        Args:
            harmonics: Y_lm with Σ_m Y² = 1 of the pairs' directions `[pairs, degrees²]`.
            radial: distances `[pairs]`; b and behind them f, and their slopes, `[pairs, degrees · count + 1]`.
            gates: g `[atoms, degrees · count]`.
            pairs: sorted both ways.
        """
        distances, *functions = radial
        index = pairs.begins, pairs.neighbors, pairs.order, pairs.order_begins
        return self.apply(harmonics, distances, gates, *functions, *index)[0]

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [inputs[0].new_empty((inputs[0].shape[0], self.degrees * self.count))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("push", inputs, made[0])

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("pull", inputs, gradients[0], *made)

    def _call(self, name: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        call(
            "legendre_sum", name, same_type(*inputs[:5], self.sizes), inputs[2].shape[0], self.degrees, self.count,
            int(self.of_centers), *inputs, self.sizes, *rest,
        )  # fmt: skip
