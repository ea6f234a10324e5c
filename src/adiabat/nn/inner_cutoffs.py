"""The cutoff functions of neural-network potentials with an optional inner radius, below which they are 1.

Facts: n2p2's documentation (doi:10.1021/acs.jctc.8b00770); cosine and tanh³: Behler, doi:10.1063/1.3553717.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

CutoffKind = Literal["hard", "cosine", "tanh3", "tanh3-normalized", "exponential", "poly1", "poly2", "poly3", "poly4"]
KINDS: tuple[CutoffKind, ...] = (
    "hard",
    "cosine",
    "tanh3",
    "tanh3-normalized",
    "exponential",
    "poly1",
    "poly2",
    "poly3",
    "poly4",
)  # index = n2p2's number of the function


def _exponential(x: Tensor) -> Tensor:
    # beyond x = 0.9999 the value is below the smallest float64; the clamp keeps its slope finite
    return torch.exp(1.0 - 1.0 / (1.0 - x.clamp(max=0.9999) ** 2))


_SHAPES = {
    "hard": torch.ones_like,
    "cosine": lambda x: 0.5 * (torch.cos(math.pi * x) + 1.0),
    "tanh3": lambda x: torch.tanh(1.0 - x) ** 3,
    "tanh3-normalized": lambda x: (torch.tanh(1.0 - x) / math.tanh(1.0)) ** 3,
    "exponential": _exponential,
    "poly1": lambda x: (2.0 * x - 3.0) * x**2 + 1.0,
    "poly2": lambda x: ((15.0 - 6.0 * x) * x - 10.0) * x**3 + 1.0,
    "poly3": lambda x: (x * (x * (20.0 * x - 70.0) + 84.0) - 35.0) * x**4 + 1.0,
    "poly4": lambda x: (x * (x * ((315.0 - 70.0 * x) * x - 540.0) + 420.0) - 126.0) * x**5 + 1.0,
}


class InnerCutoff(nn.Module):
    """f_c(x) with x = (r − r_inner)/(r_c − r_inner): 1 up to the inner radius, 0 beyond the cutoff.

    Args:
        kind: one of KINDS; "hard" jumps at the cutoff and has no forces there.
        cutoff: r_c, Å.
        inner: inner radius as a fraction of the cutoff, 0 to below 1; the tanh³ kinds have none and ignore it.
    """

    def __init__(self, kind: CutoffKind, cutoff: float, inner: float = 0.0):
        super().__init__()
        self.kind: CutoffKind = kind
        self.cutoff = float(cutoff)
        self.inner = 0.0 if kind.startswith("tanh3") else inner * self.cutoff

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        x = (distances - self.inner) / (self.cutoff - self.inner)
        values = _SHAPES[self.kind](x.clamp(min=0.0, max=1.0))
        return torch.where(distances < self.cutoff, values, torch.zeros_like(values))


class CompactFunction(nn.Module):
    """f(|x − m| / w) between two ends and 0 beyond, m being their middle and w half their distance.

    The functions of Bircher, Singraber and Dellago, doi:10.1088/2632-2153/abf817.

    Args:
        kind: one of KINDS that falls smoothly from 1 to 0.
        begin, end: in the unit of x.
        asymmetric: whether f((2 − u) u) is taken, u = |x − m| / w, which falls sooner and ends smoother.
    """

    def __init__(self, kind: CutoffKind, begin: float, end: float, asymmetric: bool = False):
        super().__init__()
        self.kind: CutoffKind = kind
        self.middle, self.width = 0.5 * (begin + end), 0.5 * (end - begin)
        self.asymmetric = asymmetric

    def forward(self, x: Tensor) -> Tensor:
        """`[...]` to `[...]`."""
        u = ((x - self.middle).abs() / self.width).clamp(max=1.0)
        return _SHAPES[self.kind]((2.0 - u) * u if self.asymmetric else u)
