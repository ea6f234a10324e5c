"""Products of two features with components, such as matrices or irreps, channel by channel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adiabat.kernels.bilinear import Bilinear
from adiabat.nn.constants import ConstantModule


class BilinearProduct(ConstantModule):
    """z_k = Σ_ij T_ijk x_i y_j of components.

    Args:
        table: T.
    """

    table: Tensor

    def __init__(self, table: np.ndarray):
        super().__init__()
        self.exact = table
        self.register_constant("table", table.reshape(-1, table.shape[2]).T)
        self.kernel: Bilinear | None = None

    def freeze(self) -> None:
        """Takes the fast kernel for good."""
        self.kernel = Bilinear(self.exact, self.table.dtype)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """`[atoms, i, channels]` and `[atoms, j, channels]` to `[atoms, k, channels]`."""
        if self.kernel is not None:
            return self.kernel(x, y)
        outer = (x[:, :, None] * y[:, None]).flatten(1, 2)
        return torch.bmm(self.table.expand(x.shape[0], *self.table.shape), outer)
