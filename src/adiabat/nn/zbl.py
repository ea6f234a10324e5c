"""Screened nuclear repulsion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from adiabat.elements import COVALENT_RADII
from adiabat.nn.constants import ConstantModule
from adiabat.nn.cutoffs import polynomial_envelope


@dataclass(frozen=True)
class Rounding:
    """The universal potential's constants as a program rounds them; its numbers are to be reproduced.

    Attributes:
        coulomb: e²/4πε₀, eV Å.
        length: a (Z_i^p + Z_j^p), Å.
        power: p.
        screening: factors and rates of the exponentials of r/a.
    """

    coulomb: float
    length: float
    power: float
    screening: tuple[tuple[float, float], ...]


UNIVERSAL = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
MACE = Rounding(14.3996, 0.4543 * 0.529, 0.3, UNIVERSAL)
LAMMPS = Rounding(
    14.399645,
    0.46850,
    0.23,
    ((0.02817, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.19980)),
)


class ZBLRepulsion(ConstantModule):
    """½ Σ_j k Z_i Z_j / r φ(r / a) f(r), the universal potential of Ziegler, Biersack and Littmark (1985).

    f is the polynomial cutoff, by default at the sum of the covalent radii, so that the term touches only pairs that
    are closer than a bond.

    Args:
        power: p of the polynomial cutoff.
        cutoff: of all pairs, Å; None for the sum of the covalent radii.
        rounding: k, a and φ.
    """

    radii: Tensor

    def __init__(self, power: int = 5, cutoff: float | None = None, rounding: Rounding = MACE):
        super().__init__()
        self.power, self.cutoff, self.rounding = power, cutoff, rounding
        self.register_constant("radii", COVALENT_RADII)

    def forward(self, distances: Tensor, numbers: Tensor, pairs: Tensor) -> Tensor:
        """Energy of each atom `[atoms]`, eV, from distances `[pairs]`, Å, atomic numbers and `pairs [2, pairs]`."""
        own, (centers, neighbors) = self.rounding, pairs
        zi, zj = numbers[centers].to(distances.dtype), numbers[neighbors].to(distances.dtype)
        reduced = distances * (zi**own.power + zj**own.power) / own.length
        screening = sum((c * torch.exp(-b * reduced) for c, b in own.screening), torch.zeros_like(reduced))
        reach = self.cutoff or self.radii[numbers[centers]] + self.radii[numbers[neighbors]]
        energy = 0.5 * own.coulomb * zi * zj / distances * screening
        energy = energy * polynomial_envelope(distances / reach, self.power)
        return distances.new_zeros(numbers.shape[0]).index_add(0, centers, energy)


class TrainedZBL(nn.Module):
    """½ Σ_j k Z_i Z_j / r Σ_m c_m exp(−a_m (Z_i^p + Z_j^p) d r) f(r), with all constants but k trained.

    At first it is the universal potential; the c_m are divided by their sum, so that close nuclei repel each other as
    bare ones do (SpookyNet, doi:10.1038/s41467-021-27504-0). The parameters are the inverse of softplus.

    Args:
        coulomb: k, eV Å.
        radius: bohr radius, Å.
    """

    def __init__(self, coulomb: float, radius: float):
        super().__init__()
        self.coulomb = coulomb
        factors, rates = zip(*UNIVERSAL, strict=True)
        self.scale = nn.Parameter(softplus_inverse(torch.tensor([1.0 / (0.8854 * radius)])))
        self.power = nn.Parameter(softplus_inverse(torch.tensor([0.23])))
        self.factors = nn.Parameter(softplus_inverse(torch.tensor(factors)))
        self.rates = nn.Parameter(softplus_inverse(torch.tensor(rates)))

    def forward(self, distances: Tensor, envelope: Tensor, charges: Tensor, pairs: Tensor) -> Tensor:
        """Half the energy of each pair `[pairs]`, eV, which is its center's share.

        Args:
            distances: `[pairs]`, Å.
            envelope: f, `[pairs]`.
            charges: of the nuclei `[atoms]`, e.
            pairs: `[2, pairs]`.
        """
        centers, neighbors = pairs
        sizes = charges ** softplus(self.power)
        reduced = distances * (sizes[centers] + sizes[neighbors]) * softplus(self.scale)
        factors = softplus(self.factors)
        screening = torch.exp(-reduced[:, None] * softplus(self.rates)) @ (factors / factors.sum())
        return 0.5 * self.coulomb * charges[centers] * charges[neighbors] / distances * screening * envelope


def softplus_inverse(values: Tensor) -> Tensor:
    """x with softplus(x) = values, which are positive."""
    return values + torch.log(-torch.expm1(-values))
