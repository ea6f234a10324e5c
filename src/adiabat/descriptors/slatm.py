"""SLATM: spectra of London and Axilrod-Teller-Muto potentials, of atoms and of structures.

B. Huang and O. A. von Lilienfeld, Nat. Chem. 12, 945 (2020), doi:10.1038/s41557-020-0527-z; program whose numbers it
gives: qmllib.

| paper | here | shape, unit |
|---|---|---|
| one body: Z_I | `charges` | [atoms] |
| two bodies: ½ Σ_J Z_I Z_J δ(R − R_IJ) g(R), g = R^−6 | `_of_pairs` | [pairs, points] |
| three bodies: ⅓ Σ_JK Z_I Z_J Z_K δ(θ − θ_I) h(θ) | `_of_triplets` | [corners, points] |
| h = (1 + cos θ cos θ_J cos θ_K) / (R_IJ R_JK R_KI)³ | | |
| δ | a Gaussian at the points of the grid | |

Blocks of an atom's row: its number; distances by the neighbor's element; angles at the atom by the elements a ≤ b of
both ends. A structure's row is the sum of its atoms' rows, those of each element by themselves and pairs of the same
two elements together: elements, pairs of elements a ≤ b, and for every element in the middle the pairs at the ends.

Departures from the program: blocks that are zero, as their elements are not the atom's, are left out of its row; and
atoms' rows end smoothly at the cutoff unless told otherwise (`ending`), where qmllib's jump.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig, pair_blocks
from adiabat.descriptors.distributions import (
    Corners,
    angles,
    corner_slopes,
    cosines,
    pair_slopes,
    summed,
)
from adiabat.descriptors.structure import StructureConfig, StructureDescriptor
from adiabat.geometry import Graph
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.settings import Settings

NEAREST = 0.1  # Å, first point of the distances
MARGIN = math.radians(20.0)  # of the angles' grid on either side
Ending = Literal["cosine", "sharp"]


class Spectra(Settings):
    """Grids and widths of both spectra."""

    step: float = Field(default=0.03, gt=0.0)
    """Of the grid of distances, Å, about."""
    width: float = Field(default=0.05, gt=0.0)
    """Standard deviation of the Gaussians of distances, Å."""
    angle_step: float = Field(default=0.03, gt=0.0)
    """Of the grid of angles, radians, about."""
    angle_width: float = Field(default=0.05, gt=0.0)
    """Standard deviation of the Gaussians of angles, radians."""
    power: float = Field(default=6.0, ge=0.0)
    """Of the distance that distances are divided by; London's is 6."""


class ASLATMConfig(DescriptorConfig):
    """Options of the atoms' spectra."""

    kind: Literal["aslatm"] = "aslatm"
    """Name of the descriptor."""
    cutoff: float = Field(default=4.8, gt=0.0)
    """Where distances end, of triplets all three, Å."""
    spectra: Spectra = Spectra()
    """Grids and widths."""
    ending: Ending = "cosine"
    """cosine: distances are weighted so that they end smoothly; sharp: not, as in qmllib."""

    def build(self, elements: Iterable[int]) -> ASLATM:
        return ASLATM(elements, self.cutoff, self.spectra, self.ending)


class SLATMConfig(StructureConfig):
    """Options of the structures' spectra."""

    kind: Literal["slatm"] = "slatm"
    """Name of the descriptor."""
    cutoff: float = Field(default=4.8, gt=0.0)
    """Where distances end, of triplets all three, Å."""
    spectra: Spectra = Spectra()
    """Grids and widths."""
    ending: Ending = "sharp"
    """cosine: distances are weighted so that they end smoothly; sharp: not, as in qmllib."""

    def build(self, elements: Iterable[int]) -> SLATM:
        return SLATM(ASLATM(elements, self.cutoff, self.spectra, self.ending))


