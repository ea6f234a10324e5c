"""Maps of a distance to a coordinate in which a radial basis resolves bonds evenly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from adiabat.elements import COVALENT_RADII, MAX_NUMBER
from adiabat.nn.constants import ConstantModule


class AgnesiTransform(ConstantModule):
    """1 / (1 + a x^q / (1 + x^(q−p))), x = r / r₀, r₀ half the sum of the covalent radii (doi:10.1063/5.0158783).

    Args:
        a: strength.
        q: power near the bond.
        p: power at short distances.
    """

    radii: Tensor

    def __init__(self, a: float = 1.0805, q: float = 0.9183, p: float = 4.5791):
        super().__init__()
        self.a, self.q, self.p = a, q, p
        self.register_constant("radii", COVALENT_RADII)

    def forward(self, distances: Tensor, numbers: Tensor, pairs: Tensor) -> Tensor:
        """`[pairs]`, Å, to `[pairs]` between 0 and 1, falling."""
        radii = self.radii[numbers]
        x = distances / (0.5 * (radii[pairs[0]] + radii[pairs[1]]))
        return 1 / (1 + self.a * x**self.q / (1 + x ** (self.q - self.p)))


class PairCutoffs(ConstantModule):
    """r · r_c / r_c(Z_i, Z_j): puts the end of each pair of elements where the common cutoff is.

    Args:
        cutoff: r_c, Å, also of pairs that are not listed.
        pairs: atomic number of the center, of the neighbor, and their r_c(Z_i, Z_j), Å.
    """

    stretch: Tensor

    def __init__(self, cutoff: float, pairs: Iterable[tuple[int, int, float]]):
        super().__init__()
        stretch = np.ones((MAX_NUMBER + 1, MAX_NUMBER + 1))
        for center, neighbor, own in pairs:
            stretch[center, neighbor] = cutoff / own
        self.register_constant("stretch", stretch)

    def forward(self, distances: Tensor, numbers: Tensor, pairs: Tensor) -> Tensor:
        """`[pairs]`, Å, to `[pairs]`, Å."""
        return distances * self.stretch[numbers[pairs[0]], numbers[pairs[1]]]
