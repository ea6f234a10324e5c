"""Atomic environment vectors (Smith, Isayev and Roitberg, Chem. Sci. 8, 3192 (2017), doi:10.1039/C6SC05720A).

| paper | here | shape, unit |
|---|---|---|
| R_ij, θ_jik | `r`, its cosine | [pairs], [triplets] |
| R_C of G^R and G^A | `terms.cutoff`, `terms.angular_cutoff` | Å |
| η, R_s of G^R | `terms.radial_eta`, `terms.radial_shifts` | Å⁻², Å |
| η, ζ, R_s, θ_s of G^A | `terms.angular_eta`, `terms.zeta`, `terms.angular_shifts`, `terms.angles` | Å⁻², 1, Å, rad |
| G^R, G^A (eqs. 3, 4) | columns of the rows | [atoms, size], 1 |

A row has a block of G^R for each element of the neighbor, then one of G^A for each unordered pair of elements
(first with first, first with second, ...), elements in ascending order. Inside a block the parameters vary in the
order η, ζ, R_s, θ_s, the last fastest.

Departures from the paper, all from NeuroChem (doi:10.1063/1.5023802): G^R carries a factor ¼; the cosine of an angle
is multiplied by 0.95 before the angle is taken, which keeps derivatives finite for collinear atoms; every unordered
pair of neighbors counts once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import DescriptorConfig, pair_blocks
from adiabat.descriptors.rows import RowDescriptor
from adiabat.descriptors.symmetry_terms import power
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.environment_vectors import NAME, EnvironmentVectors
from adiabat.nn.constants import ConstantModule
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.settings import Settings

SHRINK = 0.95  # of cosines, in NeuroChem
WEIGHT = 0.25  # of radial terms, there
Positive = Annotated[float, Field(gt=0.0)]


def _even(first: float, step: float, count: int) -> tuple[float, ...]:
    return tuple(round(first + step * k, 10) for k in range(count))


class Terms(Settings):
    """Parameters of the functions: every combination is one. Defaults: ANI-1x (doi:10.1063/1.5023802)."""

    cutoff: float = Field(default=5.2, gt=0.0)
    """R_C of the radial functions, Å."""
    radial_eta: tuple[Positive, ...] = Field(default=(16.0,), min_length=1)
    """η of the radial functions, Å⁻²."""
    radial_shifts: tuple[float, ...] = Field(default=_even(0.9, 0.26875, 16), min_length=1)
    """R_s of the radial functions, Å."""
    angular_cutoff: float = Field(default=3.5, gt=0.0)
    """R_C of the angular functions, Å, at most that of the radial ones."""
    angular_eta: tuple[Positive, ...] = Field(default=(8.0,), min_length=1)
    """η of the angular functions, Å⁻²."""
    zeta: tuple[Annotated[float, Field(ge=1.0)], ...] = Field(default=(32.0,), min_length=1)
    """ζ, sharpness in the angle."""
    angular_shifts: tuple[float, ...] = Field(default=_even(0.9, 0.65, 4), min_length=1)
    """R_s of the angular functions, Å, for the mean of the two distances."""
    angles: tuple[float, ...] = _even(0.19634954084936207, 0.39269908169872414, 8)
    """θ_s, radians; none for a descriptor without angles."""


class AEVConfig(Terms, DescriptorConfig):
    """Atomic environment vectors as a descriptor."""

    kind: Literal["aev"] = "aev"
    """Name of the descriptor."""

    def build(self, elements: Iterable[int]) -> AEV:
        return AEV(self, elements)


class AEV(RowDescriptor, ConstantModule):
    """Rows of radial and angular functions of each atom's surroundings.

    Args:
        terms: parameters of the functions.
        elements: atomic numbers.
        weight: of radial functions.
        shrink: of the cosines of angles; with 1, slopes of three atoms in line are not finite.

    Raises ConfigError if the angular cutoff is the larger one.
    """

    library: ClassVar[str] = NAME
    element_pair: Tensor
    radial: Tensor
    ranges: Tensor
    turns: Tensor

    def __init__(self, terms: Terms, elements: Iterable[int], weight: float = WEIGHT, shrink: float = SHRINK):
        super().__init__({int(z) for z in elements}, terms.cutoff)
        if terms.angular_cutoff > terms.cutoff:
            raise ConfigError(
                f"angular_cutoff {terms.angular_cutoff} Å is larger than cutoff {terms.cutoff} Å: make it smaller."
            )
        self.terms, self.weight, self.shrink = terms, weight, shrink
        kinds = len(self.elements)
        radial = list(product(terms.radial_eta, terms.radial_shifts))
        ranges = list(product(terms.angular_eta, terms.angular_shifts))
        self.zetas = tuple(terms.zeta)
        columns = {
            "radial": radial,  # eta, shift
            "ranges": ranges,  # eta, shift
            "turns": [(math.cos(a), math.sin(a)) for a in terms.angles],
        }
        for name, rows in columns.items():
            self.register_constant(name, np.array(rows, dtype=np.float64).reshape(-1, 2))
        self.angular = len(ranges) * len(terms.zeta) * len(terms.angles)
        blocks = kinds * (kinds + 1) // 2
        self.sizes = (kinds * len(radial) + blocks * self.angular,) * kinds
        self.register_buffer("element_pair", pair_blocks(kinds), persistent=False)
        self.cut = CosineCutoff(terms.cutoff)
        self.angular_cut = CosineCutoff(terms.angular_cutoff)

    def made_kernel(self) -> EnvironmentVectors:
        radial, ranges, turns = (torch.tensor(self._exact[name]) for name in ("radial", "ranges", "turns"))
        return EnvironmentVectors(
            radial, ranges, self.zetas, turns, len(self.terms.angular_shifts), len(self.elements),
            (self.cutoff, self.terms.angular_cutoff), (self.weight, self.shrink),
        )  # fmt: skip

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(triplets=graph.triplets_within(self.terms.angular_cutoff))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        r = vectors.norm(dim=1)
        kinds = self.element[graph.system.numbers]
        atoms, near = graph.system.atoms, len(self.elements)
        rows = self._sum(self._radial_values(r), graph.centers * near + kinds[graph.neighbors], atoms, near)
        if not self.angular:
            return rows
        found = graph.triplets_within(self.terms.angular_cutoff) if graph.triplets is None else graph.triplets
        first, second = found.unbind(0)
        blocks = near * (near + 1) // 2
        of_neighbor = kinds[graph.neighbors]
        block = self.element_pair[of_neighbor[first], of_neighbor[second]]
        values = self._angular_values(vectors, r, first, second)
        more = self._sum(values, graph.centers[first] * blocks + block, atoms, blocks)
        return torch.cat([rows, more], dim=1)

    @staticmethod
    def _sum(values: Tensor, index: Tensor, rows: int, blocks: int) -> Tensor:
        """Adds `[n, functions]` into `[rows, blocks · functions]` at `index = row · blocks + block`."""
        out = values.new_zeros((rows * blocks, values.shape[1])).index_add(0, index, values)
        return out.reshape(rows, blocks * values.shape[1])

    def _radial_values(self, r: Tensor) -> Tensor:
        """Summands of G^R `[pairs, functions]` (eq. 3)."""
        eta, shift = self.radial.to(r.dtype).unbind(1)
        return torch.exp(-eta * (r[:, None] - shift) ** 2) * (self.weight * self.cut(r))[:, None]

    def _angular_values(self, vectors: Tensor, r: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Summands of G^A `[triplets, functions]` (eq. 4)."""
        cut = self.angular_cut(r)
        r_ij, r_ik = r.index_select(0, first), r.index_select(0, second)
        dots = (vectors.index_select(0, first) * vectors.index_select(0, second)).sum(dim=1)
        cosine = self.shrink * dots / (r_ij * r_ik)
        sine = torch.sqrt(1.0 - cosine * cosine)
        across, up = self.turns.to(r.dtype).unbind(1)
        base = 1.0 + cosine[:, None] * across + sine[:, None] * up  # cos(θ − θ_s) = cos θ cos θ_s + sin θ sin θ_s
        eta, shift = self.ranges.to(r.dtype).unbind(1)
        apart = torch.exp(-eta * (0.5 * (r_ij + r_ik)[:, None] - shift) ** 2)
        apart = apart * (cut.index_select(0, first) * cut.index_select(0, second))[:, None]
        apart = apart.unflatten(1, (-1, 1, len(self.terms.angular_shifts), 1))
        turned = torch.stack([power(base, zeta) for zeta in self.zetas], dim=1)
        return (apart * turned[:, None, :, None, :]).flatten(1)