class ASLATM(Descriptor):
    """One number, one spectrum of distances for each element and one of angles for every two."""

    block: Tensor
    charges: Tensor
    distances: Tensor
    angles: Tensor

    def __init__(self, elements: Iterable[int], cutoff: float, spectra: Spectra, ending: Ending):
        super().__init__(set(elements), cutoff)
        self.spectra = spectra
        self.ending = CosineCutoff(cutoff) if ending == "cosine" else None
        kinds = len(self.elements)
        self.couples = kinds * (kinds + 1) // 2
        self.register_buffer("block", pair_blocks(kinds), persistent=False)
        self.register_buffer("charges", torch.tensor(self.elements, dtype=torch.float64), persistent=False)
        for name, first, last, step in (
            ("distances", NEAREST, cutoff, spectra.step),
            ("angles", -MARGIN, math.pi + MARGIN, spectra.angle_step),
        ):
            grid = torch.linspace(first, last, int((last - first) / step) + 1, dtype=torch.float64)
            self.register_buffer(name, grid, persistent=False)
        self.sizes = (1 + kinds * len(self.distances) + self.couples * len(self.angles),) * kinds

    def prepare(self, graph: Graph) -> Graph:
        return graph if graph.triplets is not None else graph.replace(triplets=graph.triplets_within(self.cutoff))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        graph, atoms = self.prepare(graph), graph.system.atoms
        kinds, count = self.element[graph.system.numbers], len(self.elements)
        near = graph.of_neighbors(kinds)
        pairs = self._of_pairs(vectors, graph.of_centers(kinds), near)
        pairs = summed(pairs, graph.centers * count + near, atoms * count)
        corners = Corners.of(vectors, graph, kinds)
        places = corners.center * self.couples + self.block[corners.kinds]
        triplets = summed(self._of_triplets(corners, kinds), places, atoms * self.couples)
        numbers = self.charges.to(vectors)[kinds][:, None]
        return torch.cat((numbers, pairs.reshape(atoms, -1), triplets.reshape(atoms, -1)), dim=1)

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        graph = self.prepare(graph)
        with torch.no_grad():
            vectors, kinds = graph.vectors(), self.element[graph.system.numbers]
            near, corners = graph.of_neighbors(kinds), Corners.of(vectors, graph, kinds)
            of_pairs = partial(self._of_pairs, own=graph.of_centers(kinds), near=near)
            of_triplets = partial(self._of_triplets, kinds=kinds)
            parts = [
                vectors.new_zeros((vectors.shape[0], 1, 3)),
                pair_slopes(of_pairs, vectors, near, len(self.elements)),
                corner_slopes(of_triplets, vectors, graph, corners, self.block[corners.kinds], self.couples),
            ]
            return self.from_vectors(vectors, graph), torch.cat(parts, dim=1)

    def _of_pairs(self, vectors: Tensor, own: Tensor, near: Tensor) -> Tensor:
        """½ Z_I Z_J x^−6 N(x − R_IJ) Δx at the points x `[pairs, points]`, from the elements of both atoms."""
        r, charges = vectors.norm(dim=1), self.charges.to(vectors)
        grid = self.distances.to(r)
        sizes = 0.5 * charges[own] * charges[near] * self._weights((r,))
        found = _normal(r, grid, self.spectra.width) * grid**-self.spectra.power
        return self.spectra.step * sizes[:, None] * found

    def _of_triplets(self, corners: Corners, kinds: Tensor) -> Tensor:
        """⅓ Z_I Z_J Z_K (1 + cos x cos θ_J cos θ_K) (R_IJ R_JK R_KI)^−3 N(x − θ_I) Δx `[corners, points]`."""
        charges, grid = self.charges.to(corners.one), self.angles.to(corners.one)
        r_ij, r_ik, r_jk = corners.lengths
        across = corners.other - corners.one
        beside = cosines(-corners.one, across) * cosines(-corners.other, -across)
        product = charges[kinds[corners.center]] * charges[corners.kinds[0]] * charges[corners.kinds[1]]
        sizes = product * self._weights(corners.lengths) / (3.0 * (r_ij * r_ik * r_jk) ** 3)
        shape = 1.0 + grid.cos() * beside[:, None]
        found = _normal(angles(corners.one, corners.other), grid, self.spectra.angle_width)
        return self.spectra.angle_step * sizes[:, None] * shape * found

    def _weights(self, distances: tuple[Tensor, ...]) -> Tensor:
        """1 where all distances are within the cutoff, 0 elsewhere; or falling to 0."""
        found = torch.ones_like(distances[0])
        for r in distances:
            found = found * (self.ending(r) if self.ending is not None else (r <= self.cutoff).to(found))
        return found


class SLATM(StructureDescriptor):
    """Sums of atoms' spectra.

    Args:
        atoms: the spectra of atoms.
    """

    def __init__(self, atoms: ASLATM):
        super().__init__(atoms.elements, atoms.cutoff)
        self.atoms = atoms
        kinds = len(self.elements)
        self.widths = (1, kinds * len(atoms.distances), atoms.couples * len(atoms.angles))
        self.size = kinds + atoms.couples * len(atoms.distances) + kinds * self.widths[2]

    def prepare(self, graph: Graph) -> Graph:
        return self.atoms.prepare(graph)

    def forward(self, graph: Graph) -> Tensor:
        kinds, systems = len(self.elements), graph.system.systems
        place = graph.system.system * kinds + self.atoms.element[graph.system.numbers]
        sums = summed(self.atoms(graph), place, systems * kinds).view(systems, kinds, -1)
        one, two, three = sums.split(self.widths, dim=2)
        two = two.reshape(systems, kinds * kinds, -1)
        pairs = two.new_zeros((systems, self.atoms.couples, two.shape[2]))
        pairs = pairs.index_add(1, self.atoms.block.reshape(-1), two)
        return torch.cat((one.flatten(1), pairs.flatten(1), three.flatten(1)), dim=1)


def _normal(values: Tensor, grid: Tensor, width: float) -> Tensor:
    """Normal distributions around values `[n]` at the points of a grid `[n, points]`."""
    squares = ((grid - values[:, None]) / width).square()
    return torch.exp(-0.5 * squares) / (width * math.sqrt(2.0 * math.pi))
