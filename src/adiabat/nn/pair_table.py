"""Energies of pairs from a table, and how far an atom's nearest neighbors are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from adiabat.nn.constants import ConstantModule
from adiabat.nn.switched_repulsion import SwitchedRepulsion


class PairTable(ConstantModule):
    """Cubic splines of the distance, one for each pair of elements, 0 from the cutoff on.

    A fresh table holds the universal repulsion of Ziegler, Biersack and Littmark, switched off well before
    the cutoff, where its spline is then flat.

    Args:
        elements: atomic numbers.
        cutoff: Å.
        start: Å, first knot; the first polynomial goes on below.
        step: Å, between knots.
        intervals: how many.
    """

    coefficients: Tensor

    def __init__(self, elements: Sequence[int], cutoff: float, start: float, step: float, intervals: int):
        super().__init__()
        self.cutoff, self.start, self.step, self.intervals = cutoff, start, step, intervals
        kinds = torch.arange(len(elements) ** 2)
        knots = torch.linspace(start, start + intervals * step, intervals + 1, dtype=torch.float64)
        repulsion = SwitchedRepulsion(elements, 0.25 * cutoff, 0.75 * cutoff).double()
        values = [2.0 * repulsion(knots, kind.expand(len(knots))) for kind in kinds]
        spline = CubicSpline(knots.numpy(), torch.stack(values, dim=1).numpy(), axis=0)
        powers = np.stack([c * step ** (3 - k) for k, c in enumerate(spline.c)], axis=-1)  # [intervals, kinds, 4]
        self.register_constant("coefficients", powers.swapaxes(0, 1), persistent=True)

    def forward(self, distances: Tensor, kinds: Tensor) -> Tensor:
        """Half the energy of each pair `[pairs]`, eV, which is its center's share.

        Args:
            distances: `[pairs]`, Å.
            kinds: first element's place · number of elements + second's `[pairs]`.
        """
        places = (distances - self.start) / self.step
        interval = places.detach().floor().long().clamp(0, self.intervals - 1)
        u = places - interval
        row = self.coefficients.flatten(0, 1).index_select(0, kinds * self.intervals + interval)
        a, b, c, d = row.unbind(1)
        values = 0.5 * (((a * u + b) * u + c) * u + d)
        return torch.where(distances < self.cutoff, values, torch.zeros_like(values))


def nearness(distances: Tensor, centers: Tensor, atoms: int, inner: float, outer: float, length: float) -> Tensor:
    """1 for atoms with a neighbor nearer than `inner`, 0 for those with none within `outer`, smoothly between.

    What is compared with the radii is Σ_j r_ij w_j / Σ_j w_j with w_j = exp(−r_ij / length) (H. Wang et al.,
    arXiv:1904.00360).

    Args:
        distances: `[pairs]`, Å.
        centers: `[pairs]`.
        atoms: number of atoms.
        inner, outer, length: Å.
    """
    weights = torch.exp(-distances / length)
    sums = distances.new_zeros((atoms, 2)).index_add(0, centers, torch.stack((weights, weights * distances), dim=1))
    alone = sums[:, 0] == 0.0
    mean = sums[:, 1] / torch.where(alone, torch.ones_like(alone, dtype=sums.dtype), sums[:, 0])
    u = ((mean - inner) / (outer - inner)).clamp(0.0, 1.0)
    values = 1.0 + u**3 * ((15.0 - 6.0 * u) * u - 10.0)
    return torch.where(alone, torch.zeros_like(values), values)
