"""Ensembles of one network per element, each atom by the networks of its own element alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from adiabat.errors import CapabilityError
from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.dense import packed
from adiabat.kernels.operation import Kernel

NAME = "element_networks"
ACTIVATIONS = ("celu", "tanh", "gaussian")  # in the order of element_networks.cpp


class PackedNetworks(Kernel):
    """features → hidden layers → 1 for each atom and member, differentiable once in the features.

    Columns that are zero for many atoms side by side, those of elements that are not near, are left out of the
    first layer, and their gradient is given as zero: right for descriptors whose zeros have no slope either.

    Args:
        members: networks of each member, by element; each a list of layers, equally many for all. Their later
            changes are not seen.
        activation: of the hidden layers, a name in ACTIVATIONS.

    Raises CapabilityError for another activation, or if this machine has no compiler.
    """

    differentiable: ClassVar[int] = 1
    kept = 1

    def __init__(self, members: Sequence[Sequence[Sequence[nn.Linear]]], activation: str):
        if activation not in ACTIVATIONS:
            raise CapabilityError(f"there is no fast kernel for '{activation}': it has {', '.join(ACTIVATIONS)}.")
        library(NAME)
        first = members[0]
        self.activation = ACTIVATIONS.index(activation)
        self.members, self.kinds, self.hidden = len(members), len(first), len(first[0]) - 1
        if not self.hidden:
            raise CapabilityError("there is no fast kernel for networks without a hidden layer: give one.")
        self.size = first[0][0].in_features
        widths = [[layer.out_features for layer in layers[:-1]] for layers in first]
        self._widths = torch.tensor(widths)
        self._room = self.members * max(sum(row) for row in widths)
        store = _Store()
        places = [
            [self._pack(store, members, k, depth) for depth in range(self.hidden + 1)] for k in range(self.kinds)
        ]
        self._places = torch.tensor(places)  # [kinds, layers, members, 3]
        self._values = torch.cat(store.parts)

    def _pack(
        self, store: _Store, members: Sequence[Sequence[Sequence[nn.Linear]]], place: int, depth: int
    ) -> list[list[int]]:
        """Where weight, its transpose and bias of each member are; the members' first layers are one."""
        layers = [member[place][depth] for member in members]
        weights, biases = [layer.weight.detach() for layer in layers], [layer.bias.detach() for layer in layers]
        if depth == self.hidden:
            return [[store.add(w), 0, store.add(b)] for w, b in zip(weights, biases, strict=True)]
        if not depth:
            weights, biases = [torch.cat(weights)], [torch.cat(biases)]
        found = [
            [store.add(packed(w.t())), store.add(packed(w)), store.add(b)]
            for w, b in zip(weights, biases, strict=True)
        ]
        return found if depth else found * self.members

    def __call__(self, features: Tensor, kinds: Tensor) -> Tensor:
        """Outputs `[members, atoms]`.

        Args:
            features: `[atoms, size]`.
            kinds: each atom's element, a place `[atoms]`; one that is not there makes all outputs NaN.
        """
        (made,) = self.apply(features, kinds)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        atoms = inputs[0].shape[0]
        return [inputs[0].new_empty((self.members, atoms)), inputs[0].new_empty((atoms, self._room))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("forward", inputs[0], inputs[1], *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        features, kinds, slopes = inputs
        self._call("backward", features, kinds, slopes, *gradients, *made)

    def _call(self, function: str, features: Tensor, kinds: Tensor, *rest: Tensor) -> None:
        call(
            NAME, function, same_type(features, self._values, *rest), len(kinds), self.kinds, self.members,
            self.hidden, self.size, self._room, self.activation, self._widths, self._places, self._values, kinds,
            features, *rest,
        )  # fmt: skip


class _Store:
    """Tensors one behind the other."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.end = 0

    def add(self, tensor: Tensor) -> int:
        """Where it begins."""
        begin, self.end = self.end, self.end + tensor.numel()
        self.parts.append(tensor.reshape(-1))
        return begin
