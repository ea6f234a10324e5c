"""Many-body tensor representation: distributions of numbers, distances and angles by elements, of whole structures.

H. Huo and M. Rupp, Mach. Learn.: Sci. Technol. 3, 045017 (2022), doi:10.1088/2632-2153/aca005
(doi:10.48550/arXiv.1704.06439); program whose numbers it gives: DScribe, doi:10.1016/j.cpc.2019.106949.

| paper | here | shape, unit |
|---|---|---|
| k | `order` of a term | |
| g_k | `geometry` | [atoms], [pairs] or [triplets] |
| w_k | `weight` | [pairs] or [triplets] |
| D(x, g) | mean of a Gaussian over a bin | [..., points] |
| f_k(x, z) | a term's block of a row | [blocks, points] |

Blocks of a term: elements; pairs of elements a ≤ b; or for every element in the middle of an angle the pairs of those
at its ends. In crystals a pair or triplet counts once for all that are its images under translation.

Departures from the paper: Gaussians are not taken at points but averaged over bins, as in DScribe; no matrix of
similarities between elements. The default terms are our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import pi
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import element_index, pair_blocks
from adiabat.descriptors.distributions import Corners, Distribution, Term, summed, unit_rows
from adiabat.descriptors.structure import StructureConfig, StructureDescriptor
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph

Normalization = Literal["none", "l2", "n_atoms", "valle_oganov"]


class MBTRConfig(StructureConfig):
    """Options of the many-body tensor representation."""

    kind: Literal["mbtr"] = "mbtr"
    """Name of the descriptor."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Where pairs end whose term names neither scale nor cutoff, Å."""
    terms: tuple[Term, ...] = (
        Term(geometry="inverse_distance", start=0.1, stop=1.4, points=60, width=0.03),
        Term(geometry="angle", start=0.0, stop=180.0, points=45, width=6.0),
    )
    """The distributions, whose blocks follow each other."""
    normalization: Normalization = "none"
    """Of each term: none; l2: length 1; n_atoms: by the number of atoms; valle_oganov: by the numbers of pairs or
    triplets in the volume of the cell."""

    def build(self, elements: Iterable[int]) -> MBTR:
        return MBTR(elements, self.terms, self.cutoff, self.normalization)


class MBTR(StructureDescriptor):
    """Blocks of all terms, one after the other.

    Args:
        elements: atomic numbers.
        terms: the distributions.
        cutoff: Å, of terms that have none.
        normalization: of every term.
    """

    element: Tensor
    block: Tensor

    def __init__(self, elements: Iterable[int], terms: Sequence[Term], cutoff: float, normalization: Normalization):
        if not terms:
            raise ConfigError("terms is empty: give at least one distribution.")
        reaches = [term.reach(cutoff) for term in terms]
        super().__init__(elements, max(reaches) or float("inf"))  # terms of atoms alone need no pairs
        self.normalization = normalization
        self.terms = nn.ModuleList(Distribution(term, cutoff) for term in terms)
        self.angular_cutoff = max((r for r, t in zip(reaches, terms, strict=True) if t.order == 3), default=0.0)
        kinds = len(self.elements)
        self.register_buffer("element", element_index(self.elements), persistent=False)
        self.register_buffer("block", pair_blocks(kinds), persistent=False)
        couples = kinds * (kinds + 1) // 2
        self.blocks = {1: kinds, 2: couples, 3: kinds * couples}
        self.size = sum(self.blocks[term.order] * term.points for term in terms)

    def check(self, graph: Graph) -> None:
        if self.normalization == "valle_oganov" and not bool((graph.system.volume > 0.0).all()):
            raise CapabilityError(
                "a structure has no volume to divide by: normalization valle_oganov is for crystals; choose n_atoms."
            )

    def prepare(self, graph: Graph) -> Graph:
        if not self.angular_cutoff or graph.triplets is not None:
            return graph
        return graph.replace(triplets=graph.triplets_within(self.angular_cutoff))

    def forward(self, graph: Graph) -> Tensor:
        graph = self.prepare(graph)
        vectors = graph.vectors()
        made = {1: self._of_atoms, 2: self._of_pairs, 3: self._of_triplets}
        rows = []
        for term in self.terms:
            assert isinstance(term, Distribution)
            order = term.term.order
            values, places = made[order](term, vectors, graph)
            count = self.blocks[order]
            found = summed(values, places, graph.system.systems * count).unflatten(0, (-1, count))
            rows.append(self._normalized(found, order, graph).flatten(1))
        return torch.cat(rows, dim=1)

    def _of_atoms(self, term: Distribution, vectors: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        numbers, system = graph.system.numbers, graph.system.system
        values = numbers.to(vectors.dtype)
        return term.gaussians(values, torch.ones_like(values)), system * self.blocks[1] + self.element[numbers]

    def _of_pairs(self, term: Distribution, vectors: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Every pair is there from either end, and counts half."""
        kinds = self.element[graph.system.numbers]
        block = self.block[kinds[graph.centers], kinds[graph.neighbors]]
        return 0.5 * term.pairs(vectors.norm(dim=1)), graph.system.system[graph.centers] * self.blocks[2] + block

    def _of_triplets(self, term: Distribution, vectors: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """The atom of which both pairs are is in the middle of the angle."""
        kinds = self.element[graph.system.numbers]
        corners = Corners.of(vectors, graph, kinds)
        block = kinds[corners.center] * self.blocks[2] + self.block[corners.kinds]
        places = graph.system.system[corners.center] * self.blocks[3] + block
        return term.angles(corners.one, corners.other, corners), places

    def _normalized(self, found: Tensor, order: int, graph: Graph) -> Tensor:
        """Rows `[systems, blocks, points]` of one term, normalized."""
        if self.normalization == "none":
            return found
        if self.normalization == "n_atoms":
            return found / graph.system.atom_counts.to(found.dtype)[:, None, None]
        if self.normalization == "l2":
            return unit_rows(found.flatten(1))
        return found * graph.system.volume[:, None, None] / self._products(order, graph)[:, :, None].to(found.dtype)

    def _products(self, order: int, graph: Graph) -> Tensor:
        """Numbers of atoms of a block's elements multiplied `[systems, blocks]`, 4π and ½ of like pairs included."""
        system, kinds = graph.system, len(self.elements)
        atoms = torch.nn.functional.one_hot(self.element[system.numbers], kinds)
        counts = system.sum_over_atoms(atoms).to(system.positions.dtype).clamp_min(1.0)
        if order == 1:
            return counts
        one, other = torch.triu_indices(kinds, kinds)
        both = counts[:, one] * counts[:, other]
        if order == 3:
            return (counts[:, :, None] * both[:, None, :]).flatten(1)
        return 4.0 * pi * both * torch.where(one == other, 0.5, 1.0).to(both)
