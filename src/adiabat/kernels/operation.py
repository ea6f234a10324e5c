"""Kernels as operations of torch: differentiable once, and visible to a tracer."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("adiabat", "DEF")
_LIBRARY.define("forward(int kernel, Tensor[] inputs) -> Tensor[]")
_LIBRARY.define("backward(int kernel, Tensor[] inputs, Tensor[] gradients) -> Tensor[]")
_KERNELS: weakref.WeakValueDictionary[int, Kernel] = weakref.WeakValueDictionary()
_COUNT = itertools.count()


class Kernel:
    """A function of tensors in C++, with everything constant that it needs (tables, layouts).

    Attributes:
        differentiable: how many of the inputs, from the first on, have a gradient.
        kept: how many of the outputs, the last ones, are only kept for `pull`, which finds them behind its inputs.
    """

    differentiable: ClassVar[int] = 1
    kept: int = 0
    _number = -1

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        """Outputs of the right shape and type, not filled."""
        raise NotImplementedError

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """Fills `made` (from `outputs`). All tensors are contiguous."""
        raise NotImplementedError

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """Fills `made`, the gradients of the differentiable inputs, from those of the outputs."""
        raise NotImplementedError

    def apply(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs but those kept, differentiable once."""
        return _Apply.apply(self, *inputs)  # type: ignore[no-any-return]

    @property
    def number(self) -> int:
        """What the operation knows this kernel by; a copy gets its own."""
        if _KERNELS.get(self._number) is not self:
            self._number = next(_COUNT)
            _KERNELS[self._number] = self
        return self._number


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *inputs: Tensor) -> tuple[Tensor, ...]:
        inputs = tuple(t.contiguous() for t in inputs)
        made = torch.ops.adiabat.forward.default(kernel.number, list(inputs))
        results = len(made) - kernel.kept
        ctx.kernel, ctx.constants = kernel, len(inputs) - kernel.differentiable
        ctx.save_for_backward(*inputs, *made[results:])
        return tuple(made[:results])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given = [g.contiguous() for g in gradients]
        made = torch.ops.adiabat.backward.default(ctx.kernel.number, list(ctx.saved_tensors), given)
        return None, *made, *(None for _ in range(ctx.constants))


def _forward(kernel: int, inputs: Sequence[Tensor]) -> list[Tensor]:
    own = _KERNELS[kernel]
    made = own.outputs(*inputs)
    own.run(inputs, made)
    return made


def _backward(kernel: int, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    own = _KERNELS[kernel]
    made = [torch.empty_like(t) for t in inputs[: own.differentiable]]
    own.pull(inputs, gradients, made)
    return made


_LIBRARY.impl("forward", _forward, "CPU")
_LIBRARY.impl("backward", _backward, "CPU")
torch.library.register_fake("adiabat::forward", lambda kernel, inputs: _KERNELS[kernel].outputs(*inputs))
torch.library.register_fake(
    "adiabat::backward",
    lambda kernel, inputs, gradients: [torch.empty_like(t) for t in inputs[: _KERNELS[kernel].differentiable]],
)
