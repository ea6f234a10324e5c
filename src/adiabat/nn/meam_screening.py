"""Screening of a pair of atoms by third ones, and the cutoff function that goes with it.

M. I. Baskes, Mater. Chem. Phys. 50, 152 (1997), doi:10.1016/S0254-0584(97)80252-0.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.constants import ConstantModule

LEAST = 1e-12  # what is left of a step's argument: its square, 10⁻²³, stands for 0, whose logarithm has no slope


def step(x: Tensor) -> Tensor:
    """(1 − (1 − x)⁴)², 0 below 0 and 1 above 1; its slope is 0 at both."""
    return _rise(x.clamp(0.0, 1.0)).square()


def _rise(x: Tensor) -> Tensor:
    """1 − (1 − x)⁴ without a difference of nearly equal numbers at small x."""
    return x * (4.0 - x * (6.0 - x * (4.0 - x)))


class MEAMScreening(ConstantModule):
    """S_ik = Π_j f((C_ijk − C_min) / (C_max − C_min)), with C of the ellipse through j that has i and k as its ends.

    Atoms that are not between two planes, perpendicular to the bond at its ends, screen nothing.

    Args:
        low, high: C_min and C_max `[elements, elements, elements]` of center, screening and screened atom.
    """

    low: Tensor
    width: Tensor

    def __init__(self, low: np.ndarray, high: np.ndarray):
        super().__init__()
        self.register_constant("low", low)
        self.register_constant("width", high - low)

    def forward(self, vectors: Tensor, triplets: Tensor, center: Tensor, near: Tensor) -> Tensor:
        """S of each pair `[pairs]`.

        Args:
            vectors: `[pairs, 3]`, Å.
            triplets: unordered pairs of pairs with the same center `[2, triplets]`.
            center, near: places of the pairs' elements `[pairs]`.
        """
        first, second = triplets.unbind(0)
        across = (vectors.index_select(0, second) - vectors.index_select(0, first)).square().sum(dim=1)
        squares, logarithms = vectors.square().sum(dim=1), torch.zeros_like(vectors[:, 0])
        for screened, by in ((first, second), (second, first)):
            own, other = squares.index_select(0, screened), squares.index_select(0, by)
            difference = (other - across) / own
            between = difference.abs() < 1.0
            difference = torch.where(between, difference, 0.0)
            ellipse = (2.0 * (other + across) / own - difference.square() - 1.0) / (
                (1.0 - difference) * (1.0 + difference)
            )
            kinds = (center[screened], near[by], near[screened])
            low, width = self.low.to(ellipse)[kinds], self.width.to(ellipse)[kinds]
            x = torch.where(between, (ellipse - low) / width, 1.0).clamp(LEAST, 1.0)
            # a product over pairs, whose slopes torch has no way to make where factors are 0
            logarithms = logarithms.index_add(0, screened, 2.0 * torch.log(_rise(x)))
        return torch.exp(logarithms)
