"""Coordinates of the nearest neighbors in a frame of the atom's own, of the first Deep Potential.

L. Zhang, J. Han, H. Wang, R. Car and W. E, Phys. Rev. Lett. 120, 143001 (2018), doi:10.1103/PhysRevLett.120.143001;
program: DeePMD-kit (`loc_frame`), doi:10.1016/j.cpc.2018.03.016.

| paper, program | here | shape, unit |
|---|---|---|
| neighbors of each element, by distance | `_nearest` | [atoms, places], Å |
| e_x along one neighbor, e_y in the plane of two, e_z = e_x × e_y | `_frames` | [atoms, 3, 3] |
| D_ij = (1/R, x/R², y/R², z/R²) of the nearest (sel_a) | `from_vectors` | [atoms, 4 · full], Å⁻¹ |
| D_ij = 1/R of those that follow (sel_r) | `from_vectors` | [atoms, radial], Å⁻¹ |
| axis_rule | `Axis` | |

Places without a neighbor are zero, and neighbors beyond the last place are left out.

The features are not continuous: they jump where two neighbors of one element change places, where others become the
axes, and where a neighbor enters or leaves the sphere, as the paper says. Energies made of them jump with them, so
that long dynamics do not conserve them; in crystals, where distances are equal, the frame is a matter of chance, and
so are the features. Choose axes among neighbors that stay, such as bonded atoms. `se_e2_a` is the smooth successor.

z changes its sign in a mirror, so that energies may tell mirror images apart.

Departures from the paper and the program: y and z are zero where there is no second axis off the line of the first
(with one neighbor, or all in a line), all three where there is no first; the program then stops. It takes the next
neighbor for the second axis where the first two are within 0.8° of opposite; here, also where they are on one side.
An axis of any element is chosen among all places of its list, in the program among the first three of each element;
with `place` up to 2 this is the same. Columns are in the paper's order: the program has z before x and y. Its mean
and deviation of the features are the regressor's scaling here. Slopes are those of the values; the program's, of
distances alone (sel_r), are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.elements import number, symbol, symbols
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, Neighborhood
from adiabat.settings import Settings

IN_LINE = 1e-4  # 1 − |cos| below which two neighbors do not span a plane; the program's
Counts = int | dict[str, int]


class Axis(Settings):
    """Which neighbor an axis points to."""

    among: Literal["full", "radial"] = "full"
    """List that it is taken from."""
    element: str = "all"
    """Its symbol; "all" for every element."""
    other_than: str = ""
    """Symbol of an element that it must not be; empty for none."""
    place: int = Field(default=0, ge=0)
    """How many of these neighbors are nearer."""


class LocalFrameConfig(DescriptorConfig):
    """Options of local frames; the numbers of neighbors are those of oxygen in the program's example of water."""

    kind: Literal["local_frame"] = "local_frame"
    """Name of the descriptor."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of the environments, Å."""
    full: Counts = 16
    """Nearest neighbors of each element that all coordinates are given of (sel_a), or one number for all elements."""
    radial: Counts = 30
    """Neighbors of each element after these that the distance is given of (sel_r), or one number for all elements."""
    axes: dict[str, tuple[Axis, Axis]] = {}
    """Neighbors that span the frame of an element's atoms; of elements that are not named, the two nearest of all."""

    def build(self, elements: Iterable[int]) -> LocalFrame:
        return LocalFrame(self, elements)


