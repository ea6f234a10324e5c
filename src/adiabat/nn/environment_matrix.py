"""The smooth local coordinates of Deep Potential models (DeepPot-SE, arXiv:1805.09003)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.errors import ConfigError
from adiabat.nn.inner_cutoffs import InnerCutoff


class EnvironmentMatrix(nn.Module):
    """Rows (s, s x/r, s y/r, s z/r) of the neighbors, s = w(r)/r, less a mean and over a deviation.

    w is 1 up to the onset and falls to 0 at the cutoff by a polynomial of degree five, twice continuously. Mean (of s
    alone) and deviations (of s and of the directions) belong to the center's element.

    Args:
        cutoff: Å.
        onset: Å, where w begins to fall.
        elements: how many.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, cutoff: float, onset: float, elements: int):
        super().__init__()
        if not 0.0 <= onset < cutoff:
            raise ConfigError(f"onset {onset} Å must lie between 0 and the cutoff {cutoff} Å: make it smaller.")
        self.switch = InnerCutoff("poly2", cutoff, onset / cutoff)
        self.register_buffer("mean", torch.zeros(elements))
        self.register_buffer("deviation", torch.ones(elements, 2))

    def raw(self, vectors: Tensor) -> Tensor:
        """Rows before mean and deviation `[pairs, 4]`, Å⁻¹."""
        r = vectors.norm(dim=1)
        s = self.switch(r) / r
        return torch.cat((s[:, None], (s / r)[:, None] * vectors), dim=1)

    def forward(self, vectors: Tensor, element: Tensor) -> Tensor:
        """Rows `[pairs, 4]` of pair vectors `[pairs, 3]`, Å, whose centers are of these elements `[pairs]`."""
        deviation = self.deviation.index_select(0, element)
        mean = self.mean.index_select(0, element)[:, None]
        s, directions = self.raw(vectors).split((1, 3), dim=1)
        return torch.cat(((s - mean) / deviation[:, :1], directions / deviation[:, 1:]), dim=1)

    def empty(self) -> Tensor:
        """What a neighbor at the cutoff has as s, by the center's element `[elements]`; its direction is 0."""
        return -self.mean / self.deviation[:, 0]
