"""Residual networks of features with activations that are trained feature by feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TrainedSwish(nn.Module):
    """α x / (1 + e^(−β x)) with α and β of each feature (SpookyNet, doi:10.1038/s41467-021-27504-0).

    At first α = 1 and β = 1.702, nearly a Gaussian error linear unit.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.full((channels,), 1.702))

    def forward(self, values: Tensor) -> Tensor:
        """`[..., channels]` to the same."""
        return self.alpha * values * torch.sigmoid(self.beta * values)


class Residual(nn.Module):
    """x + W₂ σ(W₁ σ(x)), with activations before the layers (same paper, eq. 7); W₂ is zero at first."""

    def __init__(self, channels: int, bias: bool = True):
        super().__init__()
        self.activations = nn.ModuleList(TrainedSwish(channels) for _ in range(2))
        self.layers = nn.ModuleList((orthogonal(channels, channels, bias), zeros(channels, channels, bias)))

    def forward(self, values: Tensor) -> Tensor:
        """`[..., channels]` to the same."""
        changed = values
        for activation, layer in zip(self.activations, self.layers, strict=True):
            changed = layer(activation(changed))
        return values + changed


class ResidualMLP(nn.Module):
    """W σ(residual blocks(x)) (same paper, eq. 8).

    Args:
        channels: of input and output.
        blocks: residual blocks.
        bias: whether the layers add one; without, zero stays zero.
        silent: whether W is zero at first.
    """

    def __init__(self, channels: int, blocks: int, bias: bool = True, silent: bool = False):
        super().__init__()
        self.blocks = nn.Sequential(*(Residual(channels, bias) for _ in range(blocks)))
        self.activation = TrainedSwish(channels)
        self.last = (zeros if silent else orthogonal)(channels, channels, bias)

    def forward(self, values: Tensor) -> Tensor:
        """`[..., channels]` to the same."""
        return self.last(self.activation(self.blocks(values)))


def orthogonal(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A layer whose matrix has orthonormal rows or columns and whose bias is zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.orthogonal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def zeros(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A layer that gives zero until it is trained."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
