"""FCHL19: two- and three-body terms discretized for kernels between atoms.

A. S. Christensen, L. A. Bratholm, F. A. Faber and O. A. von Lilienfeld, J. Chem. Phys. 152, 044107 (2020),
doi:10.1063/1.5126701; program whose numbers it gives: qmllib.

| paper | here | shape, unit |
|---|---|---|
| r_IJ | `r` | [pairs], Å |
| G²-body (eq. 3): log-normal in R_s, divided by r^N2 | `_radial` | [pairs, radial] |
| θ_KIJ and the angles at the neighbors | `at_center`, `at_first`, `at_second` | [triplets], their cosines |
| ξ₃ (eq. 6) | `strength` | [triplets] |
| G³-body (eq. 4): Gaussians in (r_IJ + r_IK)/2 times a Fourier series in θ | `_angular` | [triplets, features] |

Departures from the paper: none in values; sines of multiple angles are products of one sine and a polynomial of the
cosine, so that slopes stay finite where three atoms are in line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import DescriptorConfig, pair_blocks
from adiabat.descriptors.rows import RowDescriptor
from adiabat.geometry import Graph
from adiabat.kernels.fchl19 import NAME, FCHL19Terms, Grids

TINY = 1e-12  # under a square root, where three atoms are in line


class FCHL19Config(DescriptorConfig):
    """Options of FCHL19; defaults are those of the paper for energies and forces of molecules."""

    kind: Literal["fchl19"] = "fchl19"
    """Name of the descriptor."""
    cutoff: float = Field(default=8.0, gt=0.0)
    """Radius of the two-body terms, Å."""
    angular_cutoff: float = Field(default=8.0, gt=0.0)
    """Radius of the three-body terms, Å."""
    radial: int = Field(default=24, ge=1)
    """Grid points of the two-body terms."""
    angular: int = Field(default=20, ge=1)
    """Grid points of the three-body terms."""
    order: int = Field(default=1, ge=1)
    """Terms of the Fourier series; odd multiples of the angle."""
    radial_width: float = Field(default=0.32, gt=0.0)
    """η₂, Å²."""
    angular_width: float = Field(default=2.7, gt=0.0)
    """η₃, Å⁻²."""
    smearing: float = Field(default=math.pi, gt=0.0)
    """ζ, width of the angles."""
    radial_decay: float = Field(default=1.8, ge=0.0)
    """N₂, power of the distance that two-body terms are divided by."""
    angular_decay: float = Field(default=0.57, ge=0.0)
    """N₃, power of the three distances that three-body terms are divided by."""
    angular_weight: float = Field(default=13.4, ge=0.0)
    """Weight of the three-body terms."""

    def build(self, elements: Iterable[int]) -> FCHL19:
        return FCHL19(self, elements)


class FCHL19(RowDescriptor):
    """Two-body terms of every element, then three-body terms of every pair of elements p ≤ q."""

    library: ClassVar[str] = NAME
    block: Tensor
    shells: Tensor
    angular_shells: Tensor
    series: Tensor

    def __init__(self, config: FCHL19Config, elements: Iterable[int]):
        super().__init__(elements, max(config.cutoff, config.angular_cutoff))
        self.config = config
        kinds = len(self.elements)
        for name, count, reach in (
            ("shells", config.radial, config.cutoff),
            ("angular_shells", config.angular, config.angular_cutoff),
        ):
            grid = torch.linspace(0.0, reach, count + 1, dtype=torch.float64)[1:]
            self.register_buffer(name, grid, persistent=False)
        self.register_buffer("block", pair_blocks(kinds), persistent=False)
        odd = torch.arange(1, 2 * config.order, 2, dtype=torch.float64)
        self.register_buffer("series", 2.0 * torch.exp(-0.5 * (config.smearing * odd).square()), persistent=False)
        self.width = 2 * config.order * config.angular
        self.sizes = (kinds * config.radial + kinds * (kinds + 1) // 2 * self.width,) * kinds

    @property
    def weight(self) -> float:
        """Factor of all three-body terms."""
        return self.config.angular_weight * math.sqrt(self.config.angular_width / math.pi)

    def made_kernel(self) -> FCHL19Terms:
        c = self.config
        cutoffs, widths = (c.cutoff, c.angular_cutoff), (c.radial_width, c.angular_width)
        grids = Grids(c.radial, c.angular, *cutoffs, *widths, c.radial_decay, c.angular_decay, self.weight)
        return FCHL19Terms(grids, self.series, len(self.elements))

    def values(self, graph: Graph) -> Tensor:
        """What `forward` gives, without gradient history and in C++ where that can be."""
        with torch.no_grad():
            return self.kernel()(*self.given(graph)) if self.is_fast(graph) else self.forward(graph)

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(triplets=graph.triplets_within(self.config.angular_cutoff))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        kinds, atoms = len(self.elements), graph.system.atoms
        element, r = self.element[graph.system.numbers], vectors.norm(dim=1)
        place = graph.centers * kinds + element[graph.neighbors]
        radial = _summed(self._radial(r), place, atoms * kinds).view(atoms, -1)
        found = graph.triplets_within(self.config.angular_cutoff) if graph.triplets is None else graph.triplets
        first, second = found.unbind(0)
        blocks = kinds * (kinds + 1) // 2
        block = self.block[element[graph.neighbors[first]], element[graph.neighbors[second]]]
        values = self._angular(vectors.index_select(0, first), vectors.index_select(0, second))
        angular = _summed(values, graph.centers[first] * blocks + block, atoms * blocks).view(atoms, -1)
        return torch.cat((radial, angular), dim=1)

    def _radial(self, r: Tensor) -> Tensor:
        config, shells = self.config, self.shells.to(r)
        variance = torch.log1p(config.radial_width / r.square())[:, None]
        mean = (r.log() - 0.5 * torch.log1p(config.radial_width / r.square()))[:, None]
        normal = torch.exp(-0.5 * (shells.log() - mean).square() / variance) / (
            shells * (2.0 * math.pi * variance).sqrt()
        )
        return normal * (_fade(r, config.cutoff) * r ** (-config.radial_decay))[:, None]

    def _angular(self, ij: Tensor, ik: Tensor) -> Tensor:
        config = self.config
        r_ij, r_ik = ij.norm(dim=1), ik.norm(dim=1)
        jk = ik - ij
        r_jk = jk.norm(dim=1)
        at_center = (ij * ik).sum(dim=1) / (r_ij * r_ik)
        at_first = -(ij * jk).sum(dim=1) / (r_ij * r_jk)
        at_second = (ik * jk).sum(dim=1) / (r_ik * r_jk)
        strength = 1.0 + 3.0 * at_center * at_first * at_second
        strength = strength * (r_ij * r_ik * r_jk) ** (-config.angular_decay)
        strength = strength * _fade(r_ij, config.angular_cutoff) * _fade(r_ik, config.angular_cutoff)
        strength = strength * self.weight
        middle = 0.5 * (r_ij + r_ik)[:, None] - self.angular_shells.to(ij)
        shells = torch.exp(-config.angular_width * middle.square()) * strength[:, None]
        return (shells[:, :, None] * self._fourier(at_center)[:, None, :]).flatten(1)

    def _fourier(self, cosine: Tensor) -> Tensor:
        """2 exp(−(ζ n)²/2) of cos nθ and sin nθ for odd n `[triplets, 2·order]`."""
        sine = (1.0 - cosine.square()).clamp(min=TINY).sqrt()
        double = 2.0 * cosine.square() - 1.0
        first, second = cosine, cosine  # cos nθ and cos (n − 2)θ
        upper, lower = torch.ones_like(cosine), -torch.ones_like(cosine)  # sin nθ / sin θ, of n and n − 2
        found = []
        for weight in self.series.to(cosine):
            found += [weight * first, weight * upper * sine]
            first, second = 2.0 * double * first - second, first
            upper, lower = 2.0 * double * upper - lower, upper
        return torch.stack(found, dim=1)


def _fade(r: Tensor, cutoff: float) -> Tensor:
    """½ (cos(πr/R) + 1), zero beyond the cutoff R."""
    return torch.where(r < cutoff, 0.5 * (torch.cos(math.pi * r / cutoff) + 1.0), torch.zeros_like(r))


def _summed(values: Tensor, place: Tensor, size: int) -> Tensor:
    return values.new_zeros((size, values.shape[1])).index_add(0, place, values)
