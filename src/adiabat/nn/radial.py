"""Radial bases: a distance in, a row of functions out. A basis never contains its cutoff."""

import math

import torch
from torch import Tensor, nn

from adiabat.units import BOHR


class GaussianBasis(nn.Module):
    """exp(−(r − μ_k)² / (2 w²)) with evenly spaced centers (SchNet, doi:10.1063/1.5019779).

    Args:
        count: number of functions.
        start: first center, Å.
        stop: last center, Å.
        width: w, Å; None: the spacing.
    """

    centers: Tensor
    widths: Tensor

    def __init__(self, count: int, start: float, stop: float, width: float | None = None):
        super().__init__()
        centers = torch.linspace(start, stop, count)
        spacing = (centers[1] - centers[0]).abs() if width is None else width
        self.register_buffer("centers", centers)
        self.register_buffer("widths", spacing * torch.ones_like(centers))

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


class ExponentialBernsteinBasis(nn.Module):
    """e^(−γ r) times the Bernstein polynomials of e^(−γ r) (SpookyNet, doi:10.1038/s41467-021-27504-0, eq. 13).

    C(n, k) x^(n−k) (1 − x)^k for k = 0..n, n = count − 1, with x = e^(−γ r); the weight e^(−γ r) before them is the
    program's. γ is trained, as the inverse of softplus.

    Args:
        count: number of functions.
        gamma: γ at first, Å⁻¹; the default is ½ per bohr.
    """

    logarithms: Tensor
    powers: Tensor

    def __init__(self, count: int, gamma: float = 0.5 / BOHR):
        super().__init__()
        n = count - 1
        logarithms = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(count)]
        dtype = torch.get_default_dtype()
        self.gamma = nn.Parameter(torch.tensor(gamma + math.log(-math.expm1(-gamma)), dtype=dtype))
        self.register_buffer("logarithms", torch.tensor(logarithms, dtype=dtype))
        self.register_buffer("powers", torch.arange(count, dtype=dtype), persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., count]`."""
        decay = -nn.functional.softplus(self.gamma) * distances[..., None]  # ln x
        count = self.logarithms.shape[0]
        # the logarithms keep large binomials and small powers apart from each other
        return torch.exp(
            self.logarithms + (count - self.powers) * decay + self.powers * torch.log(-torch.expm1(decay))
        )


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