class LocalFrame(Descriptor):
    """Coordinates of the nearest neighbors of each element in a frame that two neighbors span.

    Args:
        config: options.
        elements: atomic numbers.

    Attributes:
        places: most neighbors of one element that have a place.
        full: number of places with all coordinates.
        taken: where places are among `places` of each element, those with all coordinates first `[slots]`.
        candidates: which places an axis may be `[elements of the center, 2, slots + 1]`; the last never.
        ranks: how many of these are nearer `[elements of the center, 2]`.

    Raises ConfigError if a number of neighbors is missing or an axis is outside its list.
    """

    mirrored: ClassVar[bool] = False
    taken: Tensor
    candidates: Tensor
    ranks: Tensor

    def __init__(self, config: LocalFrameConfig, elements: Iterable[int]):
        super().__init__({int(z) for z in elements}, config.cutoff)
        self.config, kinds = config, len(self.elements)
        counts = {
            "full": counts_of(config.full, "full", self.elements),
            "radial": counts_of(config.radial, "radial", self.elements),
        }
        self.places = max(a + b for a, b in zip(*counts.values(), strict=True))
        self.full = sum(counts["full"])
        taken, owners = [], []
        for name, begins in (("full", [0] * kinds), ("radial", counts["full"])):
            for kind, (begin, count) in enumerate(zip(begins, counts[name], strict=True)):
                taken += [kind * self.places + begin + k for k in range(count)]
                owners += [(name, self.elements[kind])] * count
        if not taken:
            raise ConfigError("full and radial are 0 for every element: give a number of neighbors.")
        axes = axes_of(config.axes, self.elements)
        candidates = torch.tensor([[[_may_be(axis, *own) for own in owners] for axis in two] for two in axes])
        ranks = torch.tensor([[axis.place for axis in two] for two in axes])
        few = candidates.sum(dim=2) <= ranks
        if bool(few.any()):
            kind, which = few.nonzero()[0].tolist()
            raise ConfigError(
                f"axis {which + 1} of {symbol(self.elements[kind])} is place {int(ranks[kind, which])} of"
                f" {int(candidates[kind, which].sum())}: give more neighbors of its list, or another place."
            )
        self.register_buffer("taken", torch.tensor(taken), persistent=False)
        self.register_buffer("candidates", functional.pad(candidates, (0, 1)), persistent=False)
        self.register_buffer("ranks", ranks, persistent=False)
        self.sizes = (len(taken) + 3 * self.full,) * kinds

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=graph.rows())

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        rows = graph.neighborhood()
        kinds = self.element[graph.system.numbers]
        near, distances = self._nearest(vectors, kinds, rows)
        live = (distances < torch.inf).to(near.dtype)
        inverse = live / near.norm(dim=2)
        frames = self._frames(near, distances, kinds)
        turned = torch.bmm(near[:, : self.full], frames.transpose(1, 2)) * inverse[:, : self.full, None] ** 2
        both = torch.cat((inverse[:, : self.full, None], turned), dim=2)
        return torch.cat((both.flatten(1), inverse[:, self.full : -1]), dim=1)

    def _nearest(self, vectors: Tensor, kinds: Tensor, rows: Neighborhood) -> tuple[Tensor, Tensor]:
        """The neighbor in each place `[atoms, slots + 1, 3]`, Å, and its distance, without gradient.

        Where there is none, as in the last place, a unit vector and an infinite distance.
        """
        count = len(self.elements)
        r = vectors.detach().norm(dim=1)
        kind = torch.arange(count, device=r.device)
        own = kinds.index_select(0, rows.neighbors).view(rows.table.shape)[:, None] == kind[:, None]
        within = rows.pad((r <= self.cutoff).to(r.dtype)).view(rows.table.shape)[:, None] > 0
        keys = torch.where(own & within, rows.pad(r).view(rows.table.shape)[:, None], torch.inf)
        keys, order = functional.pad(keys, (0, self.places), value=torch.inf).sort(dim=2, stable=True)
        keys = keys[:, :, : self.places].flatten(1).index_select(1, self.taken)
        order = order[:, :, : self.places].flatten(1).index_select(1, self.taken)
        every = functional.pad(rows.pad(vectors).view(*rows.table.shape, 3), (0, 0, 0, self.places))
        near = every.gather(1, order[:, :, None].expand(-1, -1, 3))
        unit = vectors.new_tensor([1.0, 0.0, 0.0])
        near = torch.where((keys < torch.inf)[:, :, None], near, unit)
        last = unit.expand(near.shape[0], 1, 3)
        return torch.cat((near, last), dim=1), functional.pad(keys, (0, 1), value=torch.inf)

    def _frames(self, near: Tensor, distances: Tensor, kinds: Tensor) -> Tensor:
        """e_x, e_y and e_z of each atom, zero where they are not defined `[atoms, 3, 3]`."""
        allowed = self.candidates.index_select(0, kinds)
        order = torch.where(allowed, distances[:, None], torch.inf).sort(dim=2, stable=True).indices
        ranks = self.ranks.index_select(0, kinds)
        chosen = order.gather(2, torch.stack((ranks, ranks + 1), dim=2)).flatten(1)  # a next one for each axis
        there = distances.gather(1, chosen) < torch.inf
        there = there & allowed.repeat_interleave(2, dim=1).gather(2, chosen[:, :, None])[:, :, 0]
        axes = near.gather(1, chosen[:, :, None].expand(-1, -1, 3))
        first, known = axes[:, 0], there[:, :1]
        spans = [there[:, k : k + 1] & known & _off_line(first, axes[:, k]) for k in (2, 3)]
        second = torch.where(spans[0], axes[:, 2], axes[:, 3])
        planar = spans[0] | spans[1]
        x = first / first.norm(dim=1, keepdim=True)
        across = second - (second * x).sum(dim=1, keepdim=True) * x
        across = torch.where(planar, across, torch.ones_like(across))
        x = torch.where(known, x, torch.zeros_like(x))
        y = torch.where(planar, across / across.norm(dim=1, keepdim=True), torch.zeros_like(across))
        return torch.stack((x, y, torch.linalg.cross(x, y)), dim=1)


def _off_line(first: Tensor, second: Tensor) -> Tensor:
    """Whether two vectors `[atoms, 3]` span a plane `[atoms, 1]`."""
    cosine = (first * second).sum(dim=1) / (first.norm(dim=1) * second.norm(dim=1))
    return (1.0 - cosine.detach().abs() > IN_LINE)[:, None]


def _may_be(axis: Axis, among: str, z: int) -> bool:
    """Whether an axis may be a neighbor of this list and element."""
    wanted = axis.element == "all" or number(axis.element) == z
    return axis.among == among and wanted and not (axis.other_than and number(axis.other_than) == z)


def counts_of(given: Counts, name: str, elements: tuple[int, ...]) -> list[int]:
    """Numbers of neighbors of these elements. Raises ConfigError if one is missing or negative."""
    if isinstance(given, int):
        given = dict.fromkeys(symbols(elements), given)
    known = {number(element): count for element, count in given.items()}
    missing = [symbol(z) for z in elements if z not in known]
    if missing:
        raise ConfigError(f"{name} has no number for {', '.join(missing)}: add it, or give one number for all.")
    if min(known.values()) < 0:
        raise ConfigError(f"{name} {given} has a number below 0: give how many neighbors have a place.")
    return [known[z] for z in elements]


def axes_of(given: Mapping[str, tuple[Axis, Axis]], elements: tuple[int, ...]) -> list[tuple[Axis, Axis]]:
    """The axes of these elements' atoms; of those not named, the two nearest neighbors of list full."""
    known = {number(element): two for element, two in given.items()}
    return [known.get(z, (Axis(), Axis(place=1))) for z in elements]
