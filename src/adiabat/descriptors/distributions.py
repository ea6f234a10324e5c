"""Distributions of distances and angles on a grid, which many-body tensor representations are made of.

H. Huo and M. Rupp, Mach. Learn.: Sci. Technol. 3, 045017 (2022), doi:10.1088/2632-2153/aca005
(doi:10.48550/arXiv.1704.06439). A term is a function g of one, two or three atoms, a weight w and a Gaussian: each
pair or triplet adds w · N(g, width), its mean over every bin of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.descriptors.base import row_slopes
from adiabat.geometry import Graph
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.settings import Settings

Geometry = Literal["atomic_number", "distance", "inverse_distance", "angle", "cosine"]
ORDER = {"atomic_number": 1, "distance": 2, "inverse_distance": 2, "angle": 3, "cosine": 3}
TINY = 1e-24  # Å⁴, under the root of the sine of an angle, so that slopes stay finite where three atoms are in line


class Falloff(Settings):
    """How the weight of a pair or triplet falls with distance, up to where it counts.

    x is the distance of a pair, or the sum of the three distances of a triplet.
    """

    form: Literal["exp", "inverse_square", "smooth_cutoff", "unity"] = "exp"
    """exp: e^(−scale x); inverse_square: 1/x² (pairs); smooth_cutoff: 1 + s u^(s+1) − (s+1) u^s with u = r/cutoff,
    of a pair or of both legs of an angle; unity: 1."""
    cutoff: float | None = Field(default=None, gt=0.0)
    """Where pairs end, Å; triplets end at a sum of twice that. The descriptor's if not given."""
    scale: float | None = Field(default=None, gt=0.0)
    """Of exp, Å⁻¹, instead of cutoff."""
    threshold: float = Field(default=1e-3, gt=0.0, lt=1.0)
    """Weight that exp has where it ends."""
    sharpness: float = Field(default=2.0, ge=1.0)
    """s of smooth_cutoff."""
    ending: Literal["cosine", "sharp"] = "cosine"
    """Whether weights other than smooth_cutoff are multiplied by a cosine that takes them to zero, or jump."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Falloff:
        if self.scale is not None and (self.cutoff is not None or self.form != "exp"):
            raise ValueError("scale belongs to exp and stands in for cutoff: give one of them")
        return self


class Term(Settings):
    """One distribution: of which quantity, on which grid, with which weights."""

    geometry: Geometry
    """atomic_number of atoms; distance (Å) or inverse_distance (Å⁻¹) of pairs; angle (degrees) or cosine of
    triplets."""
    start: float
    """Middle of the first bin, in the unit of the quantity."""
    stop: float
    """Middle of the last bin."""
    points: int = Field(default=50, ge=2)
    """Bins."""
    width: float = Field(gt=0.0)
    """Standard deviation of the Gaussians, in the unit of the quantity."""
    weight: Falloff = Falloff()
    """How weights fall; not used by atomic_number."""
    area: bool = True
    """Gaussians of area 1; else of height 1."""

    @model_validator(mode="after")
    def _grid(self) -> Term:
        if self.stop <= self.start:
            raise ValueError(f"the grid stops at {self.stop}, where it starts or before: give a larger stop")
        if self.weight.form == "inverse_square" and self.order == 3:
            raise ValueError("inverse_square is a weight of pairs: give triplets exp, smooth_cutoff or unity")
        return self

    @property
    def order(self) -> int:
        """Number of atoms that the quantity belongs to."""
        return ORDER[self.geometry]

    def reach(self, cutoff: float) -> float:
        """Where pairs end, Å, in a descriptor with this cutoff."""
        if self.order == 1:
            return 0.0
        if self.weight.scale is not None:
            return -math.log(self.weight.threshold) / (self.weight.scale * (self.order - 1))
        return self.weight.cutoff or cutoff


class Corners(NamedTuple):
    """Every two pairs of one atom, which is a corner with an angle.

    Attributes:
        one: from the atom to a neighbor `[corners, 3]`, Å.
        other: to another one.
        lengths: of both and of the distance between the neighbors, Å.
        center: the atom.
        kinds: places of the elements of both neighbors.
    """

    one: Tensor
    other: Tensor
    lengths: tuple[Tensor, Tensor, Tensor]
    center: Tensor
    kinds: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, vectors: Tensor, graph: Graph, kinds: Tensor) -> Corners:
        """Of a graph's triplets, with its pairs' vectors `[pairs, 3]` and the elements of its atoms `[atoms]`."""
        assert graph.triplets is not None
        near = kinds.index_select(0, graph.neighbors)
        first, second = graph.triplets
        one, other = vectors.index_select(0, first), vectors.index_select(0, second)
        both = near.index_select(0, first), near.index_select(0, second)
        return cls.between(one, other, graph.centers.index_select(0, first), both)

    @classmethod
    def between(cls, one: Tensor, other: Tensor, center: Tensor, kinds: tuple[Tensor, Tensor]) -> Corners:
        """With the lengths that two vectors have."""
        return cls(one, other, (one.norm(dim=1), other.norm(dim=1), (other - one).norm(dim=1)), center, kinds)


class Distribution(nn.Module):
    """Weighted Gaussians of a term on its grid.

    Args:
        term: the term.
        cutoff: the descriptor's, Å.

    Attributes:
        reach: where pairs end, Å.
    """

    edges: Tensor

    def __init__(self, term: Term, cutoff: float):
        super().__init__()
        self.term, self.reach = term, term.reach(cutoff)
        self.bin = (term.stop - term.start) / (term.points - 1)
        edges = term.start + self.bin * (torch.arange(term.points + 1, dtype=torch.float64) - 0.5)
        self.register_buffer("edges", edges, persistent=False)
        self.longest = max(term.order - 1, 1) * self.reach  # of x
        self.ending = CosineCutoff(self.longest)

    def gaussians(self, values: Tensor, weights: Tensor) -> Tensor:
        """Means over the bins `[n, points]` of Gaussians at values `[n]` times weights `[n]`."""
        root = self.term.width * math.sqrt(2.0)
        height = 0.5 if self.term.area else 0.5 * root * math.sqrt(math.pi)
        steps = torch.erf((self.edges.to(values) - values[:, None]) / root)
        return (height / self.bin) * weights[:, None] * (steps[:, 1:] - steps[:, :-1])

    def pairs(self, r: Tensor) -> Tensor:
        """Of pairs at distances r `[n]`, Å `[n, points]`."""
        values = r if self.term.geometry == "distance" else r.reciprocal()
        return self.gaussians(values, self._weights(r, (r,)))

    def angles(self, first: Tensor, second: Tensor, corners: Corners) -> Tensor:
        """Of the angles between two vectors `[n, 3]`, Å, that start at some atom of each corner `[n, points]`."""
        values = cosines(first, second) if self.term.geometry == "cosine" else torch.rad2deg(angles(first, second))
        r_ij, r_ik, r_jk = corners.lengths
        return self.gaussians(values, self._weights(r_ij + r_ik + r_jk, (r_ij, r_ik)))

    def _weights(self, x: Tensor, legs: tuple[Tensor, ...]) -> Tensor:
        """`[n]`, zero beyond the reach."""
        weight = self.term.weight
        inside = torch.stack(legs).amax(dim=0) <= self.reach
        if weight.form == "smooth_cutoff":
            found, s = torch.ones_like(x), weight.sharpness
            for leg in legs:
                u = leg / self.reach
                found = found * (1.0 + s * u ** (s + 1.0) - (s + 1.0) * u**s)
            return torch.where(inside, found, torch.zeros_like(found))
        if weight.form == "exp":
            rate = weight.scale or -math.log(weight.threshold) / self.longest
            found = torch.exp(-rate * x)
        else:
            found = torch.ones_like(x) if weight.form == "unity" else x.square().reciprocal()
        if weight.ending == "cosine":
            found = found * self.ending(x)
        return torch.where(inside & (x <= self.longest), found, torch.zeros_like(found))


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of the angles between vectors `[n, 3]`."""
    return (first * second).sum(dim=1) / (first.square().sum(dim=1) * second.square().sum(dim=1)).sqrt()


