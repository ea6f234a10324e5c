"""Fingerprints of the rapid artificial neural network (RANN): radial sums, sums over bonds, and screened ones.

D. Dickel, M. Nitol and C. D. Barrett, Comput. Mater. Sci. 196, 110481 (2021), doi:10.1016/j.commatsci.2021.110481;
program: ML-RANN of LAMMPS. Screening: doi:10.1016/S0254-0584(97)80252-0.

| paper | here | shape, unit |
|---|---|---|
| r_e, r_c, Δr | `distance`, `cutoff`, `width` | Å |
| f_c((r_c − r)/Δr) | `step` | 1 |
| S | `MEAMScreening` | [pairs], 1 |
| F_n = Σ_j (r/r_e)^n e^(−α_n r/r_e) f_c S | `RadialSums` | [atoms, powers] |
| G_mk = Σ_jl cos^m θ e^(−β_k (r_j + r_l)/r_e) f_c f_c S S | `BondSums` | [atoms, decays · cosines] |

A power of the cosine is a sum of products of components of both directions, so that G is made of sums over single
neighbors (moments), and its cost is linear in them. Pairs of neighbors are visited for screening alone.

Departures from the paper: the sum over j and l has each neighbor with itself, as in the program. LAMMPS reads
functions of distances from tables, interpolated, to 1e-9; here they are exact. There, an atom that is found wholly
screened screens no others from then on, which depends on the order of neighbors, and feels no force for those that it
does screen; here every neighbor screens, and forces are slopes of energies (there not with screened bonds that name
elements). As there, atoms beyond the largest cutoff screen nothing: S has a jump there, which is small because f_c is
small where it is felt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.elements import number, symbols
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.nn.meam_screening import MEAMScreening, step
from adiabat.nn.monomials import Monomials
from adiabat.settings import Settings

ALL = "all"  # in place of a neighbor's symbol: whatever its element


class Fingerprint(Settings):
    """Some features of one element's atoms with the same neighbors and distances."""

    kind: Literal["radial", "bond"]
    """radial: sums over neighbors; bond: over two of them."""
    screened: bool = False
    """Whether neighbors count less behind others."""
    center: str
    """Symbol of the central atom."""
    neighbors: tuple[str, ...]
    """Symbols of one neighbor (radial) or two (bond), in either order; "all" for every element."""
    distance: float = Field(gt=0.0)
    """r_e, Å, about that of the nearest neighbors."""
    cutoff: float = Field(gt=0.0)
    """r_c, Å."""
    width: float = Field(gt=0.0)
    """Δr over which a neighbor fades, Å."""
    alphas: tuple[float, ...] = Field(min_length=1)
    """α of each power (radial), or every β (bond)."""
    lowest: int = 0
    """First power n of radial ones."""
    cosines: int = Field(default=1, ge=1)
    """How many powers of the cosine bond ones have, from 0 on."""

    @model_validator(mode="after")
    def _count(self) -> Self:
        wanted = 1 if self.kind == "radial" else 2
        if len(self.neighbors) != wanted:
            raise ValueError(f"a {self.kind} fingerprint has neighbors {self.neighbors}: give {wanted}")
        return self

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.alphas) * (self.cosines if self.kind == "bond" else 1)

    def of_distances(self) -> Fingerprint:
        """The same whatever the elements, to compare with others."""
        return self.model_copy(update={"center": ALL, "neighbors": (ALL,) * len(self.neighbors)})


