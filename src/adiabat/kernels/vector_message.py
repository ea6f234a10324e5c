"""The messages of PaiNN, scalars and vectors filtered by tabulated W(r), without a tensor of pairs × channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from adiabat.kernels.build import call
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table

BLOCK = 64  # bytes of channels side by side, as in vector_message.cpp


class VectorMessage:
    """s_i + Σ_j φ_1 W_1 and v_i + Σ_j (φ_2 W_2 d_ij + φ_3 W_3 v_j) with φ of atom j and W = f_ij R(r_ij).

    Args:
        table: R, the three parts side by side, with the dtype of the features.
    """

    def __init__(self, table: Table):
        self.table = table
        intervals, _, channels = table.coefficients.shape
        width = BLOCK // table.coefficients.element_size()
        parts = functional.pad(table.coefficients.view(intervals, 4, 3, channels // 3), (0, -(channels // 3) % width))
        self.packed = parts.unflatten(3, (-1, width)).permute(0, 3, 2, 1, 4).contiguous()

    def __call__(
        self,
        s: Tensor,
        v: Tensor | None,
        phi: Tensor,
        distances: Tensor,
        factors: Tensor,
        directions: Tensor,
        pairs: PairIndex,
    ) -> tuple[Tensor, Tensor]:
        """Scalars and vectors after the message, differentiable once in all tensors.

        Args:
            s: scalars `[atoms, channels]`.
            v: vectors `[atoms, 3, channels]`; None if all are zero, which saves a part of the work.
            phi: φ, the three parts side by side `[atoms, 3·channels]`.
            distances: r, `[pairs]`, Å.
            factors: f, `[pairs]`; a pair with 0 adds nothing.
            directions: d, `[pairs, 3]`.
            pairs: from `PairIndex.of`.
        """
        return _VectorMessage.apply(s, v, phi, distances, factors, directions, self, pairs)  # type: ignore[no-any-return]

    def reference(
        self,
        s: Tensor,
        v: Tensor | None,
        phi: Tensor,
        distances: Tensor,
        factors: Tensor,
        directions: Tensor,
        pairs: PairIndex,
    ) -> tuple[Tensor, Tensor]:
        """The same in torch."""
        filters = self.table(distances) * factors[:, None]
        one, two, three = (phi[pairs.neighbors] * filters).split(s.shape[1], dim=1)
        dv = two[:, None] * directions[:, :, None]
        if v is None:
            return s + pairs.sum(one), pairs.sum(dv)
        return s + pairs.sum(one), v + pairs.sum(dv + three[:, None] * v[pairs.neighbors])

    @property
    def arguments(self) -> tuple[Tensor, int, float, float]:
        """The table as the kernels take it."""
        return self.packed, self.table.intervals, self.table.start, self.table.inverse_step


class _VectorMessage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, s: Tensor, v: Tensor | None, phi: Tensor, distances: Tensor, factors: Tensor, directions: Tensor,
        filters: VectorMessage, pairs: PairIndex,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.first = v is None
        given = [t.contiguous() for t in (distances, factors, directions, phi, phi if v is None else v)]
        ctx.save_for_backward(*given)
        ctx.filters, ctx.pairs = filters, pairs
        made = s.new_empty(s.shape), s.new_empty((len(s), 3, s.shape[1]))
        call(
            "vector_message", "forward", s.dtype, *s.shape, int(ctx.first), *given, *filters.arguments,
            pairs.begins, pairs.neighbors, s.contiguous(), *made,
        )  # fmt: skip
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gs: Tensor, gv: Tensor) -> tuple[Tensor | None, ...]:
        distances, factors, directions, phi, v = given = ctx.saved_tensors
        gs, gv = gs.contiguous(), gv.contiguous()
        made_phi, made_v = torch.empty_like(phi), None if ctx.first else torch.empty_like(v)
        made = torch.empty_like(distances), torch.empty_like(factors), torch.empty_like(directions)
        call(
            "vector_message", "backward", gs.dtype, *gs.shape, int(ctx.first), *given, *ctx.filters.arguments,
            ctx.pairs.order_begins, ctx.pairs.order, ctx.pairs.centers, gs, gv,
            made_phi, made_phi if made_v is None else made_v, *made,
        )  # fmt: skip
        return gs, made_v, made_phi, *made, None, None
