"""Trainable features of the elements."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from adiabat.elements import MAX_NUMBER


class ElementEmbedding(nn.Module):
    """One trainable row per known element, drawn from N(0, 1).

    Args:
        elements: atomic numbers; rows are in ascending order of them.
        channels: length of a row.
    """

    row: Tensor

    def __init__(self, elements: Iterable[int], channels: int):
        super().__init__()
        elements = sorted({int(z) for z in elements})
        self.table = nn.Parameter(torch.randn(len(elements), channels))
        row = torch.zeros(MAX_NUMBER + 1, dtype=torch.int64)
        row[elements] = torch.arange(len(elements))
        self.register_buffer("row", row, persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Features `[atoms, channels]` of atomic numbers `[atoms]`, all of which must be known."""
        return self.table[self.row[numbers]]
