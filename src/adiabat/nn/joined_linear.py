"""A dense layer of several inputs side by side that belong to atoms, pairs or angles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adiabat.nn.mlp import dense


class JoinedLinear(nn.Module):
    """Σ_p W_p x_p + b, the same as W [x_1, x_2, ...] + b.

    Each part is multiplied where it lives, on atoms for example, and only then taken to the rows of the output.

    Args:
        widths: of the parts.
        outputs: width of the output.
        bias: whether there is b.
    """

    def __init__(self, widths: Sequence[int], outputs: int, bias: bool = True):
        super().__init__()
        whole = dense(sum(widths), outputs).weight.detach()
        self.weights = nn.ParameterList(nn.Parameter(part.clone()) for part in whole.split(list(widths), dim=1))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, *parts: tuple[Tensor, Tensor | None]) -> Tensor:
        """`[rows, outputs]` of parts `[n, width]`, each with the place in it of each output row `[rows]`, or None."""
        total = self.bias
        for weight, (values, places) in zip(self.weights, parts, strict=True):
            found = values @ weight.t()
            found = found if places is None else found.index_select(0, places)
            total = found if total is None else total + found
        assert total is not None  # there is at least one part
        return total
