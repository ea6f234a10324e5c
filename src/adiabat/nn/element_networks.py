"""One small network per element, applied to the atoms of that element."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from adiabat.nn.activations import ACTIVATIONS


class ElementNetworks(nn.Module):
    """Fully connected networks features → hidden → 1 with one set of weights per element.

    Args:
        sizes: number of features of each element; longer rows are cut to it.
        hidden: width of each hidden layer.
        activations: name in ACTIVATIONS for each hidden layer; the output is linear.
    """

    def __init__(self, sizes: Sequence[int], hidden: Sequence[int], activations: Sequence[str]):
        super().__init__()
        self.sizes = tuple(sizes)
        self.activations = tuple(activations)
        self.layers = nn.ModuleList()
        for size in sizes:
            widths = [size, *hidden, 1]
            self.layers.append(nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths)))
        self.reset()

    def reset(self) -> None:
        """Glorot weights and zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_normal_(parameter)

    def forward(self, features: Tensor, element: Tensor) -> Tensor:
        """Output of each atom `[atoms]` from `features [atoms, width]` and its element's place `[atoms]`."""
        if len(self.sizes) == 1:
            return self._apply_layers(0, features[:, : self.sizes[0]])
        out = features.new_zeros(features.shape[0])
        for place, size in enumerate(self.sizes):
            rows = (element == place).nonzero()[:, 0]
            out = out.index_copy(0, rows, self._apply_layers(place, features[rows, :size]))
        return out

    def everywhere(self, features: Tensor, element: Tensor) -> Tensor:
        """The same with every network applied to all atoms: more arithmetic, and no size that depends on the data."""
        values = [self._apply_layers(k, features[:, :size]) for k, size in enumerate(self.sizes)]
        return torch.stack(values, dim=1).gather(1, element[:, None])[:, 0]

    def _apply_layers(self, place: int, values: Tensor) -> Tensor:
        *inner, last = self.layers[place]  # type: ignore[misc]
        for layer, name in zip(inner, self.activations, strict=True):
            values = ACTIVATIONS[name](layer(values))
        return last(values)[:, 0]
