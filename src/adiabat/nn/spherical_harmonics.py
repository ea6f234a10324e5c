"""Real spherical harmonics as polynomials of a direction."""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.clebsch_gordan import wigner_3j
from adiabat.nn.constants import ConstantModule

Normalization = Literal["component", "norm", "integral"]


class SphericalHarmonics(ConstantModule):
    """Y_lm of unit vectors for l = 0..l_max, m = −l..l, in e3nn's order: y is the polar axis and l = 1 is (x, y, z).

    Each degree follows from the one below it: Y_{l+1} is the l+1 part of the product of Y_l with the vector, one
    small matrix product per degree. Without `normalize` the same polynomials give r^l Y_lm.

    Args:
        l_max: highest degree.
        normalization: "component" Σ_m Y² = 2l+1, "norm" Σ_m Y² = 1, "integral" ∫ Y² = 1 over the sphere.
        normalize: divide vectors by their length first; a zero vector then gives NaN.
    """

    scale: Tensor

    def __init__(self, l_max: int, normalization: Normalization = "component", normalize: bool = True):
        super().__init__()
        self.l_max = l_max
        self.normalize = normalize
        for l in range(1, l_max):
            self.register_constant(f"step{l}", _raise_degree(l))
        sizes = [2 * l + 1 for l in range(l_max + 1)]
        factors = {"component": [1.0] * len(sizes), "norm": [n**-0.5 for n in sizes]}
        factors["integral"] = [(4 * np.pi) ** -0.5] * len(sizes)
        self.register_constant("scale", np.repeat(factors[normalization], sizes))
        self.scaled = normalization != "component"

    def forward(self, vectors: Tensor) -> Tensor:
        """`[..., 3]` to `[..., (l_max+1)²]`."""
        if self.normalize:
            vectors = vectors / vectors.norm(dim=-1, keepdim=True)
        degrees = [torch.ones_like(vectors[..., :1])]
        if self.l_max > 0:
            degrees.append(sqrt(3.0) * vectors)
        for l in range(1, self.l_max):
            product = degrees[l][..., :, None] * vectors[..., None, :]
            degrees.append(product.flatten(-2) @ getattr(self, f"step{l}"))
        values = torch.cat(degrees, dim=-1)
        return values * self.scale if self.scaled else values


def _raise_degree(l: int) -> np.ndarray:
    """`[(2l+1)·3, 2l+3]`: takes Y_l ⊗ r to Y_{l+1}, both with Σ_m Y² = 2l+1 on the unit sphere."""
    table = wigner_3j(l, 1, l + 1)
    # at the pole only m = 0 is there, Y_l0 = √(2l+1), which fixes size and sign
    factor = sqrt((2 * l + 3) / (2 * l + 1)) / table[l, 1, l + 1]
    return (factor * table).reshape(-1, 2 * l + 3)
