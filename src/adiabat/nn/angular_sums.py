"""Sums over the angles at an atom, without a list of triplets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.nn.spherical_harmonics import SphericalHarmonics


class LegendreSum(ConstantModule):
    """Σ_{k ≠ j} Y_l0(θ_jik) a_ik,ln for every pair ij, Y_l0(θ) = √((2l+1)/4π) P_l(cos θ).

    The addition theorem P_l(cos θ_jik) = Σ_m Y_lm(ij) Y_lm(ik) (harmonics with Σ_m Y² = 1) makes it a sum over the
    neighbors of an atom and a product for each pair; the term k = j, where P_l = 1, is taken away again. The cost is
    that of the pairs, and nothing is singular where three atoms are in line.

    Args:
        degrees: l = 0..degrees − 1.
        count: values n of each degree.
    """

    degree: Tensor
    of_degree: Tensor
    sizes: Tensor

    def __init__(self, degrees: int, count: int):
        super().__init__()
        self.degrees, self.count = degrees, count
        self.harmonics = SphericalHarmonics(degrees - 1, "norm", normalize=False)
        orders = [2 * l + 1 for l in range(degrees)]
        self.register_buffer(
            "degree", torch.arange(degrees).repeat_interleave(torch.tensor(orders)), persistent=False
        )
        self.register_constant("of_degree", np.repeat(np.eye(degrees), orders, axis=1))
        self.register_constant("sizes", np.sqrt(np.array(orders) / (4.0 * np.pi)))

    def forward(self, graph: Graph, harmonics: Tensor, values: Tensor) -> Tensor:
        """The sums `[pairs, degrees · count]`.

        Args:
            graph: the pairs.
            harmonics: `self.harmonics` of the directions from center to neighbor `[pairs, degrees²]`.
            values: a_ik,ln `[pairs, degrees · count]`, values of the same degree side by side.
        """
        pairs = values.shape[0]
        own = values.view(pairs, self.degrees, self.count)
        density = graph.sum_over_neighbors(harmonics[:, :, None] * own.index_select(1, self.degree))
        products = harmonics[:, :, None] * graph.of_centers(density)
        sums = self.of_degree @ products - own
        return (sums * self.sizes[:, None]).reshape(pairs, self.degrees * self.count)
