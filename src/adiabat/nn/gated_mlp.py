"""Two dense networks side by side, one of which opens and closes the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.geometry import Graph
from adiabat.nn.mlp import dense


class GatedMLP(nn.Module):
    """SiLU layers times SiLU layers that end in a sigmoid (M3GNet, doi:10.1038/s43588-022-00349-3).

    Args:
        widths: of the input, each hidden layer and the output.
        bias: whether the layers add one.
        linear_end: whether the last layer of the first network has no activation.
    """

    def __init__(self, widths: Sequence[int], bias: bool = True, linear_end: bool = False):
        super().__init__()
        self.values = nn.ModuleList(dense(a, b, bias) for a, b in pairwise(widths))
        self.gates = nn.ModuleList(dense(a, b, bias) for a, b in pairwise(widths))
        self.linear_end = linear_end

    def forward(self, x: Tensor) -> Tensor:
        """`[..., widths[0]]` to `[..., widths[-1]]`."""
        weight, bias = self._first()
        return self._after_first(functional.linear(x, weight, bias))

    def of_pairs(self, graph: Graph, atoms: Tensor, pairs: Tensor) -> Tensor:
        """The network of center, neighbor and pair side by side, `[v_i, v_j, e_ij]`, `[pairs, widths[-1]]`.

        The first layer is linear, so that its part for atoms is computed once an atom and not once a pair.

        Args:
            graph: the pairs.
            atoms: v `[atoms, a]`.
            pairs: e `[pairs, widths[0] − 2a]`.
        """
        weight, bias = self._first()
        width = atoms.shape[1]
        center, neighbor, own = weight.split([width, width, pairs.shape[1]], dim=1)
        first = functional.linear(pairs, own, bias)
        first = first + graph.of_centers(atoms @ center.T) + graph.of_neighbors(atoms @ neighbor.T)
        return self._after_first(first)

    def _first(self) -> tuple[Tensor, Tensor | None]:
        """First layers of both networks as one."""
        value, gate = self.values[0], self.gates[0]
        weight = torch.cat([value.weight, gate.weight])  # type: ignore[list-item]
        return weight, None if value.bias is None else torch.cat([value.bias, gate.bias])  # type: ignore[list-item]

    def _after_first(self, first: Tensor) -> Tensor:
        value, gate = first.chunk(2, dim=-1)
        for layer, other in zip(self.values[1:], self.gates[1:], strict=True):  # type: ignore[arg-type]
            value, gate = layer(functional.silu(value)), other(functional.silu(gate))
        return (value if self.linear_end else functional.silu(value)) * torch.sigmoid(gate)
