"""y_i = Σ_j s_ij R(r_ij) ∘ x_j with tabulated R, the convolution of SchNet, without a tensor of pairs × channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table


def radial_sum(features: Tensor, distances: Tensor, factors: Tensor, table: Table, pairs: PairIndex) -> Tensor:
    """Sums over neighbors `[atoms, channels]`, differentiable once in features, distances and factors.

    Args:
        features: x, `[atoms, channels]`.
        distances: r, `[pairs]`, Å.
        factors: s, `[pairs]`; a pair with 0 is skipped.
        table: R, with the dtype of the features.
        pairs: from `PairIndex.of`.
    """
    return _RadialSum.apply(features, distances, factors, table, pairs)  # type: ignore[no-any-return]


def reference(features: Tensor, distances: Tensor, factors: Tensor, table: Table, pairs: PairIndex) -> Tensor:
    """The same in torch."""
    messages = features[pairs.neighbors] * table(distances) * factors[:, None]
    return torch.zeros_like(features).index_add(0, pairs.centers, messages)


class _RadialSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, distances: Tensor, factors: Tensor, table: Table, pairs: PairIndex
    ) -> Tensor:
        features, distances, factors = (t.contiguous() for t in (features, distances, factors))
        ctx.save_for_backward(features, distances, factors)
        ctx.table, ctx.pairs = table, pairs
        made = torch.empty_like(features)
        dtype = same_type(features, distances, factors, table.coefficients)
        call(
            "radial_sum", "forward", dtype, *features.shape, pairs.begins, pairs.neighbors, distances,
            factors, features, table.coefficients, table.intervals, table.start, table.inverse_step, made,
        )  # fmt: skip
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, distances, factors = ctx.saved_tensors
        table, pairs = ctx.table, ctx.pairs
        made = torch.empty_like(features), torch.empty_like(distances), torch.empty_like(factors)
        call(
            "radial_sum", "backward", features.dtype, *features.shape, pairs.order_begins, pairs.order, pairs.centers,
            distances, factors, features, table.coefficients, table.intervals, table.start, table.inverse_step,
            gradient.contiguous(), *made,
        )  # fmt: skip
        return *made, None, None
