"""Sums of updates with trained weights, as layers of DPA-2 and DPA-3 have them.

D. Zhang et al., npj Comput. Mater. 10, 293 (2024), doi:10.1038/s41524-024-01493-2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

UpdateStyle = Literal["trained", "average", "sum"]


class ResidualUpdates(nn.Module):
    """x + Σ_n r_n ∘ u_n with trained r_n; or (x + Σ_n u_n)/√(N + 1); or x + Σ_n u_n/√N.

    Args:
        width: of x.
        count: number N of updates.
        style: which of the three: trained, average or sum.
        initial: size of r_n at first.
        random: whether r_n is drawn from a normal distribution of that deviation at first, or all of that size.
    """

    def __init__(self, width: int, count: int, style: UpdateStyle, initial: float, random: bool):
        super().__init__()
        self.style: UpdateStyle = style
        own = count if style == "trained" else 0
        self.weights = nn.ParameterList(
            nn.Parameter(initial * (torch.randn(width) if random else torch.ones(width))) for _ in range(own)
        )

    def forward(self, x: Tensor, updates: Sequence[Tensor]) -> Tensor:
        """`[..., width]` of the same and of updates `[..., width]`."""
        if self.style == "trained":
            for weight, update in zip(self.weights, updates, strict=True):
                x = x + weight * update
            return x
        if self.style == "average":
            return sum(updates, x) * (len(updates) + 1) ** -0.5
        return x if not updates else x + sum(updates[1:], updates[0]) * len(updates) ** -0.5
