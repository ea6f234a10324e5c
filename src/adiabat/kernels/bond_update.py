"""A block of M3GNet: gated networks of bonds and their messages to atoms, without tensors of bonds × hidden nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.kernels.build import call, same_type
from adiabat.kernels.dense import Network, network, packed
from adiabat.kernels.operation import Kernel

LANES = 64  # bytes of channels side by side, as in lanes.hpp

Layers = Sequence[nn.Linear]


class BondUpdate(Kernel):
    """e' = e + φ_3(s), e'' = e' + φ_e([v_i, v_j, e']) ∘ W_e h(r) and Σ φ_v([v_i, v_j, e'']) ∘ a(W_v h(r)).

    Each φ is a network of SiLU layers times one that ends in a sigmoid, of the same depth. Channels and hidden nodes
    are filled up to as many, in whole vectors, with zeros that stay zero: `width` is their number then.

    Args:
        angles: φ_3, the layer of both networks, without bias.
        bonds, atoms: layers of φ_e and φ_v, first all of the values and then all of the gates.
        radial: W_e and W_v.
        activated: whether a is SiLU.
    """

    differentiable: ClassVar[int] = 4

    def __init__(
        self,
        angles: tuple[nn.Linear, nn.Linear],
        bonds: tuple[Layers, Layers],
        atoms: tuple[Layers, Layers],
        radial: tuple[nn.Linear, nn.Linear],
        activated: bool,
    ):
        weight = angles[0].weight.detach()
        self.channels, self.sums = weight.shape
        nodes = max(layer.out_features for net in (bonds, atoms) for layers in net for layer in layers)
        self.width = nodes + -nodes % (LANES // weight.element_size())
        self.depth, self.functions = len(bonds[0]), radial[0].in_features
        self.activated = activated
        both = torch.cat([self._filled(layer.weight, 0) for layer in angles])
        matrices, tables, biases = [packed(both.t()), packed(both)], [], []
        for net, weights in zip((bonds, atoms), radial, strict=True):
            first = [layers[0].weight.split(self.channels, dim=1) for layers in net]
            centers, neighbors, own = (torch.cat([self._filled(part[k], 0) for part in first]) for k in range(3))
            own = self._filled(own)
            matrices += [packed(own.t()), packed(own), packed(self._filled(weights.weight, 0).t())]
            tables.append((centers, neighbors, torch.cat([self._filled(layers[0].bias) for layers in net])))
            for pair in zip(*(layers[1:] for layers in net), strict=True):
                for layer in pair:
                    square = self._filled(self._filled(layer.weight, 0))
                    matrices += [packed(square.t()), packed(square)]
                biases += [self._filled(layer.bias) for layer in pair]
        self.weights = torch.cat([matrix.flatten() for matrix in matrices])
        self.zeros = weight.new_zeros(2 * self.width + self.sums)
        self.biases = torch.cat([self.zeros, *biases])[len(self.zeros) :].contiguous()
        centers, neighbors, shifts = (torch.cat([table[k] for table in tables]) for k in range(3))
        self.tables: Network = network(torch.cat([centers, neighbors]), torch.cat([shifts, torch.zeros_like(shifts)]))

    def _filled(self, values: Tensor, dim: int = -1) -> Tensor:
        """With zeros behind the channels or nodes, which are the rows if `dim` is 0."""
        fill = self.width - values.shape[dim]
        return functional.pad(values.detach(), (0, 0, 0, fill) if dim == 0 else (0, fill))

    def __call__(
        self, v: Tensor, bonds: Tensor, sums: Tensor, radial: tuple[Tensor, ...], index: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """e'' `[pairs, width]` and the messages' sums `[atoms, channels]`; differentiable once in v, e, s and r.

        Args:
            v: `[atoms, channels]`.
            bonds: e `[pairs, width]`.
            sums: s `[pairs, angular functions]`.
            radial: r `[pairs]`, h and dh/dr `[pairs, functions]`.
            index: i, j, and which of them gets the message, each `[pairs]`.
        """
        made, messages = self.apply(bonds, sums, self.tables(v), *radial, *index)
        return made, messages[:, : self.channels]

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [torch.empty_like(inputs[0]), inputs[0].new_empty((inputs[2].shape[0], self.width))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("push", inputs, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("pull", inputs, *gradients, *made)

    def _call(self, name: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        dtype = same_type(*inputs[:6], self.weights)
        call(
            "bond_update", name, dtype, inputs[0].shape[0], inputs[2].shape[0], self.width, self.depth,
            self.functions, self.sums, int(self.activated), *inputs, self.weights, self.biases, self.zeros, *rest,
        )  # fmt: skip
