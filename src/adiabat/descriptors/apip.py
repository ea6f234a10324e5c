"""Atomic permutationally invariant polynomials: sums over clusters of an atom and one, two or three neighbors.

C. van der Oord, G. Dusson, G. Csányi and C. Ortner, Mach. Learn.: Sci. Technol. 1, 015004 (2020),
doi:10.1088/2632-2153/ab527c; of molecules: A. E. A. Allen et al., Mach. Learn.: Sci. Technol. 2, 025017 (2021),
doi:10.1088/2632-2153/abd51e.

| paper | here | shape, unit |
|---|---|---|
| u(r), distance transform | `transformed` | [pairs], 1 |
| f_cut = (u − u(r_c))^q | in `_radial`, of each body order | [pairs], 1 |
| polynomials of u_ij, times f_cut, for each element of j | `_radial` | [atoms, width, (degree + 1) · elements] |
| polynomials of w_jk = r̂_ij · r̂_ik, or of u(r_jk) | `_sides` | [atoms, width, width] each |
| V_N, symmetrized over the neighbors of a cluster | `from_vectors` | [atoms, features] |

`form` chooses the coordinates of a cluster: distances to the center and angles there, or all distances. Features of a
body order are all polynomials up to its total degree, one for each orbit under exchanges of neighbors of one
element: with distances, the sum over the atoms of a cluster as centers completes the symmetry. No neighbor is
counted twice in a cluster, so that body orders do not mix, unlike in `ace`, whose linear span is the same.

Departures from the papers: polynomials are products of Chebyshev polynomials, whose orbits span what primary and
secondary invariants do and are better conditioned; clusters end where a neighbor is `cutoff` away from the center,
also with all distances; sums run over rows of neighbors of equal length, not over a list of clusters.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations_with_replacement, permutations, product
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, Neighborhood
from adiabat.nn.radial import ChebyshevBasis


class APIPConfig(DescriptorConfig):
    """Options of permutationally invariant polynomials."""

    kind: Literal["apip"] = "apip"
    """Name of the descriptor."""
    form: Literal["angles", "distances"] = "angles"
    """Coordinates of a cluster beside the distances to its center: cosines there, or the neighbors' distances."""
    degrees: tuple[int, ...] = (10, 6, 3)
    """Largest total degree of two, three and four bodies; as many orders as numbers, at most three."""
    cutoffs: tuple[float, ...] = ()
    """Radius of each body order, Å; empty: `cutoff` for all."""
    transform: Literal["inverse", "morse", "agnesi", "linear"] = "inverse"
    """u(r) with x = r / reference: x^−p, exp(−p (x − 1)), 1 / (1 + x^p), or −r."""
    reference: float = Field(default=2.5, gt=0.0)
    """A typical bond, Å."""
    steepness: float = Field(default=2.0, gt=0.0)
    """p of the transform."""
    inner: float = Field(default=0.8, gt=0.0)
    """Distance from which on polynomials are between −1 and 1, Å."""
    power: int = Field(default=2, ge=1)
    """q: 2 and more let slopes vanish at the cutoff."""

    def build(self, elements: Iterable[int]) -> APIP:
        return APIP(self, elements)

    def radii(self) -> tuple[float, ...]:
        """Cutoff of each body order, Å; ConfigError if the options contradict each other."""
        if not 1 <= len(self.degrees) <= 3 or min(self.degrees) < 0:
            raise ConfigError(f"degrees {self.degrees} must be one to three numbers, of two, three and four bodies.")
        found = self.cutoffs or (self.cutoff,) * len(self.degrees)
        if len(found) != len(self.degrees):
            raise ConfigError(f"cutoffs {self.cutoffs} must be as many numbers as degrees {self.degrees}, or none.")
        if self.inner >= min(found):
            raise ConfigError(f"inner {self.inner} Å must be smaller than the smallest cutoff, {min(found)} Å.")
        return found

    def transformed(self, r: Tensor) -> Tensor:
        """u(r), Å to 1, falling."""
        x = r / self.reference
        if self.transform == "inverse":
            return x**-self.steepness
        if self.transform == "morse":
            return torch.exp(-self.steepness * (x - 1.0))
        return 1.0 / (1.0 + x**self.steepness) if self.transform == "agnesi" else -x


