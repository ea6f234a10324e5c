"""One small network per element, applied to the atoms of that element."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.nn.activations import ACTIVATIONS


class ElementNetworks(nn.Module):
    """Fully connected networks features → hidden → outputs with one set of weights per element.

    Args:
        sizes: number of features of each element; longer rows are cut to it.
        hidden: width of each hidden layer; a row of them for each element where they differ.
        activations: name in ACTIVATIONS for each hidden layer; the output is linear.
        outputs: how many; with one, results have no dimension for it.
        last_bias: whether the output layer has biases.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: Sequence[int] | Sequence[Sequence[int]],
        activations: Sequence[str],
        outputs: int = 1,
        last_bias: bool = True,
    ):
        super().__init__()
        self.outputs = outputs
        self.sizes = tuple(sizes)
        self.activations = tuple(activations)
        self.layers = nn.ModuleList()
        self._stacked: list[tuple[Tensor, Tensor]] | None = None
        for place, size in enumerate(sizes):
            own = hidden[place] if hidden and isinstance(hidden[0], Sequence) else hidden
            widths: list[int] = [size, *own, outputs]  # type: ignore[list-item, misc]
            *inner, last = pairwise(widths)
            layers = [nn.Linear(a, b) for a, b in inner]
            self.layers.append(nn.ModuleList([*layers, nn.Linear(*last, bias=last_bias)]))
        self.reset()

    def reset(self) -> None:
        """Glorot weights and zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_normal_(parameter)

    def forward(self, features: Tensor, element: Tensor) -> Tensor:
        """Output of each atom `[atoms]` or `[atoms, outputs]`.

        Args:
            features: `[atoms, width]`.
            element: its element's place `[atoms]`.
        """
        if len(self.sizes) == 1:
            return self._apply_layers(0, features[:, : self.sizes[0]])
        out = features.new_zeros((features.shape[0],) if self.outputs == 1 else (features.shape[0], self.outputs))
        for place, size in enumerate(self.sizes):
            rows = (element == place).nonzero()[:, 0]
            out = out.index_copy(0, rows, self._apply_layers(place, features[rows, :size]))
        return out

    def everywhere(self, features: Tensor, element: Tensor) -> Tensor:
        """The same with every network applied to all atoms: more arithmetic, and no size that depends on the data."""
        if self._stacked is not None:
            return self._together(features, element)
        values = [self._apply_layers(k, features[:, :size]) for k, size in enumerate(self.sizes)]
        stacked = torch.stack(values, dim=1)
        place = element[:, None] if self.outputs == 1 else element[:, None, None].expand(-1, 1, self.outputs)
        return stacked.gather(1, place)[:, 0]

    def freeze(self, mixing: Tensor | None = None) -> None:
        """Stacks the networks, for good, so that `everywhere` takes as many operations for ten elements as for one.

        Args:
            mixing: `[elements, width, components]`, applied to the features before their networks; None for no such.
        """
        assert self.outputs == 1
        assert self.layers[0][-1].bias is not None  # type: ignore[index]
        self._stacked = []
        for depth, layers in enumerate(zip(*self.layers, strict=True)):
            width = max(layer.in_features for layer in layers)
            weights = [
                functional.pad(layer.weight.detach().T, (0, 0, 0, width - layer.in_features)) for layer in layers
            ]
            weight = torch.stack(weights)
            if mixing is not None and not depth:
                weight = mixing.to(weight) @ weight
            self._stacked.append(
                (weight.contiguous(), torch.stack([layer.bias.detach() for layer in layers])[:, None])
            )

    def _together(self, features: Tensor, element: Tensor) -> Tensor:
        assert self._stacked is not None
        weight, bias = self._stacked[0]
        if len(weight) == 1:
            for (weight, bias), name in zip(self._stacked, (*self.activations, "linear"), strict=True):
                features = ACTIVATIONS[name](torch.addmm(bias[0], features, weight[0]))
            return features[:, 0]
        values = features.expand(len(weight), -1, -1)
        for (weight, bias), name in zip(self._stacked, (*self.activations, "linear"), strict=True):
            values = ACTIVATIONS[name](torch.baddbmm(bias, values, weight))
        return values[:, :, 0].gather(0, element[None])[0]

    def _apply_layers(self, place: int, values: Tensor) -> Tensor:
        *inner, last = self.layers[place]  # type: ignore[misc]
        for layer, name in zip(inner, self.activations, strict=True):
            values = ACTIVATIONS[name](layer(values))
        return last(values)[:, 0] if self.outputs == 1 else last(values)
