"""Tersoff: bonds that weaken as others come near.

J. Tersoff, Phys. Rev. B 37, 6991 (1988), doi:10.1103/PhysRevB.37.6991; silicon and mixtures: Phys. Rev. B 39, 5566
(1989), doi:10.1103/PhysRevB.39.5566. Programs whose numbers it gives: LAMMPS (pair_style tersoff), ASE (Tersoff); the
.tersoff files of LAMMPS are read and written.

| paper | here | shape, unit |
|---|---|---|
| r_ij | `r` | [pairs], Å |
| f_C(r) | `_cutoff` | [pairs] or [triplets], 1 |
| ζ_ij | `zeta` | [pairs], 1 |
| b_ij = (1 + βⁿ ζⁿ)^(−1/2n) | `order` | [pairs], 1 |
| g(θ) = γ (1 + c²/d² − c²/[d² + (h − cos θ)²]) | `angular` | [triplets], 1 |
| V_ij = f_C (A e^(−λ₁r) − b_ij B e^(−λ₂r)) | `bonds` | [pairs], eV |
| E_i = ½ Σ_j V_ij | `atomic_energies` | [atoms], eV |

Departures from the papers: as in LAMMPS, every triplet of elements has parameters of its own; ζ has the exponential
of λ₃ᵐ (r_ij − r_ik)ᵐ, whose exponent is kept within ±69.08, and a factor γ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import softplus

from adiabat.elements import symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.triplet_entries import TripletEntry, TripletTable, close_triplets, elements_of, with_entries
from adiabat.potential import ArchitectureConfig, AtomicPotential

LARGEST = 69.0776  # of an exponent, about log 1e30, as in LAMMPS


class TersoffEntry(TripletEntry):
    """Parameters of a triplet; those of a bond (n, β, λ₂, B, λ₁, A) count where the last two elements are alike."""

    m: float = 3.0
    """Power of the exponent in ζ, 1 or 3."""
    gamma: float = 1.0
    """Factor of the angular function γ."""
    lambda3: float
    """Decay of the exponential in ζ, λ₃, Å⁻¹."""
    c: float
    """Strength of the angular function."""
    d: float
    """Sharpness of the angular function."""
    h: float
    """Cosine that weakens a bond least, cos θ₀."""
    n: float
    """Power in the bond order."""
    beta: float
    """Factor of ζ in the bond order, β."""
    lambda2: float
    """Decay of the attraction, λ₂, Å⁻¹."""
    b: float
    """Size of the attraction, B, eV."""
    r: float
    """Middle of the cutoff function, R, Å."""
    width: float
    """Half the width of the cutoff function, D, Å."""
    lambda1: float
    """Decay of the repulsion, λ₁, Å⁻¹."""
    a: float
    """Size of the repulsion, A, eV."""


SILICON = TersoffEntry(
    elements=("Si", "Si", "Si"), lambda3=0.0, c=100390.0, d=16.217, h=-0.59825, n=0.78734, beta=1.1e-6,
    lambda2=1.7322, b=471.18, r=2.85, width=0.15, lambda1=2.4799, a=1830.8,
)  # fmt: skip


class TersoffConfig(ArchitectureConfig):
    """Options of the Tersoff potential; the default is silicon of 1989."""

    method: Literal["tersoff"] = "tersoff"
    """Name of the architecture."""
    file: str | None = None
    """A .tersoff file of LAMMPS, which is read at once and becomes `entries`."""
    entries: tuple[TersoffEntry, ...] = ()
    """Parameters of each triplet of elements; those of silicon if neither is given."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return with_entries(data, TersoffEntry)


class Tersoff(AtomicPotential):
    """E = ½ Σ_i Σ_j f_C(r_ij) (A e^(−λ₁r) − b_ij B e^(−λ₂r))."""

    config: TersoffConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    @classmethod
    def own_elements(cls, config: TersoffConfig) -> tuple[int, ...]:
        return elements_of(config.entries or (SILICON,))

    def __init__(self, config: TersoffConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        entries = config.entries or (SILICON,)
        names = {symbol(z) for z in elements}
        own = [entry for entry in entries if set(entry.elements) <= names]
        super().__init__(config, elements, max((e.r + e.width for e in own), default=1.0))
        self.table = TripletTable(self.elements, own)
        for entry in own:
            if entry.m not in (1.0, 3.0):
                raise ConfigError(f"m = {entry.m:g} of {' '.join(entry.elements)} is no power that is known: 1 or 3.")
            if entry.width < 0.0 or entry.r <= entry.width:
                raise ConfigError(f"R = {entry.r:g} Å and D = {entry.width:g} Å: D must lie between 0 and R.")

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph).replace(triplets=close_triplets(graph, self.cutoff))

    def atomic_energies(self, graph: Graph) -> Tensor:
        vectors = graph.vectors()
        r = vectors.norm(dim=1)
        found = close_triplets(graph, self.cutoff) if graph.triplets is None else graph.triplets
        first, second = torch.cat((found, found.flip(0)), dim=1).unbind(0)
        zeta = r.new_zeros(r.shape[0]).index_add(0, first, self._crowding(graph, vectors, r, first, second))
        _, _, _, _, _, _, n, beta, lambda2, b, middle, width, lambda1, a = self.table.of_pairs(graph).unbind(1)
        x = beta * zeta
        weak = x > (2e-16 * n) ** (1.0 / n)  # below, the order is 1 and its slope may be infinite
        x = torch.where(weak, x, torch.ones_like(x))
        order = torch.where(weak, torch.exp(-softplus(n * torch.log(x)) / (2.0 * n)), torch.ones_like(x))
        bonds = a * torch.exp(-lambda1 * r) - order * b * torch.exp(-lambda2 * r)
        return graph.sum_over_neighbors(0.5 * _cutoff(r, middle, width) * bonds)

    def _crowding(self, graph: Graph, vectors: Tensor, r: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """f_C(r_ik) g(θ) e^((λ₃(r_ij − r_ik))ᵐ) `[triplets]`, the summands of ζ_ij."""
        m, gamma, lambda3, c, d, h, _, _, _, _, middle, width, _, _ = self.table.of_triplets(
            graph, first, second
        ).unbind(1)
        near, far = r.index_select(0, first), r.index_select(0, second)
        cosine = (vectors.index_select(0, first) * vectors.index_select(0, second)).sum(dim=1) / (near * far)
        apart = lambda3 * (near - far)
        exponent = torch.where(m == 3.0, apart**3, apart).clamp(-LARGEST, LARGEST)
        off = (h - cosine) ** 2  # c/d is thousands, so that the difference of the formula would lose digits
        angular = gamma * (1.0 + (c / d) ** 2 * off / (d**2 + off))
        return _cutoff(far, middle, width) * angular * torch.exp(exponent)


def _cutoff(r: Tensor, middle: Tensor, width: Tensor) -> Tensor:
    """½ − ½ sin(π/2 (r − R)/D) between R − D and R + D, 1 before, 0 behind."""
    place = ((r - middle) / width).clamp(-1.0, 1.0)
    return 0.5 * (1.0 - torch.sin(0.5 * math.pi * place))
