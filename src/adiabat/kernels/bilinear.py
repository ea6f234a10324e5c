"""z_k = Σ_ij T_ijk x_i y_j of the components of atoms' features, channel by channel, with a sparse T."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from adiabat.errors import CapabilityError
from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel

LARGEST = 16  # components compiled


class Bilinear(Kernel):
    """The product, differentiable once in x and y.

    Args:
        table: T, `[i, j, k]`.
        dtype: of the features.

    Raises:
        CapabilityError: a feature has more than 16 components.
    """

    differentiable: ClassVar[int] = 2

    def __init__(self, table: np.ndarray, dtype: torch.dtype):
        if max(table.shape) > LARGEST:
            raise CapabilityError("the fast kernel of products goes up to l = 3, and this model needs more.")
        places = np.argwhere(table != 0.0)
        self.sizes = table.shape
        self.places = torch.from_numpy(np.ascontiguousarray(places, dtype=np.int64))
        self.values = torch.from_numpy(table[tuple(places.T)]).to(dtype)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """`[atoms, i, channels]` and `[atoms, j, channels]` to `[atoms, k, channels]`."""
        (made,) = self.apply(x, y)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        atoms, _, channels = inputs[0].shape
        return [inputs[0].new_empty((atoms, self.sizes[2], channels))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("forward", inputs, made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("backward", [*inputs, *gradients], made)

    def _call(self, name: str, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        atoms, _, channels = given[0].shape
        call(
            "bilinear", name, same_type(*given, self.values), atoms, channels, *self.sizes, len(self.values),
            self.places, self.values, *given, *made,
        )  # fmt: skip
