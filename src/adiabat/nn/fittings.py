"""What a Deep Potential's networks give beside energies: dipoles, polarizabilities and other properties of atoms.

Dipoles and polarizabilities: L. Zhang et al., Phys. Rev. B 102, 041121 (2020), doi:10.1103/PhysRevB.102.041121, and
G. M. Sommers et al., Phys. Chem. Chem. Phys. 22, 10592 (2020), doi:10.1039/D0CP01893G. With the vectors T_im that a
descriptor has for each atom and the networks' outputs N_im of its invariant features, μ_i = Σ_m N_im T_im and
α_i = Σ_mn T_im N_imn T_in.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.settings import Settings


class EnergyFitting(Settings):
    """Energies of atoms, and forces and stress with them."""

    kind: Literal["energy"] = "energy"
    """What the networks give."""


class DipoleFitting(Settings):
    """Dipoles of atoms, whose sum is the system's."""

    kind: Literal["dipole"] = "dipole"
    """What the networks give."""


class PolarizabilityFitting(Settings):
    """Polarizabilities of atoms, whose sum is the system's."""

    kind: Literal["polarizability"] = "polarizability"
    """What the networks give."""
    matrix: Literal["diagonal", "full"] = "diagonal"
    """Whether N_imn is a diagonal matrix or a full one, made symmetric (fit_diag)."""


class PropertyFitting(Settings):
    """Numbers of atoms that do not turn with the system, such as a density of states, and their sum or mean."""

    kind: Literal["property"] = "property"
    """What the networks give."""
    name: str = "property"
    """What it is, for people."""
    size: int = Field(default=1, ge=1)
    """How many numbers an atom has."""
    mean: bool = False
    """Whether the system has the mean of its atoms' numbers instead of their sum."""


Fitting = Annotated[
    EnergyFitting | DipoleFitting | PolarizabilityFitting | PropertyFitting, Field(discriminator="kind")
]


class FittingHead(nn.Module):
    """From the networks' outputs N to the atoms' tensors: s_Z N + c_Z, contracted with the atoms' vectors.

    Args:
        options: any but an EnergyFitting.
        kinds: number of elements.
        vectors: how many an atom has.
    """

    factor: Tensor

    def __init__(self, options: DipoleFitting | PolarizabilityFitting | PropertyFitting, kinds: int, vectors: int):
        super().__init__()
        self.options, self.vectors = options, vectors
        self.outputs = vectors
        if isinstance(options, PropertyFitting):
            self.outputs = options.size
        elif isinstance(options, PolarizabilityFitting):
            if options.matrix == "full":
                self.outputs = vectors**2
            self.isotropic = nn.Parameter(torch.zeros(kinds))  # part of an element, whatever is around
        self.constant = nn.Parameter(torch.zeros(kinds, self.outputs))
        self.register_buffer("factor", torch.ones(kinds, self.outputs))

    def forward(self, values: Tensor, element: Tensor, vectors: Tensor | None) -> Tensor:
        """Dipoles `[atoms, 3]`, polarizabilities `[atoms, 3, 3]` or numbers `[atoms, size]`.

        Args:
            values: the networks' outputs `[atoms, outputs]`.
            element: places of the atoms' elements `[atoms]`.
            vectors: T `[atoms, 3, vectors]`; None for numbers.
        """
        values = values * self.factor.index_select(0, element) + self.constant.index_select(0, element)
        if vectors is None:
            return values
        if isinstance(self.options, DipoleFitting):
            return torch.bmm(vectors, values[:, :, None])[:, :, 0]
        if self.outputs == self.vectors:
            right = values[:, :, None] * vectors.transpose(1, 2)
        else:
            matrix = values.view(-1, self.vectors, self.vectors)
            right = torch.bmm(0.5 * (matrix + matrix.transpose(1, 2)), vectors.transpose(1, 2))
        found = torch.bmm(vectors, right)
        own = self.isotropic.index_select(0, element)
        return found + own[:, None, None] * torch.eye(3, dtype=found.dtype, device=found.device)
