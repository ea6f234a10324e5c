"""Networks of many kinds with trained activations, residual blocks and layer normalization."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from adiabat.nn.grouped_networks import in_tiles
from adiabat.settings import Settings

Activation = Literal["silu", "inverse-root"]
Normalization = Literal["after", "before", "none"]
EPSILON = 1e-5  # added to the variance in a normalization


class ResidualOptions(Settings):
    """Options of `ResidualNetworks`."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(128, 128), min_length=1)
    """Widths of the hidden layers, and of those of each block."""
    blocks: int = Field(default=1, ge=0)
    """Residual blocks; 0 for a plain network."""
    activation: Activation = "silu"
    """α silu(β x) or, inverse-root, α x / √(1 + (β x)²), with trained α and β of each neuron."""
    normalization: Normalization = "after"
    """Whether layers are normalized after or before each activation, or not at all (none)."""

    def build(self, kinds: int, inputs: int, outputs: int) -> ResidualNetworks:
        """The networks of so many kinds."""
        return ResidualNetworks(kinds, inputs, self.hidden, outputs, self.blocks, self.activation, self.normalization)


class ResidualNetworks(nn.Module):
    """A first linear layer, blocks x + f(x), an activation and a last linear layer, with weights of each kind.

    f is, for every hidden width, an activation, a normalization and a linear layer, the last of which leads back to
    the first width. Without blocks it is a plain network, normalized before its last layer too. Each neuron's
    activation has factors α and β: α silu(β x), or α x / √(1 + (β x)²).

    Args:
        kinds: how many networks.
        inputs: width of the input.
        hidden: widths.
        outputs: width of the output.
        blocks: how many.
        activation: silu or inverse-root.
        normalization: after or before each activation, or none.
    """

    def __init__(
        self,
        kinds: int,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        blocks: int = 1,
        activation: Activation = "silu",
        normalization: Normalization = "after",
    ):
        super().__init__()
        self.kinds, self.activation, self.normalization = kinds, activation, normalization
        loop = [*hidden, hidden[0]]
        sizes = [(inputs, hidden[0]), *(list(pairwise(loop)) * blocks), (hidden[0], outputs)]
        if not blocks:
            sizes = list(pairwise([inputs, *hidden, outputs]))
        self.ends = frozenset(len(hidden) * (k + 1) for k in range(blocks))  # layers that end a block
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(kinds, a, b)) for a, b in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(kinds, b)) for _, b in sizes)
        widths = [a for a, _ in sizes[1:]]
        before = [*widths[:1], *(a for a, _ in sizes[1:-1])]  # widths that the layers in front came from
        start = [a**-0.5 if activation == "inverse-root" else 1.0 for a in before]
        self.alphas = nn.ParameterList(
            nn.Parameter(torch.full((kinds, a), s)) for a, s in zip(widths, start, strict=True)
        )
        self.betas = nn.ParameterList(
            nn.Parameter(torch.full((kinds, a), 1.0 / b)) for a, b in zip(widths, before, strict=True)
        )
        normalized = [] if normalization == "none" else widths[: len(widths) - bool(blocks)]
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(kinds, a)) for a in normalized)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(kinds, a)) for a in normalized)
        for weight in self.weights:
            for own in weight:
                nn.init.xavier_uniform_(own)

    def forward(self, values: Tensor, kind: Tensor) -> Tensor:
        """`[rows, inputs]` to `[rows, outputs]`, each row by the network of its `kind [rows]`."""
        return in_tiles(self._layers, values, kind, self.kinds)

    def _layers(self, values: Tensor, kind: Tensor | None) -> Tensor:
        kept = values
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if k:
                values = self._activated(values, k - 1, kind)
            values = torch.baddbmm(_of(bias, kind), values, weight if kind is None else weight.index_select(0, kind))
            if k in self.ends:
                values = values + kept
            if k == 0 or k in self.ends:
                kept = values
        return values

    def _activated(self, values: Tensor, k: int, kind: Tensor | None) -> Tensor:
        """The k-th activation with its normalization, `[kinds or tiles, rows, width]`."""
        if self.normalization == "before":
            values = self._normalized(values, k, kind)
        alpha, scaled = _of(self.alphas[k], kind), values * _of(self.betas[k], kind)
        if self.activation == "silu":
            values = alpha * functional.silu(scaled)
        else:
            values = alpha * values * torch.rsqrt(1.0 + scaled.square())
        return self._normalized(values, k, kind) if self.normalization == "after" else values

    def _normalized(self, values: Tensor, k: int, kind: Tensor | None) -> Tensor:
        if k >= len(self.scales):
            return values
        centered = values - values.mean(dim=2, keepdim=True)
        inverse = torch.rsqrt(centered.square().mean(dim=2, keepdim=True) + EPSILON)
        return centered * inverse * _of(self.scales[k], kind) + _of(self.shifts[k], kind)


def _of(parameter: Tensor, kind: Tensor | None) -> Tensor:
    """Rows `[kinds, width]` for the rows of each kind or tile `[kinds or tiles, 1, width]`."""
    return (parameter if kind is None else parameter.index_select(0, kind))[:, None]
