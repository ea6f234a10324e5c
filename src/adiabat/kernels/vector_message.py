"""The messages of PaiNN, scalars and vectors filtered by tabulated W(r), without a tensor of pairs × channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table


class VectorMessage(Kernel):
    """s_i + Σ_j φ_1 W_1 and v_i + Σ_j (φ_2 W_2 d_ij + φ_3 W_3 v_j) with φ of atom j and W = f_ij R(r_ij).

    Args:
        table: R, the three parts side by side, with the dtype of the features.
    """

    differentiable: ClassVar[int] = 6

    def __init__(self, table: Table):
        self.table = table
        self.packed = table.packed(3)

    def __call__(
        self,
        phi: Tensor,
        distances: Tensor,
        factors: Tensor,
        directions: Tensor,
        s: Tensor,
        v: Tensor | None,
        pairs: PairIndex,
    ) -> tuple[Tensor, Tensor]:
        """Scalars and vectors after the message, differentiable once in all tensors.

        Args:
            phi: φ, the three parts side by side `[atoms, 3·channels]`.
            distances: r, `[pairs]`, Å.
            factors: f, `[pairs]`; a pair with 0 adds nothing.
            directions: d, `[pairs, 3]`.
            s: scalars `[atoms, channels]`.
            v: vectors `[atoms, 3, channels]`; None if all are zero, which saves a part of the work.
            pairs: from `PairIndex.of`.
        """
        vectors = s.new_empty((0, 3, s.shape[1])) if v is None else v
        made = self.apply(phi, distances, factors, directions, s, vectors, *pairs.tensors)
        return made[0], made[1]

    def reference(
        self,
        phi: Tensor,
        distances: Tensor,
        factors: Tensor,
        directions: Tensor,
        s: Tensor,
        v: Tensor | None,
        pairs: PairIndex,
    ) -> tuple[Tensor, Tensor]:
        """The same in torch."""
        filters = self.table(distances) * factors[:, None]
        one, two, three = (phi[pairs.neighbors] * filters).split(s.shape[1], dim=1)
        dv = two[:, None] * directions[:, :, None]
        if v is None:
            return s + pairs.sum(one), pairs.sum(dv)
        return s + pairs.sum(one), v + pairs.sum(dv + three[:, None] * v[pairs.neighbors])

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        atoms, channels = inputs[4].shape
        return [torch.empty_like(inputs[4]), inputs[4].new_empty((atoms, 3, channels))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _, neighbors, begins, order, _ = inputs[6:]
        self._call("forward", inputs, begins, order, neighbors, made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        centers, _, _, order, begins = inputs[6:]
        self._call("backward", inputs, begins, order, centers, [*gradients, *made])

    def _call(
        self,
        name: str,
        inputs: Sequence[Tensor],
        begins: Tensor,
        order: Tensor,
        others: Tensor,
        rest: Sequence[Tensor],
    ) -> None:
        """`others`: the atoms at the other ends of the pairs."""
        given, (s, v), table = inputs[:6], inputs[4:6], self.table
        call(
            "vector_message", name, same_type(*given, self.packed), *s.shape, int(len(v) < len(s)), *given, begins,
            order, others, self.packed, table.intervals, table.start, table.inverse_step, *rest,
        )  # fmt: skip