class RANNFingerprintsConfig(DescriptorConfig):
    """Options of RANN's fingerprints; the defaults are those of the published potential for magnesium.

    Each element has radial ones of every element's neighbors and bond ones of all, or what `fingerprints` lists.
    """

    kind: Literal["rann"] = "rann"
    """Name of the descriptor."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """r_c, Å."""
    distance: float = Field(default=3.1936, gt=0.0)
    """r_e, Å, about that of the nearest neighbors."""
    width: float = Field(default=2.8064, gt=0.0)
    """Δr over which a neighbor fades, Å."""
    lowest: int = -1
    """First power of the radial fingerprints."""
    alphas: tuple[float, ...] = Field(default=(5.52,) * 5, min_length=1)
    """α of each power."""
    decays: tuple[float, ...] = Field(default=(1.0, 2.0, 6.0, 9.0), min_length=1)
    """β of the bond fingerprints."""
    cosines: int = Field(default=8, ge=1)
    """How many powers of the cosine they have, from 0 on."""
    screened: bool = True
    """Whether neighbors count less behind others; costs the square of their number."""
    limits: tuple[float, float] = (0.8, 2.8)
    """C_min and C_max of the screening."""
    screening: dict[str, tuple[float, float]] = {}
    """Other C_min and C_max of a center, a screening and a screened atom, as in {"Ti_Zr_Ti": [0.7, 1.5]}."""
    fingerprints: tuple[Fingerprint, ...] = ()
    """Fingerprints one by one, instead of those that the options above describe."""

    def build(self, elements: Iterable[int]) -> RANNFingerprints:
        return RANNFingerprints(self, elements)

    def listed(self, elements: Sequence[int]) -> tuple[Fingerprint, ...]:
        """The fingerprints, those of an element in the order of its features."""
        if self.fingerprints:
            return self.fingerprints
        names = symbols(elements)
        shared = {"distance": self.distance, "cutoff": self.cutoff, "width": self.width, "screened": self.screened}
        radial: dict[str, Any] = {"kind": "radial", "alphas": self.alphas, "lowest": self.lowest} | shared
        bond: dict[str, Any] = {"kind": "bond", "alphas": self.decays, "cosines": self.cosines} | shared
        return tuple(
            Fingerprint(center=center, neighbors=near, **own)
            for center in names
            for near, own in [*(((name,), radial) for name in names), ((ALL, ALL), bond)]
        )

    def bounds(self, elements: Sequence[int]) -> np.ndarray:
        """C_min and C_max `[elements, elements, elements, 2]` of center, screening and screened atom.

        Raises ConfigError for names or limits that cannot be.
        """
        found = np.empty((len(elements),) * 3 + (2,))
        found[...] = self.limits
        names = symbols(elements)
        for key, limits in self.screening.items():
            own = key.split("_")
            if len(own) != 3 or not set(own) <= set(names):
                raise ConfigError(f"screening '{key}' is not of three of {', '.join(names)}: write it as Ti_Zr_Ti.")
            found[tuple(names.index(name) for name in own)] = limits
        if (found[..., 0] >= found[..., 1]).any():
            raise ConfigError("some C_min of limits or screening is not below its C_max: give the smaller one first.")
        return found


class RadialSums(ConstantModule):
    """Sums over neighbors of the elements that some fingerprints name, all with the same distances.

    Args:
        own: one of the fingerprints.
        near: the neighbors of each of them.
        elements: symbols.

    Attributes:
        places: where each one's features begin among the sums.
    """

    counts: Tensor
    alphas: Tensor
    powers: Tensor

    def __init__(self, own: Fingerprint, near: Sequence[tuple[str, ...]], elements: Sequence[str]):
        super().__init__()
        self.own = own
        self.near = list(dict.fromkeys(tuple(sorted(names)) for names in near))
        self.singles = list(dict.fromkeys(name for names in self.near for name in names))
        counts = [[float(single in (ALL, name)) for single in self.singles] for name in elements]
        self.register_constant("counts", np.array(counts))
        self.register_constant("alphas", np.array(own.alphas) / own.distance)
        powers = own.lowest + np.arange(len(own.alphas)) if own.kind == "radial" else np.zeros(len(own.alphas))
        self.register_constant("powers", powers)
        self.places = {names: place * own.size for place, names in enumerate(self.near)}
        self.width = len(self.near) * own.size

    def shares(self, r: Tensor, near: Tensor, screening: Tensor | None) -> Tensor:
        """What each neighbor adds `[pairs, singles · alphas]`, from distances, Å, and its element's place."""
        fading = step((self.own.cutoff - r) / self.own.width)
        if screening is not None and self.own.screened:
            fading = fading * screening
        powers = self.powers.to(r) * torch.log(r / self.own.distance)[:, None]
        values = torch.exp(powers - self.alphas.to(r) * r[:, None]) * fading[:, None]
        return (self.counts.to(r).index_select(0, near)[:, :, None] * values[:, None]).flatten(1)

    def forward(self, shares: Tensor, directions: Tensor, graph: Graph) -> Tensor:
        """The sums `[atoms, width]`."""
        return graph.sum_over_neighbors(shares)


