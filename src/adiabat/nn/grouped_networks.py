"""Networks of many kinds in one pass: rows are sorted into tiles of one kind, each tile a matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from adiabat.nn.activations import activation as named

ROWS = 32  # rows in a tile


@dataclass(frozen=True)
class Tiles:
    """Where rows of several kinds lie once they are sorted; the number of tiles depends on their number alone.

    Attributes:
        place: of each row among the slots `[rows]`, which run over tiles first: tracing can divide by ROWS alone.
        kind: of each tile `[tiles]`.
    """

    place: Tensor
    kind: Tensor

    @classmethod
    def of(cls, kind: Tensor, kinds: int) -> Tiles:
        """From the kind of each row `[rows]`, 0 to kinds − 1."""
        rows, order = kind.shape[0], kind.argsort(stable=True)
        count = kind.new_zeros(kinds).index_add(0, kind, torch.ones_like(kind))
        ends = ((count + (ROWS - 1)) // ROWS).cumsum(0)  # tiles up to each kind; at most rows / ROWS + kinds
        shift = ROWS * (ends - (count + (ROWS - 1)) // ROWS) - (count.cumsum(0) - count)
        ordered = kind.index_select(0, order)
        slots = torch.arange(rows, device=kind.device) + shift.index_select(0, ordered)
        tiles = torch.arange(rows // ROWS + kinds, device=kind.device)
        of_tile = (tiles[:, None] >= ends).sum(dim=1).clamp(max=kinds - 1)
        places = slots % ROWS * tiles.shape[0] + slots // ROWS
        return cls(torch.zeros_like(kind).index_copy(0, order, places), of_tile)

    def sort(self, values: Tensor) -> Tensor:
        """`[rows, width]` to `[tiles, ROWS, width]`, zeros where a tile has no row."""
        tiles, width = self.kind.shape[0], values.shape[1]
        slots = values.new_zeros((ROWS * tiles, width)).index_copy(0, self.place, values)
        return slots.view(ROWS, tiles, width).transpose(0, 1)

    def restore(self, values: Tensor) -> Tensor:
        """What `sort` took apart, in the order of the rows `[rows, width]`."""
        return values.transpose(0, 1).flatten(0, 1).index_select(0, self.place)


def in_tiles(layers: Callable[[Tensor, Tensor | None], Tensor], values: Tensor, kind: Tensor, kinds: int) -> Tensor:
    """What layers with weights of each kind make of rows `[rows, width]`, each by those of its `kind [rows]`.

    Args:
        layers: maps `[tiles, ROWS, width]`, given the kind of each tile, or `[1, rows, width]` and None of one kind.
        values: the rows.
        kind: of each, 0 to kinds − 1.
        kinds: how many there are.
    """
    if kinds == 1:
        return layers(values[None], None)[0]
    tiles = Tiles.of(kind, kinds)
    return tiles.restore(layers(tiles.sort(values), tiles.kind))


class GroupedNetworks(nn.Module):
    """x → t ∘ φ(x W + b) + x, layer after layer, with weights of each kind.

    x is added where a layer is as wide as its input, (x, x) where it is twice as wide (DeepPot-SE, arXiv:1805.09003);
    other layers add nothing and have no t.

    Args:
        kinds: how many networks.
        widths: of the input and the layers.
        activation: φ, a name that `adiabat.nn.activations.activation` knows.
        steps: whether the layers that add x have factors t.
        outputs: width of a last linear layer; 0 for none.
    """

    def __init__(
        self, kinds: int, widths: Sequence[int], activation: str = "tanh", steps: bool = False, outputs: int = 0
    ):
        super().__init__()
        named(activation)  # refuses what it does not know
        self.kinds, self.activation, self.depth = kinds, activation, len(widths) - 1
        sizes = list(pairwise([*widths, outputs] if outputs else widths))
        self.adds = tuple(_added(a, b) for a, b in sizes[: self.depth])
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(kinds, a, b)) for a, b in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.empty(kinds, b)) for _, b in sizes)
        self.steps = nn.ParameterDict(
            {str(k): nn.Parameter(torch.empty(kinds, b)) for k, (_, b) in enumerate(sizes[: self.depth])
             if steps and self.adds[k]}
        )  # fmt: skip
        self.reset()

    def reset(self) -> None:
        """Weights of variance 1 / (inputs + outputs), biases of variance 1, factors near 0.1, as in DeePMD-kit."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            nn.init.normal_(weight, std=(weight.shape[1] + weight.shape[2]) ** -0.5)
            nn.init.normal_(bias)
        for step in self.steps.values():
            nn.init.normal_(step, mean=0.1, std=0.001)
        if len(self.biases) > self.depth:
            nn.init.zeros_(self.biases[self.depth])

    def forward(self, values: Tensor, kind: Tensor) -> Tensor:
        """`[rows, widths[0]]` to `[rows, widths[-1]]` or `[rows, outputs]`, each row by the network of its `kind`."""
        return in_tiles(self._layers, values, kind, self.kinds)

    def _layers(self, values: Tensor, kind: Tensor | None) -> Tensor:
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            own = torch.baddbmm(_of(bias, kind)[:, None], values, _of(weight, kind))
            if k == self.depth:
                return own
            own = named(self.activation)(own)
            if str(k) in self.steps:
                own = own * _of(self.steps[str(k)], kind)[:, None]
            if self.adds[k]:
                own = own + (values if self.adds[k] == "once" else torch.cat((values, values), dim=2))
            values = own
        return values


def _added(inputs: int, outputs: int) -> Literal["", "once", "twice"]:
    return "once" if inputs == outputs else "twice" if outputs == 2 * inputs else ""


def _of(parameter: Tensor, kind: Tensor | None) -> Tensor:
    return parameter if kind is None else parameter.index_select(0, kind)
