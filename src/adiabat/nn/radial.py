"""Radial bases: a distance in, a row of functions out. A basis never contains its cutoff."""

import math

import torch
from torch import Tensor, nn


class GaussianBasis(nn.Module):
    """exp(−(r − μ_k)² / (2 w²)) with evenly spaced centers and the spacing as width (SchNet, doi:10.1063/1.5019779).

    Args:
        count: number of functions.
        start: first center, Å.
        stop: last center, Å.
    """

    centers: Tensor
    widths: Tensor

    def __init__(self, count: int, start: float, stop: float):
        super().__init__()
        centers = torch.linspace(start, stop, count)
        self.register_buffer("centers", centers)
        self.register_buffer("widths", (centers[1] - centers[0]).abs() * torch.ones_like(centers))

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., count]`."""
        return torch.exp(-0.5 * ((distances[..., None] - self.centers) / self.widths) ** 2)


class BesselBasis(nn.Module):
    """√(2/r_c) sin(n π r / r_c) / r for n = 1..count (DimeNet, arXiv:2003.03123, eq. 7).

    Args:
        count: number of functions.
        cutoff: r_c, Å.
        trainable: whether the frequencies n π / r_c (Å⁻¹) are trained.
    """

    frequencies: Tensor

    def __init__(self, count: int, cutoff: float, trainable: bool = False):
        super().__init__()
        frequencies = math.pi / cutoff * torch.arange(1, count + 1, dtype=torch.get_default_dtype())
        if trainable:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies)
        self.prefactor = math.sqrt(2.0 / cutoff)

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., count]`."""
        r = distances[..., None]
        return self.prefactor * torch.sin(self.frequencies * r) / r