class APIP(Descriptor):
    """Polynomials of each atom's clusters.

    Args:
        config: options.
        elements: atomic numbers.

    Attributes:
        blocks: powers of the sides (jk, jl, kl) of each block of four bodies.
    """

    def __init__(self, config: APIPConfig, elements: Iterable[int]):
        self.radii = config.radii()
        super().__init__(elements, max(self.radii))
        self.config, kinds = config, len(self.elements)
        self.chebyshev = ChebyshevBasis(max(config.degrees) + 1)
        degrees = list(config.degrees)
        size = (degrees[0] + 1) * kinds
        for side in range(degrees[1] + 1 if len(degrees) > 1 else 0):
            kept = _orbits(degrees[1] - side, kinds, 2, ((0, side), (side, 0)))
            self.register_buffer(f"pairs{side}", kept, persistent=False)
            size += len(kept)
        self.blocks: list[tuple[int, int, int]] = []
        if len(degrees) > 2:
            every = combinations_with_replacement(range(degrees[2] + 1), 3)
            self.blocks = [(c, b, a) for a, b, c in every if a + b + c <= degrees[2]]
        for place, (jk, jl, kl) in enumerate(self.blocks):
            kept = _orbits(degrees[2] - jk - jl - kl, kinds, 3, ((0, jk, jl), (jk, 0, kl), (jl, kl, 0)))
            self.register_buffer(f"triples{place}", kept, persistent=False)
            size += len(kept)
        self.sizes = (size,) * kinds

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=graph.rows())

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        rows = graph.neighborhood()
        r, degrees = vectors.norm(dim=1), self.config.degrees
        near = self.element[graph.system.numbers].index_select(0, graph.neighbors)
        radial = [self._radial(r, near, rows, order) for order in range(len(degrees))]
        found = [radial[0].sum(dim=1)]
        if len(degrees) > 1:
            sides = self._sides(vectors, r, rows)
            found += self._of_three(radial[1], sides)
        if len(degrees) > 2:
            found += self._of_four(radial[2], sides)
        return torch.cat(found, dim=1)

    def _scaled(self, r: Tensor, stop: float) -> tuple[Tensor, Tensor]:
        """u as a coordinate that is 1 at `inner` and −1 at `stop` (Å), and as one that is 1 and 0 there."""
        first, last = (self.config.transformed(r.new_tensor(end)) for end in (self.config.inner, stop))
        y = (self.config.transformed(r) - last) / (first - last)
        return 2.0 * y - 1.0, y

    def _radial(self, r: Tensor, near: Tensor, rows: Neighborhood, order: int) -> Tensor:
        """f_cut T_a of the neighbors of each element `[atoms, width, (degree + 1) · elements]`, by a."""
        stop, count = self.radii[order], self.config.degrees[order] + 1
        x, y = self._scaled(r, stop)
        ends = torch.where(r < stop, y, torch.zeros_like(y)) ** self.config.power
        values = self.chebyshev(x)[:, :count] * ends[:, None]
        kinds = torch.arange(len(self.elements), device=r.device)
        own = (near[:, None] == kinds).to(values.dtype)
        slots = rows.pad((values[:, :, None] * own[:, None, :]).flatten(1))
        return slots.view(rows.atoms, rows.width, count * len(self.elements))

    def _sides(self, vectors: Tensor, r: Tensor, rows: Neighborhood) -> list[Tensor]:
        """T_b of what two neighbors have between them `[atoms, width, width]`, zero where they are the same."""
        apart = 1.0 - torch.eye(rows.width, dtype=r.dtype, device=r.device)
        if self.config.form == "angles":
            units = rows.pad(vectors / r[:, None]).view(rows.atoms, rows.width, 3)
            x = torch.bmm(units, units.transpose(1, 2))
        else:
            places = rows.pad(vectors).view(rows.atoms, rows.width, 3)
            there = rows.pad(torch.ones_like(r)).view(rows.atoms, rows.width)
            known = there[:, :, None] * there[:, None, :] * apart
            squares = (places[:, :, None, :] - places[:, None, :, :]).square().sum(dim=3)
            # a distance of zero has no slope: these slots are given another and count nothing
            x = self._scaled(torch.where(known > 0, squares, torch.ones_like(squares)).sqrt(), 2.0 * self.cutoff)[0]
        count = max(self.config.degrees[1:]) + 1
        values = self.chebyshev(x.flatten())[:, :count] * apart.expand(x.shape).reshape(-1, 1)
        return [side.view(x.shape) for side in values.unbind(1)]

    def _of_three(self, radial: Tensor, sides: list[Tensor]) -> list[Tensor]:
        """Σ_jk T_a T_a' T_b, `[atoms, ...]` for each b."""
        found = []
        for b in range(self.config.degrees[1] + 1):
            own = radial[:, :, : (self.config.degrees[1] - b + 1) * len(self.elements)]
            sums = torch.bmm(own.transpose(1, 2), torch.bmm(sides[b], own))
            found.append(sums.flatten(1).index_select(1, self.get_buffer(f"pairs{b}")))
        return found

    def _of_four(self, radial: Tensor, sides: list[Tensor]) -> list[Tensor]:
        """Σ_jkl of three polynomials of distances and three of sides, `[atoms, ...]` for each of `blocks`."""
        found = []
        for place, (jk, jl, kl) in enumerate(self.blocks):
            left = self.config.degrees[2] - jk - jl - kl
            own = radial[:, :, : (left + 1) * len(self.elements)]
            third = own.transpose(1, 2)[:, :, None, :] * sides[jl][:, None]  # [atoms, slots, j, l]
            both = torch.matmul(third, sides[kl][:, None]) * sides[jk][:, None]  # [atoms, slots, j, k]
            sums = torch.matmul(own.transpose(1, 2)[:, None], torch.matmul(both, own[:, None]))  # l, j, k
            found.append(sums.flatten(1).index_select(1, self.get_buffer(f"triples{place}")))
        return found


def _orbits(degree: int, kinds: int, bodies: int, sides: tuple[tuple[int, ...], ...]) -> Tensor:
    """Which products of `bodies` radial functions are kept, the last body's slowest: one of each orbit.

    Args:
        degree: largest sum of the radial functions' degrees.
        kinds: number of elements; a slot is degree · kinds + element.
        bodies: neighbors, two or three.
        sides: degree of what each two of them have between them; exchanges that keep all of these count.
    """
    everyone = range(bodies)
    alike = [p for p in permutations(everyone) if all(sides[p[i]][p[j]] == sides[i][j] for i in p for j in p)]
    slots = (degree + 1) * kinds
    kept = []
    for row in product(range(slots), repeat=bodies):
        if sum(slot // kinds for slot in row) <= degree and row == min(tuple(row[k] for k in p) for p in alike):
            # the sums' axes: the last body first, then the others in order
            place = 0
            for slot in (row[-1], *row[:-1]):
                place = place * slots + slot
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)
