"""Products of equivariant features as functions on the sphere or on the rotations (DPA-4, arXiv:2606.02419)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu

from adiabat.nn.mlp import dense
from adiabat.nn.rotation_grid import RotationGrid
from adiabat.settings import Settings


class GridOptions(Settings):
    """Options of `GridProduct`."""

    domain: Literal["sphere", "rotations"] = "sphere"
    """What the functions are of: directions, or rotations, which also couple to odd sums of degrees."""
    k_max: int = Field(default=1, ge=0)
    """Highest order on the frame's side of functions on the rotations."""
    product: Literal["plain", "network", "branches"] = "plain"
    """What is multiplied: both functions, linear maps of both, or several such maps weighted by scalars."""
    branches: int = Field(default=1, ge=1)
    """How many such maps."""

    @property
    def frames(self) -> int:
        """Functions that a channel has, one for each order on the frame's side."""
        return 2 * self.k_max + 1 if self.domain == "rotations" else 1


class GridProduct(nn.Module):
    """(f, g) → σ(G [a, b]) ∘ P(f g) + silu(a) b with scalars a and b, the sum's last term for the scalars alone.

    P(f g) is the plain product, W (U f · V g), or W Σ_b s_b (U_b f · V_b g) with s = softmax(S [a, b]). U, V,
    W mix channels alike for all degrees; U and V of the network read both functions if these are `joined`.

    Args:
        l_max: highest degree.
        channels: of f, g and the product.
        options: of what is multiplied.
        joined: whether f and g are two halves of one input.
        sorts: how many G there are, taken in turn.
    """

    def __init__(self, l_max: int, channels: int, options: GridOptions, joined: bool, sorts: int = 1):
        super().__init__()
        self.options, self.joined = options, joined
        sphere = options.domain == "sphere"
        self.grid = RotationGrid(l_max, 0 if sphere else options.k_max)
        self.factor = (l_max + 1) ** -0.5 if sphere else 1.0
        self.gate = nn.Parameter(0.01 * torch.randn(sorts, 2 * channels, channels))
        self.left = self.right = self.outward = self.router = None
        if options.product == "network":
            inputs = 2 * channels if joined else channels
            self.left, self.right = (dense(inputs, 2 * channels, bias=False) for _ in range(2))
            self.outward = dense(2 * channels, channels, bias=False)
        elif options.product == "branches":
            self.left, self.right = (dense(channels, options.branches * channels, bias=False) for _ in range(2))
            self.router = dense(2 * channels, options.branches, bias=False)
            self.outward = dense(channels, channels, bias=False)

    def forward(self, f: Tensor, g: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """`[n, coefficients, channels]` of f and g in the order of `RotationGrid`, `[n, channels]` of a and b."""
        both = torch.cat((a, b), dim=1)
        turns = both.unflatten(0, (-1, self.gate.shape[0])).transpose(0, 1)
        gates = torch.sigmoid(torch.bmm(turns, self.gate)).transpose(0, 1).flatten(0, 1)
        product = self._product(f, g, both) * gates[:, None]
        return torch.cat((product[:, :1] + (silu(a) * b)[:, None], product[:, 1:]), dim=1)

    def _product(self, f: Tensor, g: Tensor, both: Tensor) -> Tensor:
        if self.options.product == "network" and self.joined:
            f = g = torch.cat((f, g), dim=2)
        f, g = (x if layer is None else layer(x) for x, layer in ((f, self.left), (g, self.right)))
        values = self.grid(f) * self.grid(g)
        if self.router is not None:
            shares = torch.softmax(self.router(both), dim=1)
            values = (values.unflatten(1, (self.options.branches, -1)) * shares[:, :, None, None]).sum(dim=1)
        product = self.grid.coefficients(values) * self.factor
        return product if self.outward is None else self.outward(product)