def angles(first: Tensor, second: Tensor) -> Tensor:
    """Angles between vectors `[n, 3]`, Å, in radians."""
    sine = (torch.linalg.cross(first, second).square().sum(dim=1) + TINY).sqrt()
    return torch.atan2(sine, (first * second).sum(dim=1))


def summed(values: Tensor, places: Tensor, count: int) -> Tensor:
    """Sums of rows `[n, points]` by place `[n]` to `[count, points]`."""
    return values.new_zeros((count, values.shape[1])).index_add(0, places, values)


def pair_slopes(function: Callable[[Tensor], Tensor], vectors: Tensor, blocks: Tensor, count: int) -> Tensor:
    """Slopes `[pairs, count · points, 3]` of the sums that pairs' values `[pairs, points]` are added to.

    Args:
        function: values of pair vectors `[pairs, 3]`, Å.
        vectors: these.
        blocks: which of `count` sums of its center a pair is added to `[pairs]`.
        count: sums of an atom.
    """
    (found,) = row_slopes(function, vectors)
    places = torch.arange(vectors.shape[0], device=vectors.device) * count + blocks
    sums = found.new_zeros((vectors.shape[0] * count, *found.shape[1:])).index_add(0, places, found)
    return sums.view(vectors.shape[0], count * found.shape[1], 3)


def corner_slopes(
    function: Callable[[Corners], Tensor], vectors: Tensor, graph: Graph, corners: Corners, blocks: Tensor, count: int
) -> Tensor:
    """The same of sums that corners' values are added to, one `[corners, points]` or several after each other.

    Args:
        function: values of corners.
        vectors: pair vectors, Å.
        graph: with its triplets.
        corners: of these.
        blocks: which of `count` sums of the corner's atom each value is added to.
        count: sums of an atom.
    """
    assert graph.triplets is not None

    def values(one: Tensor, other: Tensor) -> Tensor:
        return function(Corners.between(one, other, corners.center, corners.kinds))

    found = row_slopes(values, corners.one, corners.other)
    sums = found[0].new_zeros((vectors.shape[0] * count, *found[0].shape[1:]))
    times = blocks.shape[0] // max(corners.center.shape[0], 1)
    for pairs, slopes in zip(graph.triplets, found, strict=True):
        sums.index_add_(0, pairs.repeat(times) * count + blocks, slopes)
    return sums.view(vectors.shape[0], count * sums.shape[1], 3)


def unit_rows(values: Tensor) -> Tensor:
    """Rows `[n, size]` of length 1; of zeros where they are."""
    squares = values.square().sum(dim=1, keepdim=True)
    return values / torch.where(squares > 0.0, squares, torch.ones_like(squares)).sqrt()
