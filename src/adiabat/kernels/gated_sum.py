"""Gated networks of sums of gathered rows, summed by index, without a tensor of rows × hidden nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.kernels.build import call, same_type
from adiabat.kernels.dense import packed
from adiabat.kernels.operation import Kernel

Kind = Literal["pairs", "bonds", "angles"]
KINDS = get_args(Kind)
LANES = 64  # bytes of channels side by side, as in lanes.hpp


class GatedSum(Kernel):
    """Σ f ∘ silu(LN(core(silu(x)))) ∘ σ(LN(gate(silu(x)))) with x_r = a[i_r] + b[j_r] + c[k_r] + d_r over rows r.

    | kind | d | f_r | result |
    |---|---|---|---|
    | pairs | none | f[k_r] | sums over the rows with the same i |
    | bonds | given | f[i_r] ∘ f[j_r] | sums over the rows with the same i |
    | angles | given | none | every row |

    Without core and gate, x itself takes their place: a network of one layer.

    Args:
        kind: one of the above.
        core, gate: second layers, of the first and the second half of silu(x).
        norms: layer normalizations of either.
    """

    differentiable: ClassVar[int] = 5

    def __init__(
        self,
        kind: Kind,
        core: nn.Linear | None,
        gate: nn.Linear | None,
        norms: tuple[nn.LayerNorm, nn.LayerNorm],
    ):
        self.kind = kind
        self.epsilon = norms[0].eps
        scale = norms[0].weight.detach()
        self.channels = scale.shape[0]
        self.hidden = self.channels if core is None else core.in_features
        width = LANES // scale.element_size()
        rows = [torch.ones_like(scale), *(t.detach() for n in norms for t in (n.weight, n.bias))]
        self.norms = functional.pad(torch.stack(rows), (0, -self.channels % width)).contiguous()
        self.zeros = scale.new_zeros(max(self.hidden, self.channels))
        self.deep = core is not None and gate is not None
        layers = [self.zeros] * 5
        if core is not None and gate is not None:
            both = core.weight.detach(), gate.weight.detach()
            biases = torch.cat([core.bias.detach(), gate.bias.detach()])
            layers = [*(packed(w.t()) for w in both), *(packed(w) for w in both), biases]
        self.layers = layers

    def __call__(
        self,
        tables: tuple[Tensor, Tensor, Tensor],
        indices: tuple[Tensor, Tensor, Tensor],
        own: Tensor | None = None,
        factors: Tensor | None = None,
    ) -> Tensor:
        """`[rows of a, channels]`, or of kind "angles" `[rows, channels]`; differentiable once in all but indices.

        Args:
            tables: a, b, c, each `[n, 2 · hidden]`.
            indices: i, j, k, each `[rows]`.
            own: d `[rows, 2 · hidden]`.
            factors: f `[n, channels]`.
        """
        empty = tables[0].new_empty((0, 1))
        given = [empty if t is None else t for t in (own, factors)]
        return self.apply(*tables, *given, *indices)[0]

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        rows = inputs[5 if self.kind == "angles" else 0].shape[0]
        return [inputs[0].new_empty((rows, self.channels))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("push", inputs, made[0], made[0].shape[0])

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        for tensor in made:
            tensor.zero_()
        self._call("pull", inputs, gradients[0], *made)

    def _call(self, name: str, inputs: Sequence[Tensor], *rest: Tensor | int) -> None:
        dtype = same_type(*inputs[:5], self.norms)
        call(
            "gated_sum", name, dtype, KINDS.index(self.kind), inputs[5].shape[0], self.hidden, self.channels,
            int(self.deep), self.epsilon, *inputs, *self.layers, self.norms, self.zeros, *rest,
        )  # fmt: skip
