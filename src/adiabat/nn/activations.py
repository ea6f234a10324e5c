"""Activation functions by name."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from adiabat.errors import ConfigError, did_you_mean


def shifted_softplus(x: Tensor) -> Tensor:
    """ln(½ eˣ + ½): smooth to all orders and 0 at 0 (SchNet, doi:10.1063/1.5019779, sec. II B)."""
    return functional.softplus(x) - math.log(2.0)


def celu(x: Tensor) -> Tensor:
    """x above 0 and 0.1 (e^(10 x) − 1) below (arXiv:1704.07483, eq. 2 with α = 0.1, the value of ANI)."""
    # the same function by another name: the derivative of torch's celu takes α in single precision
    return torch.ops.aten.elu.default(x, 0.1, 1.0, 10.0)


def sigi(x: Tensor) -> Tensor:
    """0.1 x + 0.9 ln(1 + eˣ) (RANN, doi:10.1016/j.commatsci.2021.110481)."""
    return 0.1 * x + 0.9 * functional.softplus(x, threshold=34.0)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function of this name: one of ACTIVATIONS, or `silut:T` with a number T.

    The latter is x σ(x) below T and tanh(s (x − T)) + T σ(T) above, with s such that the slope is continuous: it
    stays below T + 1 (DPA-3, arXiv:2506.01686).

    Raises:
        ConfigError: there is no such function.
    """
    kind, _, number = name.partition(":")
    if kind == "silut":
        try:
            return partial(_saturating_silu, threshold=float(number))
        except ValueError:
            raise ConfigError(f"'{name}' needs a number behind the colon, such as silut:10.") from None
    if name not in ACTIVATIONS:
        raise ConfigError(f"'{name}' is not an activation.{did_you_mean(name, [*ACTIVATIONS, 'silut:10'])}")
    return ACTIVATIONS[name]


def _saturating_silu(x: Tensor, threshold: float) -> Tensor:
    gate = 1.0 / (1.0 + math.exp(-threshold))
    slope = gate * (1.0 + threshold * (1.0 - gate))
    above = torch.tanh(slope * (x - threshold)) + threshold * gate
    return torch.where(x >= threshold, above, functional.silu(x))


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "shifted-softplus": shifted_softplus,
    "logistic": torch.sigmoid,
    "silu": functional.silu,
    "celu": celu,
    "gaussian": lambda x: torch.exp(-0.5 * x * x),
    "cosine": torch.cos,
    "relu": torch.relu,
    "sigi": sigi,
    "linear": lambda x: x,
}
