"""Invariant polynomials of an atom's neighbor density, from its expansion in spherical harmonics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.clebsch_gordan import wigner_3j
from adiabat.nn.constants import ConstantModule

Triple = tuple[int, int, int]


class DensityInvariants(ConstantModule):
    """q_l = Σ_m A_lm², q_{1111} = 7/15 q_1² and q_{l₁l₂l₃} = Σ (l₁ l₂ l₃; m₁ m₂ m₃) A_{l₁m₁} A_{l₂m₂} A_{l₃m₃}.

    With orthonormal harmonics in A these are the three-, five- and four-body invariants of NEP; the sum runs over
    Wigner's 3j symbols and equals the one over complex harmonics.

    Args:
        l_max: highest degree of A, which has no degree 0.
        triples: degrees of the four-body invariants, each triple with an even sum.
        fives: whether q_{1111} is there; it stands behind the first triple (2, 2, 2), as in NEP.
    """

    of_degree: Tensor

    def __init__(self, l_max: int, triples: Sequence[Triple], fives: bool):
        super().__init__()
        self.l_max, self.triples, self.fives = l_max, tuple(triples), fives
        orders = [2 * l + 1 for l in range(1, l_max + 1)]
        self.register_constant("of_degree", np.repeat(np.eye(l_max), orders, axis=0))
        for triple in self.triples:
            self.register_constant(_name(triple), coupling(triple))

    @property
    def count(self) -> int:
        """Number of invariants of one channel."""
        return self.l_max + len(self.triples) + self.fives

    @property
    def fives_place(self) -> int:
        """Where q_{1111} is among the invariants, −1 if it is not there."""
        return self.l_max + (self.triples[:1] == ((2, 2, 2),)) if self.fives else -1

    def forward(self, density: Tensor) -> Tensor:
        """`[atoms, channels, l_max (l_max + 2)]` to `[atoms, count, channels]`."""
        powers = density.square() @ self.of_degree
        found = list(powers.unbind(2))
        for triple in self.triples:
            a, b, c = (density[..., l * l - 1 : l * l + 2 * l] for l in triple)
            pairs = (a[..., :, None] * b[..., None, :]).flatten(2)
            found.append(((pairs @ getattr(self, _name(triple)).flatten(0, 1)) * c).sum(dim=2))
        if self.fives:
            found.insert(self.fives_place, 7.0 / 15.0 * powers[..., 0].square())
        return torch.stack(found, dim=1)


def _name(triple: Triple) -> str:
    return "coupling" + "".join(str(l) for l in triple)


def coupling(triple: Triple) -> np.ndarray:
    """Wigner's 3j symbols of real harmonics `[2l₁+1, 2l₂+1, 2l₃+1]`, with the sign of the complex ones."""
    table = wigner_3j(*triple)
    signed = table * np.sign(table[triple])
    return signed * (-1) ** (sum(triple) // 2)
