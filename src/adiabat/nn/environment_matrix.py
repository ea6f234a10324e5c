"""The smooth local coordinates of Deep Potential models (DeepPot-SE, arXiv:1805.09003)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.errors import ConfigError
from adiabat.nn.inner_cutoffs import InnerCutoff


class ExponentialSwitch(nn.Module):
    """w(r) = exp(−exp(20 (r − r_s)/r_s)), about 1 up to some tenths of an Å below r_s (DPA-3, arXiv:2506.01686).

    It is cut off at the cutoff, where it is small and not 0: exp(−14) for 6 Å and r_s = 5.3 Å.

    Args:
        cutoff: Å.
        onset: r_s, Å.
    """

    def __init__(self, cutoff: float, onset: float):
        super().__init__()
        if not 0.0 < onset < cutoff:
            raise ConfigError(f"onset {onset} Å must lie between 0 and the cutoff {cutoff} Å: make it smaller.")
        self.cutoff, self.onset = float(cutoff), float(onset)

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        x = 20.0 * (distances.clamp(max=self.cutoff) / self.onset - 1.0)
        return torch.where(distances < self.cutoff, torch.exp(-torch.exp(x)), torch.zeros_like(distances))


class EnvironmentMatrix(nn.Module):
    """Rows (s, s x/r, s y/r, s z/r) of the neighbors, s = w(r)/r, less a mean and over a deviation.

    w is 1 up to the onset and falls to 0 at the cutoff by a polynomial of degree five, twice continuously. Mean (of s
    alone) and deviations (of s and of the directions) belong to the center's element.

    Args:
        cutoff: Å.
        onset: Å, where w begins to fall.
        elements: how many.
        protection: Å, added to distances before they are divided by, for neighbors that may lie on the center.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, cutoff: float, onset: float, elements: int, protection: float = 0.0):
        super().__init__()
        self.protection = protection
        if not 0.0 <= onset < cutoff:
            raise ConfigError(f"onset {onset} Å must lie between 0 and the cutoff {cutoff} Å: make it smaller.")
        self.switch: InnerCutoff | ExponentialSwitch = InnerCutoff("poly2", cutoff, onset / cutoff)
        self.register_buffer("mean", torch.zeros(elements))
        self.register_buffer("deviation", torch.ones(elements, 2))

    def raw(self, vectors: Tensor) -> Tensor:
        """Rows before mean and deviation `[pairs, 4]`, Å⁻¹."""
        r = self.distances(vectors)
        s = self.switch(r) / (r + self.protection)
        return torch.cat((s[:, None], (s / (r + self.protection))[:, None] * vectors), dim=1)

    def distances(self, vectors: Tensor) -> Tensor:
        """Their lengths `[pairs]`, Å; with protection also of zeros, with slopes."""
        if not self.protection:
            return vectors.norm(dim=1)
        smallest = 1e-10 * torch.finfo(vectors.dtype).eps ** 2  # whose powers in second slopes are finite
        return (vectors.square().sum(dim=1) + smallest).sqrt()

    def forward(self, vectors: Tensor, element: Tensor) -> Tensor:
        """Rows `[pairs, 4]` of pair vectors `[pairs, 3]`, Å, whose centers are of these elements `[pairs]`."""
        deviation = self.deviation.index_select(0, element)
        mean = self.mean.index_select(0, element)[:, None]
        s, directions = self.raw(vectors).split((1, 3), dim=1)
        return torch.cat(((s - mean) / deviation[:, :1], directions / deviation[:, 1:]), dim=1)

    def empty(self) -> Tensor:
        """What a neighbor at the cutoff has as s, by the center's element `[elements]`; its direction is 0."""
        return -self.mean / self.deviation[:, 0]
