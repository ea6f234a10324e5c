"""Stillinger-Weber: pairs, and angles that want to be tetrahedral.

F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), doi:10.1103/PhysRevB.31.5262. Program whose numbers it
gives: LAMMPS (pair_style sw), whose .sw files are read and written.

| paper | here | shape, unit |
|---|---|---|
| r_ij | `r` | [pairs], Å |
| ε, σ, a, A, B, p, q, γ | rows of `table.of_pairs` | [pairs, 11] |
| λ, cos θ₀ = −1/3 | rows of `table.of_triplets` | [triplets, 11] |
| ε f₂(r/σ) | `pair` | [pairs], eV |
| exp(γ / (r/σ − a)) | `legs` | [pairs], 1 |
| ε h(r_ij, r_ik, θ_jik) | `angles` | [triplets], eV |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper: as in LAMMPS, every triplet of elements has parameters of its own, and `tol` shortens the
reach to where the exponential falls below it, which leaves jumps of that size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from adiabat.elements import symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.triplet_entries import TripletEntry, TripletTable, close_triplets, elements_of, with_entries
from adiabat.potential import ArchitectureConfig, AtomicPotential


class StillingerWeberEntry(TripletEntry):
    """Parameters of a triplet; those of a pair (σ, a, γ, A, B, p, q) count where the last two elements are alike."""

    epsilon: float
    """Energy ε, eV."""
    sigma: float
    """Length σ, Å."""
    a: float
    """Reach in units of σ."""
    lambda_: float
    """Strength of the angles λ, in units of ε."""
    gamma: float
    """Decay of the angles' legs γ, in units of σ."""
    cosine: float
    """Cosine of the angle of lowest energy cos θ₀."""
    A: float
    """Size of the pair's energy, in units of ε."""
    B: float
    """Size of its repulsion."""
    p: float
    """Power of its repulsion."""
    q: float
    """Power of its attraction."""
    tol: float = 0.0
    """Where the exponential is cut; 0 for never."""

    @property
    def angle(self) -> float:
        """λ ε, eV."""
        return self.lambda_ * self.epsilon

    @property
    def reach(self) -> float:
        """Å, up to where the pair counts."""
        whole = self.sigma * self.a
        if self.tol <= 0.0:
            return whole
        return whole + min(self.gamma, 1.0) * self.sigma / math.log(min(self.tol, 0.01))


SILICON = StillingerWeberEntry(
    elements=("Si", "Si", "Si"), epsilon=2.1683, sigma=2.0951, a=1.8, lambda_=21.0, gamma=1.2, cosine=-1.0 / 3.0,
    A=7.049556277, B=0.6022245584, p=4.0, q=0.0,
)  # fmt: skip


class StillingerWeberConfig(ArchitectureConfig):
    """Options of the Stillinger-Weber potential; the default is the paper's silicon."""

    method: Literal["stillinger_weber"] = "stillinger_weber"
    """Name of the architecture."""
    file: str | None = None
    """A .sw file of LAMMPS, which is read at once and becomes `entries`."""
    entries: tuple[StillingerWeberEntry, ...] = ()
    """Parameters of each triplet of elements; those of silicon if neither is given."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return with_entries(data, StillingerWeberEntry)


class StillingerWeber(AtomicPotential):
    """E = Σ_{i<j} ε f₂(r_ij/σ) + Σ_i Σ_{j<k} ε h(r_ij, r_ik, θ_jik)."""

    config: StillingerWeberConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    @classmethod
    def own_elements(cls, config: StillingerWeberConfig) -> tuple[int, ...]:
        return elements_of(config.entries or (SILICON,))

    def __init__(self, config: StillingerWeberConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        names = {symbol(z) for z in elements}
        own = [entry for entry in config.entries or (SILICON,) if set(entry.elements) <= names]
        super().__init__(config, elements, max((e.reach for e in own if e.elements[1] == e.elements[2]), default=1.0))
        self.table = TripletTable(self.elements, own)
        _check(own)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph).replace(triplets=close_triplets(graph, self.cutoff))

    def atomic_energies(self, graph: Graph) -> Tensor:
        vectors = graph.vectors()
        r = vectors.norm(dim=1)
        epsilon, sigma, a, _, gamma, _, A, B, p, q, tol = self.table.of_pairs(graph).unbind(1)
        inside = r < _reach(sigma, a, gamma, tol)
        left = torch.where(inside, r - a * sigma, -torch.ones_like(r))
        u = sigma / r
        pair = epsilon * A * (B * u**p - u**q) * torch.exp(sigma / left)
        pair = torch.where(inside, pair, torch.zeros_like(r))
        legs = torch.where(inside, torch.exp(gamma * sigma / left), torch.zeros_like(r))
        first, second = (close_triplets(graph, self.cutoff) if graph.triplets is None else graph.triplets).unbind(0)
        cosine = (vectors.index_select(0, first) * vectors.index_select(0, second)).sum(dim=1)
        cosine = cosine / (r.index_select(0, first) * r.index_select(0, second))
        row = self.table.of_triplets(graph, first, second)
        angles = row[:, 0] * row[:, 3] * (cosine - row[:, 5]) ** 2
        angles = angles * legs.index_select(0, first) * legs.index_select(0, second)
        centers = graph.centers.index_select(0, first)
        return graph.sum_over_neighbors(0.5 * pair).index_add(0, centers, angles)


def _reach(sigma: Tensor, a: Tensor, gamma: Tensor, tol: Tensor) -> Tensor:
    cut = tol > 0.0
    logarithm = torch.log(torch.where(cut, tol, torch.ones_like(tol) * 0.01).clamp(max=0.01))
    return a * sigma + torch.where(cut, gamma.clamp(max=1.0) * sigma / logarithm, torch.zeros_like(sigma))


def _check(entries: Sequence[StillingerWeberEntry]) -> None:
    """Raises ConfigError where the energy would depend on the order of atoms, beyond what files are rounded to."""
    found = {entry.elements: entry for entry in entries}
    for (first, second, third), entry in found.items():
        pair = second == third
        other = found[(second, first, first) if pair else (first, third, second)]
        for name in ("epsilon", "sigma", "a", "A", "B", "p", "q", "tol") if pair else ("angle", "cosine"):
            if not math.isclose(getattr(entry, name), getattr(other, name), rel_tol=1e-5):
                raise ConfigError(
                    f"{name} of {' '.join(entry.elements)} and of {' '.join(other.elements)} differ:"
                    " they are of the same atoms and must be equal."
                )
