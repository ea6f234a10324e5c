"""What TensorNet's layers do with the 3×3 matrices of one atom and channel, each step as one operation.

Matrices are given as three parts, `[atoms, 1, channels]`, `[atoms, 3, channels]`, `[atoms, 5, channels]`, in the
coordinates of `adiabat.nn.matrix_parts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel


class Normalize(Kernel):
    """X / (‖X‖² + 1)."""

    differentiable: ClassVar[int] = 3

    def __call__(self, parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Parts to parts, differentiable once."""
        return self.apply(*parts)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [torch.empty_like(x) for x in inputs[:3]]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _call("normalize", (), inputs, made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _call("pull_normalize", (), [*inputs, *gradients], made)


class Combine(Kernel):
    """C / (‖C‖² + 1) with C = a (Y M + M Y), or C = 2 Y M without mirror symmetry.

    Args:
        mirror: which of the two.
    """

    differentiable: ClassVar[int] = 6

    def __init__(self, mirror: bool):
        self.mirror = mirror

    def __call__(self, m: Sequence[Tensor], y: Sequence[Tensor], growth: Tensor) -> tuple[Tensor, ...]:
        """The parts from those of M and Y, differentiable once in both; `growth` is a, `[atoms, 1, 1]`."""
        return self.apply(*m, *y, growth)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [torch.empty_like(x) for x in inputs[:3]]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _call("combine", (int(self.mirror),), inputs, made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _call("pull_combine", (int(self.mirror),), [*inputs, *gradients], made)


class Renew(Kernel):
    """X + D + a D D."""

    differentiable: ClassVar[int] = 6

    def __call__(self, x: Sequence[Tensor], d: Sequence[Tensor], growth: Tensor) -> tuple[Tensor, ...]:
        """The parts from those of X and D, differentiable once in both; `growth` is a, `[atoms, 1, 1]`."""
        return self.apply(*x, *d, growth)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [torch.empty_like(x) for x in inputs[:3]]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _call("renew", (), inputs, made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        for mine, given in zip(made[:3], gradients, strict=True):
            mine.copy_(given)
        _call("pull_renew", (), [*inputs[3:], *gradients], made[3:])


def _call(name: str, options: Sequence[int], inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
    atoms, _, channels = inputs[0].shape
    call("matrix_update", name, same_type(*inputs, *made), atoms, channels, *options, *inputs, *made)
