"""Layers for coefficients of all degrees side by side, `[atoms, (l_max+1)², channels]`: all orders of one alike.

As in Equiformer V2 (Y.-L. Liao et al., ICLR 2024, doi:10.48550/arXiv.2306.12059).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.nn.constants import ConstantModule


class DegreeLinear(nn.Module):
    """y_lm = x_lm W_l, without bias.

    Args:
        l_max: highest degree.
        inputs: channels that come in.
        outputs: channels that come out.
        silent: whether W is zero at first.
    """

    def __init__(self, l_max: int, inputs: int, outputs: int, silent: bool = False):
        super().__init__()
        self.sizes = [2 * l + 1 for l in range(l_max + 1)]
        self.weight = nn.Parameter(torch.zeros(l_max + 1, inputs, outputs))
        for own in self.weight if not silent else ():
            nn.init.xavier_uniform_(own)

    def forward(self, x: Tensor) -> Tensor:
        """`[atoms, (l_max+1)², inputs]` to `[atoms, (l_max+1)², outputs]`."""
        made = []
        for part, weight in zip(x.split(self.sizes, dim=1), self.weight.unbind(0), strict=True):
            made.append((part.reshape(-1, x.shape[2]) @ weight).unflatten(0, (-1, part.shape[1])))
        return torch.cat(made, dim=1)


class DegreeGate(nn.Module):
    """silu of l = 0; other degrees times σ(x_00 G_l), a gate of each degree and channel.

    Args:
        degrees: of the coefficients, 0 first.
        channels: of the features.
    """

    place: Tensor

    def __init__(self, degrees: Sequence[int], channels: int):
        super().__init__()
        self.gates = nn.Parameter(0.01 * torch.randn(channels, max(degrees) * channels))
        self.register_buffer("place", torch.tensor(degrees[1:]) - 1, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, coefficients, channels]` to the same."""
        gates = torch.sigmoid(x[:, 0] @ self.gates).unflatten(1, (-1, x.shape[2]))
        return torch.cat((functional.silu(x[:, :1]), x[:, 1:] * gates.index_select(1, self.place)), dim=1)


class DegreeNorm(ConstantModule):
    """x_lm s_l / √(⟨x²⟩ + ε), ⟨x²⟩ a mean over channels, orders and degrees, the mean of the scalars taken off first.

    A degree counts as much as any other, whatever its number of orders. Scalars have a bias.

    Args:
        l_max: highest degree.
        channels: of the features.
        epsilon: ε.
    """

    shares: Tensor

    def __init__(self, l_max: int, channels: int, epsilon: float = 1e-5):
        super().__init__()
        self.epsilon = epsilon
        sizes = 2 * np.arange(l_max + 1) + 1
        self.register_constant("shares", np.repeat(1.0 / (sizes * len(sizes) * channels), sizes))
        self.scale = nn.Parameter(torch.ones(l_max + 1, channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("degree", torch.tensor(np.repeat(np.arange(l_max + 1), sizes)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        scalars = x[:, :1] - x[:, :1].mean(dim=2, keepdim=True)
        x = torch.cat((scalars, x[:, 1:]), dim=1)
        square = (x.square().sum(dim=2) @ self.shares)[:, None, None]
        x = x * torch.rsqrt(square + self.epsilon) * self.scale.index_select(0, self.degree)  # type: ignore[arg-type]
        return torch.cat((x[:, :1] + self.bias, x[:, 1:]), dim=1)
