"""London dispersion from reference polarizabilities: D4."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from adiabat.elements import MAX_NUMBER
from adiabat.geometry import Graph
from adiabat.nn.cutoffs import smooth_step
from adiabat.nn.zbl import softplus_inverse
from adiabat.units import BOHR, HARTREE

REFERENCES, FREQUENCIES, COUNTS = 7, 23, 3
# DFT-D4's constants (doi:10.1063/1.5090222): of the charge scaling (g_a, g_c), of the covalent
# coordination number (k_2, k_4, k_5, 2 k_6², k_n) and of the weights of references
CHARGE_HEIGHT, CHARGE_STEEPNESS = 3.0, 2.0
RADII, NEGATIVITY, NEGATIVITY_SHIFT, NEGATIVITY_WIDTH, COUNTING = 4.0 / 3.0, 4.10451, 19.08857, 254.5553148552, 7.5
WEIGHTING = 6.0
# reference systems per element: shape of each table after [elements]
TABLES: Mapping[str, tuple[int, ...]] = {
    "radii": (),  # covalent, bohr
    "negativities": (),  # electronegativities
    "charges": (),  # effective nuclear charge, e
    "hardness": (),  # chemical hardness, hartree/e²
    "ratios": (),  # √(½ √Z ⟨r⁴⟩/⟨r²⟩), bohr
    "fallback": (REFERENCES,),  # weights of references where no reference is near
    "reference_charges": (REFERENCES,),  # of the atom in its reference system, e
    "counts": (REFERENCES, COUNTS),  # coordination numbers of the Gaussians of a reference
    "count_widths": (REFERENCES, COUNTS),  # their exponents' factors
    "count_mask": (REFERENCES, COUNTS),  # 1 where there is a Gaussian, else 0
    "polarizabilities": (REFERENCES, FREQUENCIES),  # of the reference system, for the atom, bohr³
    "partners": (REFERENCES, FREQUENCIES),  # share of the system's other atoms, to be subtracted, bohr³
    "partner_charges": (REFERENCES,),  # effective nuclear charge of those, e
    "partner_hardness": (REFERENCES,),  # their hardness, hartree/e²
    "partner_shifts": (REFERENCES,),  # their partial charge, e
}


class D4Dispersion(nn.Module):
    """−½ Σ_j C₆ (s₆ / (r⁶ + R⁶) + 3 s₈ Q_i Q_j / (r⁸ + R⁸)), R = a₁ √(3 Q_i Q_j) + a₂ (doi:10.1063/1.5090222).

    C₆ follows from the polarizabilities of reference systems, weighted by the atom's coordination number and scaled
    by its charge. s₈, a₁ and a₂ are trained, as the inverse of softplus, and start at those of Hartree-Fock; s₆ is 1
    and a sum over three bodies left out, as in SpookyNet (doi:10.1038/s41467-021-27504-0).

    The tables of reference systems come with imported weights and are not part of adiabat: until then they are NaN.

    Args:
        elements: atomic numbers, ascending.
        reach: Å; value and slope of the pairs' energy vanish there. None for all distances.
        bohr: Å, as a program rounds it.
        hartree: eV, as a program rounds it.
    """

    row: Tensor
    s6: Tensor
    frequency_weights: Tensor
    radii: Tensor
    negativities: Tensor
    charges: Tensor
    hardness: Tensor
    ratios: Tensor
    fallback: Tensor
    reference_charges: Tensor
    counts: Tensor
    count_widths: Tensor
    count_mask: Tensor
    polarizabilities: Tensor
    partners: Tensor
    partner_charges: Tensor
    partner_hardness: Tensor
    partner_shifts: Tensor

    def __init__(self, elements: Sequence[int], reach: float | None, bohr: float = BOHR, hartree: float = HARTREE):
        super().__init__()
        self.bohr, self.hartree = bohr, hartree
        self.reach = None if reach is None else reach / bohr
        self.register_buffer("s6", torch.tensor(1.0))
        self.damping = nn.Parameter(softplus_inverse(torch.tensor([1.61679827, 0.44959224, 3.35743605])))
        self.charge_scale = nn.Parameter(softplus_inverse(torch.tensor(1.0)))
        for name, shape in TABLES.items():
            self.register_buffer(name, torch.full((len(elements), *shape), math.nan))
        self.register_buffer("frequency_weights", torch.full((FREQUENCIES,), math.nan))
        row = torch.zeros(MAX_NUMBER + 1, dtype=torch.int64)
        row[list(elements)] = torch.arange(len(elements))
        self.register_buffer("row", row, persistent=False)

    @property
    def known(self) -> bool:
        """Whether the tables of reference systems are there."""
        return not bool(self.frequency_weights.isnan().any())

    def forward(self, distances: Tensor, charges: Tensor, pairs: Tensor, graph: Graph) -> Tensor:
        """Half the energy of each pair `[pairs]`, eV, which is its center's share.

        Args:
            distances: `[pairs]`, Å.
            charges: of atoms `[atoms]`, e.
            pairs: `[2, pairs]`.
            graph: whose atoms these are.
        """
        element, r = self.row[graph.system.numbers], distances / self.bohr
        centers, neighbors = pairs
        weights = self._weights(self._coordination(r, pairs, element), charges, element)
        kinds = element[centers] * self.radii.shape[0] + element[neighbors]
        c6 = self._reference_c6().index_select(0, kinds)
        c6 = (c6 * weights[centers][:, :, None] * weights[neighbors][:, None, :]).sum(dim=(1, 2))
        s8, a1, a2 = softplus(self.damping).unbind()
        ratio = math.sqrt(3.0) * self.ratios[element[centers]] * self.ratios[element[neighbors]]
        radius = a1 * ratio + a2
        damped = self.s6 * self._inverse(r, radius, 6) + s8 * ratio.square() * self._inverse(r, radius, 8)
        return -0.5 * self.hartree * c6 * damped

    def _coordination(self, r: Tensor, pairs: Tensor, element: Tensor) -> Tensor:
        """Covalent coordination numbers `[atoms]`."""
        first, second = element[pairs[0]], element[pairs[1]]
        radii = RADII * (self.radii[first] + self.radii[second])
        difference = (self.negativities[first] - self.negativities[second]).abs()
        heights = NEGATIVITY * torch.exp(-((difference + NEGATIVITY_SHIFT) ** 2) / NEGATIVITY_WIDTH)
        counts = 0.5 * heights * (1.0 + torch.erf(-COUNTING * (r - radii) / radii))
        if self.reach is not None:  # over the last Bohr radius in Å, taken for one in bohr, as in the program
            counts = counts * smooth_step(r, self.reach - self.bohr, self.reach)
        return r.new_zeros(element.shape[0]).index_add(0, pairs[0], counts)

    def _weights(self, counts: Tensor, charges: Tensor, element: Tensor) -> Tensor:
        """Share of each reference times the scaling by the charge `[atoms, references]`."""
        away = (counts[:, None, None] - self.counts[element]).square()
        gaussians = self.count_mask[element] * torch.exp(-WEIGHTING * self.count_widths[element] * away)
        shares = gaussians.sum(dim=2)
        norm = shares.sum(dim=1, keepdim=True)
        near = norm > 1e-8
        shares = torch.where(near, shares / torch.where(near, norm, torch.ones_like(norm)), self.fallback[element])
        core = self.charges[element][:, None]
        reference = core + self.reference_charges[element] * softplus(self.charge_scale)
        return shares * _scaling(reference, core + charges[:, None], self.hardness[element][:, None])

    def _reference_c6(self) -> Tensor:
        """C₆ of pairs of references `[elements², references, references]`, hartree·bohr⁶."""
        core = self.partner_charges
        scaling = _scaling(core, core + self.partner_shifts * softplus(self.charge_scale), self.partner_hardness)
        alpha = (self.polarizabilities - self.partners * scaling[:, :, None]).clamp(min=0.0)
        kinds = alpha.shape[0]
        flat = alpha.reshape(-1, FREQUENCIES)
        c6 = (3.0 / math.pi) * (flat * self.frequency_weights) @ flat.T
        c6 = c6.view(kinds, REFERENCES, kinds, REFERENCES).transpose(1, 2)
        return c6.reshape(-1, REFERENCES, REFERENCES)

    def _inverse(self, r: Tensor, radius: Tensor, power: int) -> Tensor:
        """1 / (r^p + R^p), without its value and slope at the reach."""
        damped = radius**power
        values = 1.0 / (r**power + damped)
        if self.reach is None:
            return values
        end = self.reach**power
        values = values - 1.0 / (end + damped) + power * end / (end + damped) ** 2 * (r / self.reach - 1.0)
        return torch.where(r < self.reach, values, torch.zeros_like(values))


def _scaling(reference: Tensor, charge: Tensor, hardness: Tensor) -> Tensor:
    """ζ, how a polarizability changes with the charge of the nucleus and its electrons."""
    there = charge > 1e-8
    inverse = reference / torch.where(there, charge, torch.ones_like(charge))
    exponent = torch.where(there, torch.exp(hardness * CHARGE_STEEPNESS * (1.0 - inverse)), torch.zeros_like(inverse))
    return torch.exp(CHARGE_HEIGHT * (1.0 - exponent))
