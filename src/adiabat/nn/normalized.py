"""Networks and activations that keep the second moment of their values, as e3nn and MACE use them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.nn.irreps import PSEUDOSCALAR, SCALAR, Irreps
from adiabat.nn.mlp import dense

# ⟨f(z)²⟩^(−½) for normal z. e3nn estimates them from one fixed sample of 10⁶ numbers; published weights were trained
# with these values, which are within 2e-3 of the exact ones.
SILU_FACTOR = 1.6791767923989418
LOGISTIC_FACTOR = 1.8467055342154763
TANH_FACTOR = 1.5937334472592695


def silu(x: Tensor) -> Tensor:
    """SiLU with unit second moment for normal x."""
    return SILU_FACTOR * functional.silu(x)


def logistic(x: Tensor) -> Tensor:
    """Logistic function with unit second moment for normal x."""
    return LOGISTIC_FACTOR * torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """tanh with unit second moment for normal x."""
    return TANH_FACTOR * torch.tanh(x)


class NormalizedMLP(nn.Module):
    """x W / √(inputs) with the normalized SiLU between layers; W drawn from N(0, 1), no bias.

    Args:
        widths: of the input, each hidden layer and the output.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.layers = nn.ParameterList(torch.randn(a, b) for a, b in pairwise(widths))

    def forward(self, values: Tensor) -> Tensor:
        """`[..., widths[0]]` to `[..., widths[-1]]`."""
        for place, weight in enumerate(self.layers):
            values = (silu(values) if place else values) @ (weight * weight.shape[0] ** -0.5)
        return values


class LayerNormMLP(nn.Sequential):
    """Dense layers with bias, each but the last followed by layer normalization and SiLU.

    Args:
        widths: of the input, each hidden layer and the output.
    """

    def __init__(self, widths: Sequence[int]):
        layers: list[nn.Module] = []
        for a, b in pairwise(widths[:-1]):
            layers += [nn.Linear(a, b), nn.LayerNorm(b), nn.SiLU()]
        super().__init__(*layers, nn.Linear(widths[-2], widths[-1]))


class RMSNormMLP(nn.Module):
    """Dense layers without bias, each but the last followed by x/√(⟨x²⟩ + 1e-7) with trained factors, and SiLU.

    Args:
        widths: of the input, each hidden layer and the output.
        normalized: whether there are these norms.
    """

    def __init__(self, widths: Sequence[int], normalized: bool = True):
        super().__init__()
        self.layers = nn.ModuleList(dense(a, b, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(
            nn.RMSNorm(width, eps=1e-7) if normalized else nn.Identity() for width in widths[1:-1]
        )

    def forward(self, values: Tensor) -> Tensor:
        """`[..., widths[0]]` to `[..., widths[-1]]`."""
        *inner, last = self.layers
        for layer, norm in zip(inner, self.norms, strict=True):
            values = functional.silu(norm(layer(values)))
        return last(values)


class DeepReadout(nn.Module):
    """Scalars → hidden → hidden → one value; the last two layers have biases, zero at first."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.layers = nn.ParameterList(
            [torch.randn(channels, hidden), torch.randn(hidden, hidden), torch.randn(hidden, 1)]
        )
        self.biases = nn.ParameterList([torch.zeros(hidden), torch.zeros(1)])

    def forward(self, scalars: Tensor) -> Tensor:
        """`[atoms, channels]` to `[atoms, 1]`."""
        first, middle, last = (w * w.shape[0] ** -0.5 for w in self.layers)
        hidden = silu(silu(scalars @ first) @ middle + self.biases[0])
        return hidden @ last + self.biases[1]


class Gate(nn.Module):
    """Normalized SiLU of scalars; all other irreps are multiplied by a normalized function of scalars of their own.

    Args:
        irreps_out: what comes out, scalars (0e) first.
        gates: function of the scalars that multiply, "logistic" (MACE) or "silu" (NequIP).
        odd: what happens to pseudoscalars (0o): "gated" like the rest, or their normalized "tanh".

    Attributes:
        irreps_in: what must come in: `irreps_out` with one more scalar for each gated channel.
    """

    def __init__(
        self,
        irreps_out: Irreps,
        gates: Literal["logistic", "silu"] = "logistic",
        odd: Literal["gated", "tanh"] = "gated",
    ):
        super().__init__()
        self.irreps_out = irreps_out
        self.function = silu if gates == "silu" else logistic
        self.plain = (SCALAR, PSEUDOSCALAR) if odd == "tanh" else (SCALAR,)
        self.sizes = [irreps_out.count(SCALAR), *(m for m, ir in irreps_out if ir not in self.plain)]
        self.irreps_in = Irreps(((sum(self.sizes), SCALAR), *irreps_out.terms[1:]))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """`[atoms, 2l+1, multiplicity]` of each irrep of `irreps_in` to the same of `irreps_out`."""
        scalars, *gates = features[0].split(self.sizes, dim=-1)
        made, free = [silu(scalars)], iter(gates)
        for x, (_, ir) in zip(features[1:], self.irreps_out.terms[1:], strict=True):
            made.append(tanh(x) if ir in self.plain else x * self.function(next(free)))
        return made
