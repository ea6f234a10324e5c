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


class DistanceBasis(nn.Module):
    """The distance itself, for networks that have a basis of their own."""

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., 1]` Å."""
        return distances[..., None]


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


class ChebyshevBasis(nn.Module):
    """T_k(x) for k = 0..count − 1, the Chebyshev polynomials of the first kind, of a reduced distance x."""

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def forward(self, reduced: Tensor) -> Tensor:
        """`[...]` to `[..., count]`."""
        values = [torch.ones_like(reduced), reduced]
        for _ in range(2, self.count):
            values.append(2.0 * reduced * values[-1] - values[-2])
        return torch.stack(values[: self.count], dim=-1)


class ExpNormalBasis(nn.Module):
    """exp(−β (exp(−α r) − μ_k)²), α = 5/r_c, μ_k from exp(−r_c) to 1 (PhysNet, doi:10.1021/acs.jctc.9b00181, eq. 7).

    α is TorchMD-Net's (doi:10.1021/acs.jctc.4c00253); β = (2 (1 − exp(−r_c)) / count)⁻².

    Args:
        count: number of functions.
        cutoff: r_c, Å.
    """

    centers: Tensor
    widths: Tensor

    def __init__(self, count: int, cutoff: float):
        super().__init__()
        first = math.exp(-cutoff)
        self.alpha = 5.0 / cutoff
        self.register_buffer("centers", torch.linspace(first, 1.0, count))
        self.register_buffer("widths", torch.full((count,), (2.0 / count * (1.0 - first)) ** -2))

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., count]`."""
        return torch.exp(-self.widths * (torch.exp(-self.alpha * distances[..., None]) - self.centers) ** 2)


class DampedBasis(nn.Module):
    """A radial basis times a cutoff function, for programs whose networks see the cutoff too.

    Args:
        basis: module of distances.
        cutoff: cutoff function, a module of distances.
    """

    def __init__(self, basis: nn.Module, cutoff: nn.Module):
        super().__init__()
        self.basis, self.cutoff = basis, cutoff

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., count]`."""
        return self.basis(distances) * self.cutoff(distances)[..., None]
