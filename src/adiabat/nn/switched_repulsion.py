"""Screened nuclear repulsion that is switched off by a cosine between two radii of each pair of elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.constants import ConstantModule
from adiabat.nn.zbl import LAMMPS

SCREENING = LAMMPS.screening[::-1]
INVERSE_LENGTH, POWER = 2.134563, 0.23  # (Z_i^p + Z_j^p) / a, Å⁻¹, as GPUMD rounds it


class SwitchedRepulsion(ConstantModule):
    """½ Σ_j k Z_i Z_j / r Σ_m A_m exp(−B_m r / a) f(r) with factors A and rates B of each pair of elements.

    f is 1 up to the inner radius and ½ (1 + cos π (r − r_in) / (r_out − r_in)) from there to the outer one. With the
    same A and B everywhere it is the universal potential of Ziegler, Biersack and Littmark (1985), with A and B of
    each pair of elements the flexible one of GPUMD (Liu et al., doi:10.1103/PhysRevB.108.054312).

    Args:
        elements: atomic numbers.
        inner, outer: Å, of every pair; the buffers `radii` and `screening` may be set pair by pair.
    """

    charges: Tensor
    rates: Tensor
    radii: Tensor
    screening: Tensor

    def __init__(self, elements: Sequence[int], inner: float, outer: float):
        super().__init__()
        kinds, numbers = len(elements), np.array(elements, dtype=np.float64)
        self.register_constant("charges", LAMMPS.coulomb * numbers[:, None] * numbers)
        self.register_constant("rates", INVERSE_LENGTH * (numbers[:, None] ** POWER + numbers**POWER))
        self.register_constant("radii", np.tile([inner, outer], (kinds, kinds, 1)), persistent=True)
        self.register_constant("screening", np.tile(np.array(SCREENING), (kinds, kinds, 1, 1)), persistent=True)
        self.kinds = kinds

    def set_pair(self, first: int, second: int, radii: Sequence[float], screening: Sequence[Sequence[float]]) -> None:
        """Radii (Å) and four rows of factor and rate for the elements at these places, in both orders."""
        for name, values in (("radii", radii), ("screening", screening)):
            exact = np.array(self._exact[name])
            exact[first, second] = exact[second, first] = values
            self.set_constant(name, exact)

    def table(self) -> Tensor:
        """Charges, rates, radii and screening of all pairs of elements `[elements, elements, 12]`, for the kernel."""
        own = (self.charges[..., None], self.rates[..., None], self.radii, self.screening.flatten(2))
        return torch.cat(own, dim=2)

    def forward(self, distances: Tensor, kinds: Tensor) -> Tensor:
        """Half the energy of each pair `[pairs]`, eV, which is its center's share.

        Args:
            distances: `[pairs]`, Å.
            kinds: first element's place · number of elements + second's `[pairs]`.
        """
        inner, outer = self.radii.view(-1, 2).index_select(0, kinds).unbind(1)
        screening = self.screening.view(-1, 4, 2).index_select(0, kinds)
        reduced = distances * self.rates.view(-1).index_select(0, kinds)
        phi = (screening[..., 0] * torch.exp(-screening[..., 1] * reduced[:, None])).sum(dim=1)
        place = ((distances - inner) / (outer - inner)).clamp(0.0, 1.0)
        switch = 0.5 * (1.0 + torch.cos(math.pi * place))
        return 0.5 * self.charges.view(-1).index_select(0, kinds) / distances * phi * switch
