"""Cutoff functions: 1 at the center, 0 with vanishing slope at the cutoff, 0 beyond."""

import math

import torch
from torch import Tensor, nn


class CosineCutoff(nn.Module):
    """½ (cos(π r / r_c) + 1) for r < r_c (Behler & Parrinello, doi:10.1103/PhysRevLett.98.146401, eq. 2)."""

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        values = 0.5 * (torch.cos(distances * (math.pi / self.cutoff)) + 1.0)
        return torch.where(distances < self.cutoff, values, torch.zeros_like(values))


class PolynomialCutoff(nn.Module):
    """1 − (p+1)(p+2)/2 u^p + p(p+2) u^(p+1) − p(p+1)/2 u^(p+2), u = r/r_c (DimeNet, arXiv:2003.03123, eq. 8)."""

    def __init__(self, cutoff: float, power: int = 6):
        super().__init__()
        self.cutoff = cutoff
        self.power = power

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        return polynomial_envelope(distances / self.cutoff, self.power)


class BinomialCutoff(nn.Module):
    """(1 − u)⁴ Σ_{k<p} C(k+3, 3) u^k, u = r/r_c: 1 − O(u^p) at 0, three vanishing derivatives at the cutoff.

    DPA-4's (arXiv:2606.02419). With (1 − u)³ and C(k+2, 2) it would be `PolynomialCutoff`.
    """

    def __init__(self, cutoff: float, power: int):
        super().__init__()
        self.cutoff = cutoff
        self.power = power

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        rest = (1.0 - distances / self.cutoff).clamp(min=0.0)
        u = 1.0 - rest
        series = torch.zeros_like(u)
        for k in reversed(range(self.power)):
            series = series * u + math.comb(k + 3, 3)
        return rest**4 * series


class XPLORCutoff(nn.Module):
    """1 up to r_on, then (r_c² − r²)² (r_c² + 2r² − 3r_on²) / (r_c² − r_on²)³, 0 from r_c on.

    X-PLOR's switching function, as in SevenNet (doi:10.1021/acs.jctc.4c00190); its second derivative jumps at r_on
    and at r_c.

    Args:
        cutoff: r_c, Å.
        onset: r_on, Å, below the cutoff.
    """

    def __init__(self, cutoff: float, onset: float):
        super().__init__()
        self.cutoff = cutoff
        self.onset = onset

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        stop, start, square = self.cutoff**2, self.onset**2, distances.clamp(self.onset, self.cutoff).square()
        return (stop - square) ** 2 * (stop + 2 * square - 3 * start) / (stop - start) ** 3


class BumpCutoff(nn.Module):
    """exp(−r² / (r_c² − r²)) for r < r_c, smooth to all orders (SpookyNet, doi:10.1038/s41467-021-27504-0)."""

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        inside = distances < self.cutoff
        square = torch.where(inside, distances, torch.zeros_like(distances)).square()
        values = torch.exp(-square / (self.cutoff**2 - square))
        return torch.where(inside, values, torch.zeros_like(values))


def smooth_step(distances: Tensor, start: float, stop: float) -> Tensor:
    """1 up to `start`, 0 from `stop` (Å) on, between e^(−1/(1−x)) / (e^(−1/x) + e^(−1/(1−x))) (same paper)."""
    x = (distances - start) / (stop - start)
    inside = (x > 0.0) & (x < 1.0)
    x = torch.where(inside, x, torch.full_like(x, 0.5))
    values = torch.sigmoid(1.0 / x - 1.0 / (1.0 - x))
    return torch.where(inside, values, (distances <= start).to(values.dtype))


def polynomial_envelope(u: Tensor, power: int) -> Tensor:
    """The polynomial cutoff of a reduced distance u = r/r_c; r_c may differ from pair to pair."""
    p = float(power)
    values = (
        1.0
        - 0.5 * (p + 1) * (p + 2) * u**power
        + p * (p + 2) * u ** (power + 1)
        - 0.5 * p * (p + 1) * u ** (power + 2)
    )
    return torch.where(u < 1.0, values, torch.zeros_like(values))
