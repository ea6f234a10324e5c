"""Activation functions by name."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional


def shifted_softplus(x: Tensor) -> Tensor:
    """ln(½ eˣ + ½): smooth to all orders and 0 at 0 (SchNet, doi:10.1063/1.5019779, sec. II B)."""
    return functional.softplus(x) - math.log(2.0)


def celu(x: Tensor) -> Tensor:
    """x above 0 and 0.1 (e^(10 x) − 1) below (arXiv:1704.07483, eq. 2 with α = 0.1, the value of ANI)."""
    # the same function by another name: the derivative of torch's celu takes α in single precision
    return torch.ops.aten.elu.default(x, 0.1, 1.0, 10.0)


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
    "linear": lambda x: x,
}
