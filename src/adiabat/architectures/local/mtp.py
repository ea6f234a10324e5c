"""MTP: moment tensor potentials, linear in contractions of moments whose radial functions are trained too.

A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183; several elements, trained radial
functions and the program MLIP-2, whose numbers it gives: I. S. Novikov et al., Mach. Learn.: Sci. Technol. 2, 025002
(2021), doi:10.1088/2632-2153/abc9fe.

| paper | here | shape, unit |
|---|---|---|
| B_α | `descriptor.inner(graph)` | [atoms, size], 1 |
| ξ_α | `weights` | [size], eV |
| constants of species | `constants` | [elements], eV |
| c^(β)_{μ,z_i,z_j} | `descriptor.inner.coefficients` | [elements², radial, basis], Å⁻² |
| V_i = Σ_α ξ_α B_α | `regressed` | [atoms], eV |

Departures from the paper: the weights of the contractions are those of least squares at any radial functions, so that
only these are searched (see `fit.projection`), where MLIP-2 searches both together; the linear weights have the
prior of the linear fitter; the program's factor `scaling` is part of the coefficients.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.described import DescribedPotential
from adiabat.descriptors import mtp
from adiabat.descriptors.marked import Marked
from adiabat.nn.heads import LinearHead
from adiabat.potential import ArchitectureConfig


class MTPConfig(ArchitectureConfig):
    """Options of a moment tensor potential; the defaults are those of MLIP-2's untrained files."""

    method: Literal["mtp"] = "mtp"
    """Name of the architecture."""
    level: int = Field(default=16, ge=2, le=28, multiple_of=2)
    """Highest level of the contractions; 16 gives 92 of them, 28 gives 2445."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of the environments, Å."""
    basis: int = Field(default=8, ge=1)
    """Chebyshev polynomials in a radial function."""
    inner: float | None = Field(default=None, ge=0.0)
    """Distance at which the polynomials' variable is −1, Å; null for the smallest distance of the training data."""

    def descriptor(self) -> mtp.MTPConfig:
        """The descriptor's options."""
        return mtp.MTPConfig(cutoff=self.cutoff, level=self.level, basis=self.basis, inner=self.inner)


class MTP(DescribedPotential):
    """V_i = ξ_{Z_i} + Σ_α ξ_α B_α (2021, eq. 2): one set of weights for all elements, and a constant for each."""

    config: MTPConfig
    descriptor: Marked
    head: LinearHead

    def __init__(self, config: MTPConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        descriptor = Marked(config.descriptor().build(elements))
        super().__init__(config, elements, descriptor, LinearHead(1, descriptor.size))
        self.element.clamp_(max=0)  # to the head, all elements are one; the marks tell them apart

    @property
    def moments(self) -> mtp.MTP:
        """The descriptor without marks."""
        inner = self.descriptor.inner
        assert isinstance(inner, mtp.MTP)
        return inner

    @property
    def constants(self) -> Tensor:
        """Energy of a lone atom of each element `[elements]`, eV."""
        row = self.head.weights[0]
        return row[0] + torch.cat((row.new_zeros(1), row[1 : len(self.elements)]))

    @property
    def weights(self) -> Tensor:
        """ξ `[size]`, eV."""
        return self.head.weights[0, len(self.elements) :]

    def set_weights(self, constants: Tensor, weights: Tensor) -> None:
        """Takes over constants `[elements]` and ξ `[size]`, eV."""
        row = torch.cat((constants[:1], constants[1:] - constants[0], weights))
        with torch.no_grad():
            self.head.weights.copy_(row[None])

    @classmethod
    def fitter_for(cls, config: MTPConfig) -> str:
        return "projection"
