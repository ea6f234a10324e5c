"""Dense networks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from adiabat.errors import ConfigError, did_you_mean
from adiabat.kernels import dense as kernels
from adiabat.nn.activations import ACTIVATIONS

Initialization = Literal["glorot-uniform", "glorot-normal", "torch"]


def dense(
    inputs: int, outputs: int, bias: bool = True, initialization: Initialization = "glorot-uniform"
) -> nn.Linear:
    """x Wᵀ + b with fresh weights: variance 2/(inputs + outputs) and zero bias (Glorot), or torch's own rule."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    if initialization == "torch":
        return layer
    fill = nn.init.xavier_uniform_ if initialization == "glorot-uniform" else nn.init.xavier_normal_
    fill(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """Dense layers with an activation between them; the last one is linear.

    Args:
        widths: of the input, each hidden layer and the output.
        activation: name in `adiabat.nn.activations.ACTIVATIONS`.
        bias: whether the layers add one.
        initialization: see `dense`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str,
        bias: bool = True,
        initialization: Initialization = "glorot-uniform",
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"'{activation}' is not an activation.{did_you_mean(activation, ACTIVATIONS)}")
        self.activation = activation
        self.layers = nn.ModuleList(dense(a, b, bias, initialization) for a, b in pairwise(widths))
        self.kernel: kernels.Network | None = None

    def freeze(self) -> None:
        """Takes the fast kernel for good, where there is one for the activation."""
        if self.activation in kernels.ACTIVATIONS:
            self.kernel = kernels.Network(list(self.layers), self.activation)  # type: ignore[arg-type]

    def forward(self, values: Tensor) -> Tensor:
        """`[..., widths[0]]` to `[..., widths[-1]]`."""
        if self.kernel is not None:
            return self.kernel(values)
        *inner, last = self.layers
        for layer in inner:
            values = ACTIVATIONS[self.activation](layer(values))
        return last(values)
