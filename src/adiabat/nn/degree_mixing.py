"""Degrees of one order mixed as the distance says, in the frame of a pair (DPA-4, arXiv:2606.02419)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from adiabat.nn.mlp import dense
from adiabat.nn.so2 import orders

Mixing = Literal["none", "degree", "channel"]


class DegreeMixing(nn.Module):
    """y_lm = Σ_l' K_ll'^|m| x_l'm, with K linear in radial features of the pair, whose degrees mix; m = ±1 ... alike.

    Args:
        l_max: highest degree.
        m_max: highest order.
        channels: of the features, the radial ones too.
        mixing: "degree" K is one for all channels; "channel" a sum of `rank` such K times factors of the channels;
            "none" y_lm is x_lm times the radial feature of l.
        rank: number of terms; 0 for a K of each channel.
    """

    degree: Tensor

    def __init__(self, l_max: int, m_max: int, channels: int, mixing: Mixing, rank: int):
        super().__init__()
        self.degrees = [l_max + 1 - m for m in range(m_max + 1)]
        self.register_buffer("degree", torch.tensor([l for l, _ in orders(l_max, m_max)]), persistent=False)
        self.terms = 1 if mixing == "degree" else rank or channels
        self.weight = self.factors = None
        if mixing != "none":
            self.weight = dense((l_max + 1) * channels, sum(n * n for n in self.degrees) * self.terms, bias=False)
        if mixing == "channel" and rank:
            self.factors = nn.Parameter(torch.randn(rank, channels))

    def forward(self, x: Tensor, radial: Tensor) -> Tensor:
        """`[pairs, orders, channels]` and radial features `[pairs, l_max+1, channels]` to the same as the first."""
        if self.weight is None:
            return x * radial.index_select(1, self.degree)
        kernels = self.weight(radial.flatten(1)).unflatten(1, (-1, self.terms))
        kernels = kernels.split([n * n for n in self.degrees], dim=1)
        parts = x.split([n * (2 if m else 1) for m, n in enumerate(self.degrees)], dim=1)
        return torch.cat([self._of_order(*part) for part in zip(parts, kernels, self.degrees, strict=True)], dim=1)

    def _of_order(self, x: Tensor, kernel: Tensor, degrees: int) -> Tensor:
        kernel = kernel.unflatten(1, (degrees, degrees))  # [pairs, from, to, terms]
        x = x.unflatten(1, (-1, degrees))  # −m and m, or 0 alone
        if self.factors is None and self.terms > 1:
            return torch.einsum("psic,pioc->psoc", x, kernel).flatten(1, 2)
        mixed = torch.einsum("psic,piot->psotc", x, kernel)
        return (mixed[:, :, :, 0] if self.factors is None else (mixed * self.factors).sum(dim=3)).flatten(1, 2)
