"""Dense layers and networks with constant weights, at two to four times the speed of a BLAS library on few rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """A function and the gradient of its argument, from that of its value and from the argument."""

    value: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS: Mapping[str, Activation] = {
    "silu": Activation(functional.silu, _aten.silu_backward.default),
    "shifted-softplus": Activation(
        lambda x: functional.softplus(x).sub_(math.log(2.0)),
        lambda g, x: _aten.softplus_backward.default(g, x, 1.0, 20.0),
    ),
    "tanh": Activation(torch.tanh, lambda g, x: _aten.tanh_backward.default(g, torch.tanh(x))),
}


class Dense:
    """x Wᵀ + b and its gradient g W, with W packed both ways as dense.cpp wants it.

    Args:
        layer: W and b; its later changes are not seen.
    """

    def __init__(self, layer: nn.Linear):
        weight = layer.weight.detach()
        self.inputs, self.outputs = layer.in_features, layer.out_features
        self.weight, self.transposed = packed(weight.t()), packed(weight)
        self.none = weight.new_zeros(max(self.inputs, self.outputs))
        self.bias = self.none if layer.bias is None else layer.bias.detach().clone()

    def forward(self, x: Tensor, made: Tensor) -> None:
        """Fills `made [rows, outputs]` from `x [rows, inputs]`, both contiguous and without gradients."""
        rows, dtype = x.numel() // self.inputs, same_type(x, self.weight)
        call("dense", "product", dtype, rows, self.inputs, self.outputs, 0, x, self.weight, self.bias, made)

    def pull(self, gradient: Tensor, made: Tensor, add: bool = False) -> None:
        """Fills `made [rows, inputs]` from `gradient [rows, outputs]`, or adds to it."""
        rows, dtype = gradient.numel() // self.outputs, same_type(gradient, self.weight)
        call(
            "dense", "product", dtype, rows, self.outputs, self.inputs, int(add), gradient, self.transposed,
            self.none, made,
        )  # fmt: skip


class Network(Kernel):
    """Dense layers with an activation between them, differentiable once in the input.

    Args:
        layers: as in the network.
        activation: a name in ACTIVATIONS.
    """

    def __init__(self, layers: Sequence[nn.Linear], activation: str):
        self.layers = [Dense(layer) for layer in layers]
        self.activation = ACTIVATIONS[activation]
        self.kept = len(layers) - 1  # hidden layers before the activation

    def __call__(self, values: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        (made,) = self.apply(values)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        widths = [self.layers[-1].outputs, *(layer.outputs for layer in self.layers[:-1])]
        return [inputs[0].new_empty((*inputs[0].shape[:-1], width)) for width in widths]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        values = inputs[0]
        for layer, hidden in zip(self.layers[:-1], made[1:], strict=True):
            layer.forward(values, hidden)
            values = self.activation.value(hidden)
        self.layers[-1].forward(values, made[0])

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        gradient = gradients[0]
        for layer, hidden in zip(self.layers[:0:-1], reversed(inputs[1:]), strict=True):
            before = torch.empty_like(hidden)
            layer.pull(gradient, before)
            gradient = self.activation.pull(before, hidden)
        self.layers[0].pull(gradient, made[0])


def network(weight: Tensor, bias: Tensor | None = None) -> Network:
    """One layer x Wᵀ + b of constant weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return Network([layer], "silu")


def packed(matrix: Tensor) -> Tensor:
    """`[inner, columns]` to `[panels, inner, columns of a panel]`, filled up with zeros, as tiles.hpp wants it."""
    size = torch.zeros(1, dtype=torch.int64)
    call("dense", "panel", matrix.dtype, size)
    panel = int(size)
    padded = functional.pad(matrix, (0, -matrix.shape[1] % panel))
    return padded.unflatten(1, (-1, panel)).transpose(0, 1).contiguous()