class BondSums(RadialSums):
    """The same of two neighbors and powers of the cosine of their angle."""

    first: Tensor
    second: Tensor
    degrees: Tensor

    def __init__(self, own: Fingerprint, near: Sequence[tuple[str, ...]], elements: Sequence[str]):
        super().__init__(own, near, elements)
        self.monomials = Monomials(own.cosines - 1)
        degrees = np.zeros((len(self.monomials.powers), own.cosines))
        for row, power in enumerate(self.monomials.powers):
            degrees[row, sum(power)] = self.monomials.multinomials()[row]
        self.register_constant("degrees", degrees)
        for name, side in (("first", 0), ("second", 1)):
            places = [self.singles.index(names[side]) for names in self.near]
            self.register_buffer(name, torch.tensor(places), persistent=False)

    def forward(self, shares: Tensor, directions: Tensor, graph: Graph) -> Tensor:
        rows = graph.rows()
        products = rows.pad(self.monomials(directions))
        moments = rows.contract(rows.pad(shares)[:, None], products[:, None])
        moments = moments.unflatten(1, (len(self.singles), len(self.own.alphas)))
        both = moments.index_select(1, self.first) * moments.index_select(1, self.second)
        return (both @ self.degrees.to(both)).flatten(1)


class RANNFingerprints(Descriptor):
    """RANN's fingerprints of every atom.

    Args:
        config: options.
        elements: atomic numbers.

    Raises ConfigError if an element has no fingerprint, or a fingerprint or limit is of another element.
    """

    choice: Tensor

    def __init__(self, config: RANNFingerprintsConfig, elements: Iterable[int]):
        numbers = sorted({int(z) for z in elements})
        names, fingerprints = symbols(numbers), config.listed(numbers)
        for f in fingerprints:
            unknown = [n for n in (f.center, *f.neighbors) if n not in names and (n != ALL or n == f.center)]
            if unknown:
                raise ConfigError(f"a {f.kind} fingerprint of {f.center} names {unknown[0]}: use {', '.join(names)}.")
        missing = [name for name in names if name not in {f.center for f in fingerprints}]
        if missing:
            raise ConfigError(f"element {missing[0]} has no fingerprint: give at least one for every element.")
        super().__init__(numbers, max(f.cutoff for f in fingerprints))
        self.config, self.names, self.fingerprints = config, names, fingerprints
        bounds = config.bounds(numbers)
        screened = any(f.screened for f in fingerprints)
        self.screening = MEAMScreening(bounds[..., 0], bounds[..., 1]) if screened else None
        self.sums, columns, zero = self._families()
        self.sizes = tuple(len(row) for row in columns)
        padded = [row + [zero] * (self.size - len(row)) for row in columns]  # the last column is a zero
        self.register_buffer("choice", torch.tensor(padded), persistent=False)

    def _families(self) -> tuple[nn.ModuleList, list[list[int]], int]:
        """Sums with the same distances together, the columns of each element's features, and how many there are."""
        families: dict[Fingerprint, RadialSums] = {}
        begins, width = {}, 0
        for shape in dict.fromkeys(f.of_distances() for f in self.fingerprints):
            near = [f.neighbors for f in self.fingerprints if f.of_distances() == shape]
            make = RadialSums if shape.kind == "radial" else BondSums
            families[shape], begins[shape] = make(shape, near, self.names), width
            width += families[shape].width
        columns: list[list[int]] = [[] for _ in self.elements]
        for f in self.fingerprints:
            shape = f.of_distances()
            begin = begins[shape] + families[shape].places[tuple(sorted(f.neighbors))]
            columns[self.elements.index(number(f.center))] += range(begin, begin + f.size)
        return nn.ModuleList(families.values()), columns, width

    def prepare(self, graph: Graph) -> Graph:
        graph = graph.replace(layout=graph.rows())
        return graph if self.screening is None else graph.replace(triplets=graph.triplets_within(self.cutoff))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        r = vectors.norm(dim=1)
        kinds = self.element[graph.system.numbers]
        near, screening = graph.of_neighbors(kinds), None
        if self.screening is not None:
            triplets = graph.triplets_within(self.cutoff) if graph.triplets is None else graph.triplets
            screening = self.screening(vectors, triplets, graph.of_centers(kinds), near)
        directions = vectors / r[:, None]
        found = [own(own.shares(r, near, screening), directions, graph) for own in self.sums]  # type: ignore[operator]
        return torch.cat([*found, torch.zeros_like(found[0][:, :1])], dim=1).gather(1, self.choice[kinds])
