"""Layers whose nonlinearity is a product of functions (DPA-4, arXiv:2606.02419)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.nn.degrees import DegreeLinear
from adiabat.nn.grid_product import GridOptions, GridProduct


class GridFeedForward(nn.Module):
    """Two linear maps of the features, their product as functions, and a third linear map, zero at first.

    Args:
        l_max: highest degree.
        channels: that come in and out.
        hidden: channels of the product.
        options: of the product.
    """

    def __init__(self, l_max: int, channels: int, hidden: int, options: GridOptions):
        super().__init__()
        self.hidden = hidden
        self.inward = DegreeLinear(l_max, channels, 2 * options.frames * hidden)
        self.product = GridProduct(l_max, hidden, options, joined=True)
        self.outward = DegreeLinear(l_max, options.frames * hidden, channels, silent=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        f, g = (part.reshape(x.shape[0], -1, self.hidden) for part in self.inward(x).chunk(2, dim=2))
        return self.outward(self.product(f, g, f[:, 0], g[:, 0]).reshape(x.shape[0], x.shape[1], -1))


class MessageProduct(nn.Module):
    """What a sum over neighbors and the atom's features make as a product of functions, small at first.

    Args:
        l_max: highest degree.
        channels: of each part.
        parts: how many parts of the channels are multiplied by the same maps, with gates of their own.
        options: of the product.
    """

    def __init__(self, l_max: int, channels: int, parts: int, options: GridOptions):
        super().__init__()
        frames, spread = options.frames, options.domain == "rotations"
        self.parts, self.channels = parts, channels
        self.expand = DegreeLinear(l_max, channels, frames * channels) if spread else nn.Identity()
        self.product = GridProduct(l_max, channels, options, joined=False, sorts=parts)
        self.contract = DegreeLinear(l_max, frames * channels, channels) if spread else nn.Identity()
        self.size = nn.Parameter(torch.full((parts * channels,), 1e-3))

    def forward(self, sums: Tensor, x: Tensor) -> Tensor:
        """`[atoms, (l_max+1)², parts · channels]` of both to the same."""
        atoms, size = x.shape[:2]
        # each part as an atom of its own
        split = [y.unflatten(2, (-1, self.channels)).transpose(1, 2).flatten(0, 1) for y in (sums, x)]
        f, g = (self.expand(part).reshape(part.shape[0], -1, self.channels) for part in split)
        found = self.product(f, g, split[0][:, 0], split[1][:, 0])
        found = self.contract(found.reshape(found.shape[0], size, -1))
        return found.unflatten(0, (atoms, self.parts)).transpose(1, 2).flatten(2) * self.size
