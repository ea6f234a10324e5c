"""Activation functions by name."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional


def shifted_softplus(x: Tensor) -> Tensor:
    """ln(½ eˣ + ½): smooth to all orders and 0 at 0 (SchNet, doi:10.1063/1.5019779, sec. II B)."""
    return functional.softplus(x) - math.log(2.0)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "shifted-softplus": shifted_softplus,
    "logistic": torch.sigmoid,
    "silu": functional.silu,
    "gaussian": lambda x: torch.exp(-0.5 * x * x),
    "cosine": torch.cos,
    "relu": torch.relu,
    "linear": lambda x: x,
}
