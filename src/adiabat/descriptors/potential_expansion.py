"""Expansion of the potential that all atoms of a structure make, around each of them.

| symbol | here | shape, unit |
|---|---|---|
| V_nlm of an element's atoms around an atom | `PotentialExpansion` | [atoms, elements · n_max, (l_max + 1)²] |
| 4π i^l v̂(k) I_nl(k) Y_lm(k) / V | `PotentialExpansion.of_waves` | [systems, waves, n_max, (l_max + 1)²] |
| f_nl(r) Y_lm(r) | `PotentialExpansion.of_distances` | [pairs, n_max, (l_max + 1)²] |
| slopes of V_nlm by other atoms and the cell | `FarLinks` | see there |

In systems periodic in three directions V_nlm = Σ_k (4π i^l v̂(k) I_nl(k) Y_lm(k) / V) Σ_j exp(i k·(r_i − r_j)), with k
and −k together; the term of k = 0 is there where v̂(0) is finite. In systems without periodicity it is the sum of
f_nl(r) Y_lm over all other atoms and the atom itself. See `power_law` for v̂, I and f.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import pi, sqrt

import torch
from torch import Tensor, nn

from adiabat.descriptors.base import element_index, slopes_of
from adiabat.descriptors.density_radial import RadialTable
from adiabat.descriptors.power_law import SmearedPowerLaw, distance_table, squeezed, wave_table
from adiabat.geometry import Graph
from adiabat.geometry.graph import couples
from adiabat.geometry.system import System
from adiabat.geometry.waves import reciprocal_cells
from adiabat.nn.spherical_harmonics import SphericalHarmonics

CHUNK = 2**24  # numbers of an intermediate array of the slopes


def isolated_couples(system: System) -> Tensor:
    """Ordered pairs of different atoms of each system without periodicity `[2, couples]`, sorted by the first."""
    found = couples(system)
    return found[:, ~system.pbc.any(dim=1)[system.system[found[0]]]]


class PotentialExpansion(nn.Module):
    """V_nlm of every element's potential around each atom.

    Args:
        elements: atomic numbers.
        n_max, l_max: sizes.
        radius: of the radial functions, Å.
        exponent, smearing: p and σ, Å, of the potential.
        reach: largest wave number, Å⁻¹.
        center_weight: weight of the central atom's own potential.
    """

    element: Tensor
    degree: Tensor
    sign: Tensor
    even: Tensor
    odd: Tensor
    order: Tensor
    waves: Tensor
    distances: Tensor

    def __init__(
        self,
        elements: Iterable[int],
        n_max: int,
        l_max: int,
        radius: float,
        exponent: int,
        smearing: float,
        reach: float,
        center_weight: float = 1.0,
    ):
        super().__init__()
        elements = tuple(elements)
        self.n_max, self.l_max, self.channels = n_max, l_max, len(elements)
        self.radius, self.reach, self.center_weight = radius, reach, center_weight
        self.law = SmearedPowerLaw(exponent, smearing)
        self.harmonics = SphericalHarmonics(l_max, "integral")
        waves = wave_table(n_max, l_max, radius, reach)
        distances = distance_table(n_max, l_max, radius, exponent, smearing)
        self.stops = (waves.stop, distances.stop)
        degrees = torch.cat([torch.full((2 * l + 1,), l) for l in range(l_max + 1)])
        even, odd = ((degrees % 2 == k).nonzero()[:, 0] for k in (0, 1))
        tensors = {
            "element": element_index(elements),
            "degree": degrees,
            "sign": 8.0 * pi * (-1.0) ** ((degrees + 1) // 2).double(),
            "order": torch.cat((even, odd)).argsort(),
            "even": even,
            "odd": odd,
            "waves": waves.coefficients,
            "distances": distances.coefficients,
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def prepare(self, graph: Graph) -> Graph:
        """The graph with the waves of periodic systems and the couples of others, each only if there are such."""
        periodic = graph.system.pbc.all(dim=1)
        if bool(periodic.any()):
            graph = graph.with_waves(self.reach)
        if graph.couples is None and not bool(periodic.all()):
            graph = graph.replace(couples=isolated_couples(graph.system))
        return graph

    @property
    def size(self) -> int:
        """Number of an atom's coefficients."""
        return self.channels * self.n_max * (self.l_max + 1) ** 2

    def forward(self, graph: Graph) -> Tensor:
        """`[atoms, elements · n_max, (l_max + 1)²]`."""
        if graph.waves is None and graph.couples is None:
            graph = self.prepare(graph)
        system = graph.system
        kinds = self.element[system.numbers]
        constant, parts = self._own(kinds, graph), []
        if graph.waves is not None:
            waves, volumes, there = self.plane_waves(graph)
            parts.append(self.summed(self.of_waves(waves, volumes, there), self.phased(waves, graph), system.system))
            constant = constant + self.mean(kinds, volumes, graph)
        if graph.couples is not None:
            parts.append(self._of_couples(graph.couples, graph))
        found = sum(parts[1:], start=parts[0])
        return torch.cat((found[..., :1] + constant[..., None], found[..., 1:]), dim=3).flatten(1, 2)

    def of_waves(self, waves: Tensor, volumes: Tensor, there: Tensor) -> Tensor:
        """Factors of cos k·(r_i − r_j) for even and of sin for odd l `[systems, waves, n_max, (l_max + 1)²]`.

        Args:
            waves: k `[systems, waves, 3]`, Å⁻¹.
            volumes: `[systems]`, Å³.
            there: `[systems, waves]`, false where a wave only fills up.
        """
        squares = waves.square().sum(dim=2)
        table = RadialTable(self.waves, self.stops[0], 0.0)
        radial = table(squares.sqrt().flatten()).view(*squares.shape, self.n_max, self.l_max + 1)
        radial = radial.index_select(3, self.degree) * self.sign.to(waves.dtype)
        sizes = torch.where(there, self.law.transformed(squares) / volumes[:, None], torch.zeros_like(squares))
        angular = self.harmonics(waves.roll(-1, dims=2))  # that block's polar axis is y
        return radial * (angular * sizes[:, :, None])[:, :, None, :]

    def plane_waves(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Waves `[systems, waves, 3]`, volumes `[systems]` and which waves are there `[systems, waves]`.

        The list of waves depends on the cells, so a graph to be traced has it already (`Graph.with_waves`).
        """
        system = graph.system
        integers = graph.with_waves(self.reach).waves
        assert integers is not None
        there = integers.abs().sum(dim=2) > 0
        integers = torch.where(there[:, :, None], integers, torch.ones_like(integers))
        rows = reciprocal_cells(system)
        return integers.to(rows.dtype) @ rows, (2.0 * pi) ** 3 / torch.linalg.det(rows).abs(), there

    def phased(self, waves: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Σ_j cos k·(r_i − r_j) and the same of sin, j of each element `[atoms, elements, waves]`."""
        system = graph.system
        phases = (waves.index_select(0, system.system) @ system.positions[:, :, None])[:, :, 0]
        cosines, sines = phases.cos(), phases.sin()
        place = system.system * self.channels + self.element[system.numbers]
        rows = waves.shape[0] * self.channels
        totals = [x.new_zeros((rows, x.shape[1])).index_add(0, place, x) for x in (cosines, sines)]
        cosine, sine = (x.unflatten(0, (-1, self.channels)).index_select(0, system.system) for x in totals)
        c, s = cosines[:, None, :], sines[:, None, :]
        return c * cosine + s * sine, s * cosine - c * sine

    def summed(self, factors: Tensor, phased: tuple[Tensor, Tensor], owner: Tensor) -> Tensor:
        """Sums of `[systems, waves, n, (l_max + 1)²]` over waves `[atoms, elements, n, (l_max + 1)²]`.

        Args:
            factors: of the phases.
            phased: what `phased` gives.
            owner: the system of each atom `[atoms]`.
        """
        found = []
        for part, places in zip(phased, (self.even, self.odd), strict=True):
            own = factors.index_select(3, places).index_select(0, owner)
            found.append(torch.matmul(part, own.flatten(2)).unflatten(2, own.shape[2:]))
        return torch.cat(found, dim=3).index_select(3, self.order)

    def of_distances(self, vectors: Tensor) -> Tensor:
        """What an atom at each of the vectors `[pairs, 3]`, Å, adds in real space `[pairs, n_max, (l_max + 1)²]`."""
        table = RadialTable(self.distances, self.stops[1], 0.0)
        radial = table(squeezed(vectors.norm(dim=1), self.radius)).unflatten(1, (self.n_max, self.l_max + 1))
        return radial.index_select(2, self.degree) * self.harmonics(vectors.roll(-1, dims=1))[:, None, :]

    def _of_couples(self, pairs: Tensor, graph: Graph) -> Tensor:
        """The sum over other atoms of isolated systems `[atoms, elements, n_max, (l_max + 1)²]`."""
        kinds, positions = self.element[graph.system.numbers], graph.system.positions
        alone = ~graph.system.pbc.any(dim=1)[graph.system.system]
        terms = self.of_distances(positions.index_select(0, pairs[1]) - positions.index_select(0, pairs[0]))
        terms = torch.where(alone.index_select(0, pairs[0])[:, None, None], terms, torch.zeros_like(terms))
        place = pairs[0] * self.channels + kinds.index_select(0, pairs[1])
        found = terms.new_zeros((kinds.shape[0] * self.channels, *terms.shape[1:])).index_add(0, place, terms)
        return found.unflatten(0, (-1, self.channels))

    def mean(self, kinds: Tensor, volumes: Tensor, graph: Graph) -> Tensor:
        """What the mean of each element's potential adds to l = 0 in periodic systems `[atoms, elements, n_max]`."""
        system = graph.system
        every = nn.functional.one_hot(kinds, self.channels).to(volumes.dtype)
        counts = every.new_zeros((volumes.shape[0], self.channels)).index_add(0, system.system, every)
        mean = system.pbc.all(dim=1).to(volumes.dtype) * self.law.mean * sqrt(4.0 * pi) / volumes
        counts = (counts * mean[:, None]).index_select(0, system.system)
        return counts[:, :, None] * self._at_zero(self.waves).to(counts)

    def _own(self, kinds: Tensor, graph: Graph) -> Tensor:
        """The atom's own potential as far as the sum over waves lacks it, for l = 0; the same shape."""
        every = nn.functional.one_hot(kinds, self.channels).to(graph.system.cell)
        periodic = graph.system.pbc.all(dim=1).to(every).index_select(0, graph.system.system)
        own = every * ((self.center_weight - periodic) * (4.0 * pi) ** -0.5)[:, None]
        return own[:, :, None] * self._at_zero(self.distances).to(every)

    def _at_zero(self, table: Tensor) -> Tensor:
        """The radial functions of l = 0 at the beginning of a table `[n_max]`."""
        return table[0, 0].view(self.n_max, self.l_max + 1)[:, 0]


class FarLinks:
    """Slopes of the potential's coefficients by what they depend on.

    Args:
        potential: makes the coefficients.
        graph: the atoms.

    Attributes:
        kinds: places of the atoms' elements `[atoms]`.
        couples: pairs of different atoms of one system `[2, couples]`, and their `vectors` `[couples, 3]`, Å.
        atoms: those of periodic systems `[atoms of them]`.
        images: each of these three times `[2, images]`, and the `cells` vectors between its images `[images, 3]`, Å.
    """

    def __init__(self, potential: PotentialExpansion, graph: Graph):
        self.potential, self.graph, system = potential, graph, graph.system
        positions, periodic = system.positions.detach(), system.pbc.all(dim=1)
        self.kinds = potential.element[system.numbers]
        self.couples = couples(system)
        self.vectors = positions[self.couples[1]] - positions[self.couples[0]]
        self.atoms = periodic[system.system].nonzero()[:, 0]
        own = self.atoms.repeat_interleave(3)
        self.images, self.cells = (
            torch.stack((own, own)),
            system.cell.detach()[system.system[self.atoms]].flatten(0, 1),
        )

    def _sums(self) -> None:
        """Makes what slopes need beyond the links themselves."""
        with torch.no_grad():
            self._waves, self._volumes, self._there = self.potential.plane_waves(self.graph)
            self._factors = self.potential.of_waves(self._waves, self._volumes, self._there)

    def chunks(self, width: int) -> Iterator[tuple[slice, Tensor]]:
        """Ranges of couples, and slopes of what the second atom makes at the first `[rows, n · lm, 3]`.

        Args:
            width: numbers that the caller multiplies each slope with, which decides how long a range is.
        """
        potential, owner = self.potential, self.graph.system.system[self.couples[0]]
        alone = ~self.graph.system.pbc.any(dim=1)
        self._sums()
        for system in range(len(self._waves)):
            begin, end = (int(x) for x in torch.searchsorted(owner, owner.new_tensor([system, system + 1])))
            waves, factors = self._waves[system], self._factors[system].flatten(1)
            step = max(1, CHUNK // max(waves.shape[0], width * factors.shape[1]))
            for first in range(begin, end, step):
                rows = slice(first, min(first + step, end))
                if bool(alone[system]):
                    yield rows, self._in_space(rows)
                    continue
                phases = self.vectors[rows] @ waves.T
                odd = (potential.degree % 2 == 1).repeat(potential.n_max)
                along = factors[:, :, None] * waves[:, None, :]
                found = phases.new_zeros((len(phases), *along.shape[1:]))
                found[:, ~odd] = -torch.tensordot(phases.sin(), along[:, ~odd], 1)
                found[:, odd] = -torch.tensordot(phases.cos(), along[:, odd], 1)
                yield rows, found

    def _in_space(self, rows: slice) -> Tensor:
        vectors = self.vectors[rows].clone().requires_grad_()
        with torch.enable_grad():
            values = self.potential.of_distances(vectors).flatten(1)
            return slopes_of(values, vectors)

    def strained(self) -> Tensor:
        """Slopes of periodic systems' coefficients by strains `[atoms of them, elements · n · lm, 3, 3]`.

        Phases k·r do not change when everything is strained; what they are multiplied by does.
        """
        potential, graph = self.potential, self.graph
        self._sums()
        owner = graph.system.system
        waves = self._waves.flatten(0, 1).clone().requires_grad_()
        shape = self._waves.shape
        with torch.enable_grad():
            factors = potential.of_waves(waves.view(shape), self._volumes, self._there)
            slopes = slopes_of(factors.flatten(0, 1).flatten(1), waves)
        along = -slopes[:, :, :, None] * waves.detach()[:, None, None, :]
        along = along - factors.detach().flatten(0, 1).flatten(1)[:, :, None, None] * torch.eye(3).to(along)
        along = along.unflatten(0, shape[:2]).unflatten(2, (potential.n_max, -1)).movedim(3, -1).flatten(2, 4)
        phased = potential.phased(self._waves, graph)
        found = potential.summed(along, phased, owner)
        found = found.unflatten(2, (potential.n_max, 3, 3)).movedim(-1, 3)
        mean = potential.mean(self.kinds, self._volumes, graph)[..., None, None] * torch.eye(3).to(found)
        found = torch.cat((found[:, :, :, :1] - mean[:, :, :, None], found[:, :, :, 1:]), dim=3)
        return found.flatten(1, 3)[self.atoms]


def chained(inner: Tensor, centers: Tensor, outer: Tensor) -> Tensor:
    """Products `[rows, size, n]` of slopes `[atoms, size, k]` of the rows' centers with theirs `[rows, k, n]`."""
    step = max(1, CHUNK // max(inner.shape[1] * inner.shape[2], 1))
    parts = [torch.bmm(inner[c], o) for c, o in zip(centers.split(step), outer.split(step), strict=True)]
    return torch.cat(parts)
