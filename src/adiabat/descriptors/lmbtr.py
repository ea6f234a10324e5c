"""Local many-body tensor representation: distributions of distances and angles that an atom takes part in.

L. Himanen et al., Comput. Phys. Commun. 247, 106949 (2020), doi:10.1016/j.cpc.2019.106949, after H. Huo and M. Rupp,
doi:10.48550/arXiv.1704.06439; program whose numbers it gives: DScribe.

| paper | here | shape, unit |
|---|---|---|
| k | `order` of a term | |
| g_k | `geometry` | [pairs] or [triplets] |
| w_k | `weight` | [pairs] or [triplets] |
| D(x, g) | mean of a Gaussian over a bin | [..., points] |
| X, the central atom | has no element of its own | |

Blocks of a term of distances: elements of the neighbor. Of angles: first those at the atom, by the elements a ≤ b of
both ends, then those at a neighbor between the atom and another one, by the neighbor's element and the other one's.

Departures from the program: weights end smoothly unless told otherwise; smooth_cutoff weighs the two distances from
the atom, also of angles at a neighbor, whose own legs reach beyond the neighborhood; blocks of the program that are
always zero (elements X and X) are left out. The default terms are our choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor, DescriptorConfig, pair_blocks
from adiabat.descriptors.distributions import (
    Corners,
    Distribution,
    Term,
    corner_slopes,
    pair_slopes,
    summed,
    unit_rows,
)
from adiabat.errors import ConfigError
from adiabat.geometry import Graph


class LMBTRConfig(DescriptorConfig):
    """Options of the local many-body tensor representation."""

    kind: Literal["lmbtr"] = "lmbtr"
    """Name of the descriptor."""
    terms: tuple[Term, ...] = (
        Term(geometry="inverse_distance", start=0.2, stop=1.4, points=16, width=0.08),
        Term(geometry="cosine", start=-1.0, stop=1.0, points=10, width=0.2),
    )
    """The distributions, whose blocks follow each other; of pairs and triplets."""
    normalization: Literal["none", "l2"] = "none"
    """none; l2: each term's part of a row has length 1, which jumps where the last neighbor leaves."""

    def build(self, elements: Iterable[int]) -> LMBTR:
        return LMBTR(self, elements)


class LMBTR(Descriptor):
    """Blocks of all terms, one after the other."""

    block: Tensor

    def __init__(self, config: LMBTRConfig, elements: Iterable[int]):
        if not config.terms or any(term.order == 1 for term in config.terms):
            raise ConfigError(
                "descriptor.terms are of distances and angles: give at least one, and no atomic_number."
            )
        reaches = [term.reach(config.cutoff) for term in config.terms]
        super().__init__(elements, max(reaches))
        self.config = config
        self.terms = nn.ModuleList(Distribution(term, config.cutoff) for term in config.terms)
        self.angular_cutoff = max(r if t.order == 3 else 0.0 for r, t in zip(reaches, config.terms, strict=True))
        kinds = len(self.elements)
        self.register_buffer("block", pair_blocks(kinds), persistent=False)
        self.couples = kinds * (kinds + 1) // 2
        self.blocks = {2: kinds, 3: self.couples + kinds**2}
        width = sum(self.blocks[term.order] * term.points for term in config.terms)
        self.sizes = (width,) * kinds

    def prepare(self, graph: Graph) -> Graph:
        if not self.angular_cutoff or graph.triplets is not None:
            return graph
        return graph.replace(triplets=graph.triplets_within(self.angular_cutoff))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        graph = self.prepare(graph)
        atoms, rows = graph.system.atoms, []
        kinds = self.element[graph.system.numbers]
        for term in self.terms:
            assert isinstance(term, Distribution)
            count = self.blocks[term.term.order]
            if term.term.order == 2:
                values = term.pairs(vectors.norm(dim=1))
                places = graph.centers * count + graph.of_neighbors(kinds)
            else:
                corners = Corners.of(vectors, graph, kinds)
                values, places = (
                    self._at_corners(term, corners),
                    corners.center.repeat(3) * count + self._beside(corners),
                )
            found = summed(values, places, atoms * count).reshape(atoms, -1)
            rows.append(unit_rows(found) if self.config.normalization == "l2" else found)
        return torch.cat(rows, dim=1)

    @staticmethod
    def _at_corners(term: Distribution, corners: Corners) -> Tensor:
        """Values of the angles at the atoms, at one neighbor, at the other `[3 · corners, points]`."""
        one, other = corners.one, corners.other
        across = other - one
        at = ((one, other), (-one, across), (-other, -across))
        return torch.cat([term.angles(u, v, corners) for u, v in at])

    def _beside(self, corners: Corners) -> Tensor:
        """The blocks of these."""
        kind, another = corners.kinds
        count = len(self.elements)
        beside = [self.couples + middle * count + end for middle, end in ((kind, another), (another, kind))]
        return torch.cat([self.block[kind, another], *beside])

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        if self.config.normalization == "l2":
            return super().jacobian(graph)
        graph = self.prepare(graph)
        with torch.no_grad():
            vectors, kinds = graph.vectors(), self.element[graph.system.numbers]
            parts = []
            for term in self.terms:
                assert isinstance(term, Distribution)
                count = self.blocks[term.term.order]
                if term.term.order == 2:
                    near = graph.of_neighbors(kinds)
                    parts.append(pair_slopes(lambda v, term=term: term.pairs(v.norm(dim=1)), vectors, near, count))
                    continue
                corners = Corners.of(vectors, graph, kinds)
                values = partial(self._at_corners, term)
                parts.append(corner_slopes(values, vectors, graph, corners, self._beside(corners), count))
            return self.from_vectors(vectors, graph), torch.cat(parts, dim=1)
