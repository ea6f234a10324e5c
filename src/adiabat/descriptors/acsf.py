"""Atom-centered symmetry functions (Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717).

| paper | here | shape, unit |
|---|---|---|
| R_ij, R_ik, R_jk | `r_ij`, `r_ik`, `r_jk` | [pairs] or [triplets], Å |
| f_c(R) | `InnerCutoff` | 1 |
| η, R_s | `eta`, `shift` | Å⁻², Å |
| κ | `kappa` | Å⁻¹ |
| ζ, λ | `zeta`, `sign` | 1 |
| G¹ to G⁵ (eqs. 5 to 9) | kinds "G1" to "G5" | [atoms, features], 1 |

Departures from the paper: the cutoff function is any of n2p2's; G⁴ and G⁵ count each unordered neighbor pair
once and may be shifted, exp(−η Σ (R − R_s)²), as in n2p2 (doi:10.1021/acs.jctc.8b00770; its types 3 and 9).

The same class evaluates functions of all neighbors, weighted by their elements (wacsf.py), and polynomials of
compact ranges and angles (psf.py), in any mixture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from adiabat.descriptors.base import Descriptor, DescriptorConfig, row_slopes
from adiabat.descriptors.symmetry_functions import Recipe, SymmetryFunction
from adiabat.descriptors.symmetry_terms import PairFamily, Range, TripletFamily, TripletKey
from adiabat.elements import number
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph, triplets
from adiabat.kernels.build import available
from adiabat.kernels.symmetry_functions import NAME, AngularFunction, RadialFunction, SymmetryFunctions, Window
from adiabat.nn.inner_cutoffs import KINDS, CutoffKind

CHUNK = 500_000  # triplets evaluated together: about 1 GB of intermediates in float64


class ACSFConfig(DescriptorConfig):
    """Options of a set of symmetry functions."""

    kind: Literal["acsf"] = "acsf"
    """Name of the descriptor."""
    cutoff_function: CutoffKind = "cosine"
    """f_c: hard, cosine, tanh3, tanh3-normalized, exponential or poly1 to poly4."""
    inner: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Radius up to which f_c is 1, fraction of the cutoff."""
    recipe: Recipe = Recipe()
    """Symmetry functions for every combination of elements."""
    functions: tuple[SymmetryFunction, ...] = ()
    """Symmetry functions one by one; if given, `recipe` and `cutoff` are not used."""

    def build(self, elements: Iterable[int]) -> ACSF:
        elements = sorted(elements)
        functions = self.functions or self.recipe.functions(elements, self.cutoff)
        return ACSF(functions, elements, self.cutoff_function, self.inner)


class ACSF(Descriptor):
    """Values and slopes of a set of symmetry functions.

    Distinct functions are evaluated once for all pairs and triplets, summed per neighbor element or over all
    neighbors with weights, and each central atom then picks the sums its element asks for.

    Args:
        functions: in the order of the features of their central element.
        elements: atomic numbers.
        cutoff_kind, inner: cutoff function, see InnerCutoff.
        width: features of a row at least, zeros behind the functions.
    """

    choice: Tensor

    def __init__(
        self,
        functions: Sequence[SymmetryFunction],
        elements: Iterable[int],
        cutoff_kind: CutoffKind = "cosine",
        inner: float = 0.0,
        width: int = 0,
    ):
        super().__init__(elements, max((f.cutoff for f in functions), default=0.0))
        self.width = width
        self.cutoff_kind: CutoffKind = cutoff_kind
        self.inner = inner
        _check(functions, self.elements)
        self.functions = tuple(functions)
        self._inverse = any(f.zeta < 0.0 for f in functions)
        self._frozen: SymmetryFunctions | None = None
        self._kernels: dict[torch.dtype, SymmetryFunctions | None] = {}
        wide = [f for f in functions if not f.pairwise]
        self.angular_cutoff = max((f.cutoff for f in wide), default=0.0)
        self.narrow = not any(f.wide for f in wide)
        families, columns = self._families()
        self.pairs = nn.ModuleList(f for f in families if isinstance(f, PairFamily))
        self.triples = nn.ModuleList(f for f in families if isinstance(f, TripletFamily))
        zero = sum(f.width for f in families)  # the last column is a zero
        self.sizes = tuple(len(row) for row in columns)
        padded = [row + [zero] * (self.size - len(row)) for row in columns]
        self.register_buffer("choice", torch.tensor(padded), persistent=False)

    @property
    def size(self) -> int:
        return max(self.width, *self.sizes)

    def restricted(self, columns: Tensor) -> ACSF:
        own = self.by_center()
        kept = [own[place][k] for place, row in enumerate(columns.tolist()) for k in row if k >= 0]
        return ACSF(kept, self.elements, self.cutoff_kind, self.inner, columns.shape[1])

    def groups(self) -> Tensor:
        """A group is one function of distances and angles, whatever the elements of center and neighbors."""
        numbers: dict[Any, int] = {}
        rows = [[numbers.setdefault(_key(f, self._window(f)), len(numbers)) for f in own] for own in self.by_center()]
        return torch.tensor([row + [-1] * (self.size - len(row)) for row in rows])

    def by_center(self) -> list[list[SymmetryFunction]]:
        """The functions of each element in the order of its features."""
        return [[f for f in self.functions if number(f.center) == z] for z in self.elements]

    def _families(self) -> tuple[list[PairFamily | TripletFamily], list[list[int]]]:
        """Distinct functions, those of pairs first, and which columns of all their sums are an element's features."""
        kinds, found = len(self.elements), []
        keys: list[Any] = [(_key(f, self._window(f)), f.weights(self.elements)) for f in self.functions]
        for make, kind in ((PairFamily, Range), (TripletFamily, TripletKey)):
            for weighted in (False, True):
                own = dict.fromkeys(k for k in keys if isinstance(k[0], kind) and bool(k[1]) == weighted)
                if own:
                    found.append(make(list(own), kinds))
        places: dict[Any, tuple[PairFamily | TripletFamily, int]] = {}
        first = 0
        for family in found:
            places |= {key: (family, first + place) for place, key in enumerate(family.keys)}
            first += family.width
        columns: list[list[int]] = [[] for _ in self.elements]
        for f, key in zip(self.functions, keys, strict=True):
            center, *near = self._places(f)
            family, place = places[key]
            block = int(family.block[tuple(near)]) if near else 0
            columns[center].append(place + block * len(family.keys))
        return found, columns

    def _window(self, f: SymmetryFunction) -> Window:
        """That of its distances."""
        if f.compact:
            return Window(KINDS.index(f.core), f.cutoff, f.begin, True, f.asymmetric)
        inner = 0.0 if self.cutoff_kind.startswith("tanh3") else self.inner
        return Window(KINDS.index(self.cutoff_kind), f.cutoff, inner * f.cutoff)

    def _places(self, f: SymmetryFunction) -> list[int]:
        """Places of center and neighbors among the elements."""
        return [self.elements.index(number(name)) for name in (f.center, *f.neighbors)]

    def kernel(self) -> SymmetryFunctions:
        """The same functions in C++, in float64; CapabilityError for negative ζ or without a compiler."""
        if self._inverse:
            raise CapabilityError("symmetry functions with negative ζ have no kernel: evaluate the model as it is.")
        counts = [0] * len(self.elements)
        radial, angular = [], []
        for f in self.functions:
            center, *near = self._places(f)
            key = _key(f, self._window(f))
            own: dict[str, Any] = {
                "center": center,
                "feature": counts[center],
                "weights": f.weights(self.elements),
            }
            if isinstance(key, Range):
                own |= {"window": key.window, "eta": key.eta, "shift": key.shift, "kappa": key.kappa}
                radial.append(RadialFunction(neighbor=near[0] if near else None, **own))
            else:
                own |= {"window": key.range.window, "eta": key.range.eta, "shift": key.range.shift, "wide": f.wide}
                both = (near[0], near[1]) if near else None
                angular.append(AngularFunction(neighbors=both, angle=key.angle, **own))
            counts[center] += 1
        return SymmetryFunctions(radial, angular, len(self.elements), self.size)

    def freeze(self) -> None:
        self._frozen = self.kernel()

    def forward(self, graph: Graph) -> Tensor:
        if self._frozen is not None:
            return self._frozen(*self.given(graph))
        vectors = graph.vectors()
        r = vectors.norm(dim=1)
        kinds = self.element[graph.system.numbers]
        atoms, near = graph.system.atoms, [kinds[graph.neighbors]]
        sums = [f.total(f(r), graph.centers, near, atoms) for f in self.pairs]  # type: ignore[operator]
        runs = [(0, atoms)]
        if self.triples and graph.triplets is None:
            runs = list(pairwise(self._bounds(graph, r)))
        if not self.triples:
            pass
        elif len(runs) == 1:
            sums.append(self._angular_sums(vectors, r, graph, kinds, 0, atoms))
        else:  # recomputed in the backward pass, so that 100,000 atoms fit into memory
            arguments = [(vectors, r, graph, kinds, *run) for run in runs]
            parts = [checkpoint(self._angular_sums, *a, use_reentrant=False) for a in arguments]  # type: ignore[arg-type]
            sums.append(torch.cat(parts))  # type: ignore[arg-type]
        return torch.cat([*sums, r.new_zeros((atoms, 1))], dim=1).gather(1, self.choice[kinds])

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(triplets=self.triplets(graph)) if self.triples else graph

    def triplets(self, graph: Graph) -> Tensor:
        """The contributing triplets `[2, triplets]`, pairs with the same center, of all atoms."""
        vectors = graph.vectors().detach()
        first, second = self._triplets(graph, vectors, vectors.norm(dim=1), 0, graph.system.atoms)
        return torch.stack([first, second])

    def _bounds(self, graph: Graph, r: Tensor) -> list[int]:
        """Bounds of runs of atoms with at most about CHUNK triplets each."""
        atoms = graph.system.atoms
        near = torch.bincount(graph.centers[r.detach() < self.angular_cutoff], minlength=atoms)
        run = (near * (near - 1) // 2).cumsum(0) // CHUNK
        return [0, *((run[1:] != run[:-1]).nonzero()[:, 0] + 1).tolist(), atoms]

    def _angular_sums(self, vectors: Tensor, r: Tensor, graph: Graph, kinds: Tensor, begin: int, end: int) -> Tensor:
        """Triplet sums of the atoms from `begin` to before `end` `[end − begin, sums]`."""
        stored = graph.triplets
        first, second = self._triplets(graph, vectors, r, begin, end) if stored is None else stored.unbind(0)
        near = [kinds[graph.neighbors[pair]] for pair in (first, second)]
        r_jk = (vectors.index_select(0, second) - vectors.index_select(0, first)).norm(dim=1)
        r_ij, r_ik = r.index_select(0, first), r.index_select(0, second)
        sums = []
        for family in self.triples:
            ranges = family.ranges(r)  # type: ignore[operator]
            values = family(r_ij, r_ik, r_jk, ranges.index_select(0, first), ranges.index_select(0, second))
            sums.append(family.total(values, graph.centers[first] - begin, near, end - begin))  # type: ignore[operator]
        return torch.cat(sums, dim=1)

    def values(self, graph: Graph) -> Tensor:
        """What `forward` gives, without gradient history and in C++ where that can be."""
        with torch.no_grad():
            kernel = self._kernel(graph)
            return self.forward(graph) if kernel is None else kernel(*self.given(graph))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        kernel = self._kernel(graph)
        if kernel is None:
            return self.jacobian_in_torch(graph)
        with torch.no_grad():
            given = self.given(graph)
            return kernel(*given), kernel.jacobian(*given)

    def _kernel(self, graph: Graph) -> SymmetryFunctions | None:
        """The kernel for a graph, None if there is none."""
        dtype = graph.system.positions.dtype
        if graph.pairs.device.type != "cpu" or dtype not in (torch.float32, torch.float64) or self._inverse:
            return None
        if dtype not in self._kernels:
            self._kernels[dtype] = self.kernel().to(dtype) if available(NAME) is None else None
        return self._kernels[dtype]

    def jacobian_in_torch(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """What `jacobian` gives, without a kernel."""
        with torch.no_grad():
            vectors = graph.vectors()
            r = vectors.norm(dim=1)
            kinds = self.element[graph.system.numbers]
            near = [kinds[graph.neighbors]]
            pairs, sums = torch.arange(len(r), device=r.device), []
            for family in self.pairs:
                (slope,) = row_slopes(family.forward, r)  # type: ignore[arg-type]
                sums.append(
                    family.total(slope[:, :, None] * (vectors / r[:, None])[:, None, :], pairs, near, len(r))  # type: ignore[operator]
                )
            first, second = self._triplets(graph, vectors, r, 0, graph.system.atoms)
            both = [kinds[graph.neighbors[pair]] for pair in (first, second)]
            sums += [self._angular_jacobian(f, vectors, r, first, second, both) for f in self.triples]
            columns = torch.cat([*sums, r.new_zeros((len(r), 1, 3))], dim=1)
            choice = self.choice[kinds[graph.centers]]
            return self.forward(graph), columns.gather(1, choice[:, :, None].expand(-1, -1, 3))

    @staticmethod
    def _angular_jacobian(
        family: Any, vectors: Tensor, r: Tensor, first: Tensor, second: Tensor, near: list[Tensor]
    ) -> Tensor:
        """Slopes of a family's sums with respect to pair vectors `[pairs, sums, 3]`."""
        across = vectors[second] - vectors[first]
        r_ij, r_ik, r_jk = r[first], r[second], across.norm(dim=1)
        by_ij, by_ik, by_jk = row_slopes(family.of_distances, r_ij, r_ik, r_jk)
        side = (by_jk / r_jk[:, None])[:, :, None] * across[:, None, :]
        total = None
        for pair, own, distance, sign in ((first, by_ij, r_ij, -1.0), (second, by_ik, r_ik, 1.0)):
            along = (own / distance[:, None])[:, :, None] * vectors[pair][:, None, :] + sign * side
            part = family.total(along, pair, near, len(r))
            total = part if total is None else total + part
        assert total is not None
        return total

    def _triplets(self, graph: Graph, vectors: Tensor, r: Tensor, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """First and second pair of every contributing triplet of some atoms."""
        centers = graph.centers
        close = (r.detach() < self.angular_cutoff) & (centers >= begin) & (centers < end)
        close = close.nonzero()[:, 0]
        first, second = triplets(graph.centers[close], graph.system.atoms)
        first, second = close[first], close[second]
        if self.narrow:
            across = (vectors[second] - vectors[first]).detach().square().sum(dim=1)
            inside = (across < self.angular_cutoff**2).nonzero()[:, 0]
            first, second = first[inside], second[inside]
        return first, second


def _key(f: SymmetryFunction, window: Window) -> Range | TripletKey:
    """What distinguishes a function from others of the same neighbors."""
    shape = Range(window, wide=f.wide)
    if f.kind in ("G2", "G4", "G5"):
        shape = shape._replace(eta=f.eta, shift=f.shift)
    if f.kind == "G3":
        shape = shape._replace(kappa=f.kappa)
    if f.pairwise:
        return shape
    if not f.compact:
        return TripletKey(shape, (f.zeta, f.sign))
    begin, end = (math.radians(angle) for angle in f.angles)
    return TripletKey(shape, window._replace(begin=begin, end=end, asymmetric=False))


def _check(functions: Sequence[SymmetryFunction], elements: tuple[int, ...]) -> None:
    centers = {number(f.center) for f in functions}
    for z in elements:
        if z not in centers:
            raise ConfigError(f"element {z} has no symmetry function: give at least one for every element.")
    for f in functions:
        wanted = 1 if f.pairwise else 2
        if f.neighbors and len(f.neighbors) != wanted:
            raise ConfigError(f"a {f.kind} function has {len(f.neighbors)} neighbors {f.neighbors}: give {wanted}.")
        unknown = [n for n in (f.center, *f.neighbors) if number(n) not in elements]
        if unknown:
            raise ConfigError(f"the symmetry function {f} names {unknown[0]}, which is not among the elements.")
        if f.compact and f.begin >= f.cutoff:
            raise ConfigError(f"a {f.kind} function begins at {f.begin} Å and ends at {f.cutoff} Å: begin before.")
        if f.compact and not f.pairwise:
            _check_angles(f)


def _check_angles(f: SymmetryFunction) -> None:
    begin, end = f.angles
    middle = 0.5 * (begin + end)
    if not begin < end <= begin + 360.0 or (begin < 0.0 and middle != 0.0) or (end > 180.0 and middle != 180.0):
        raise ConfigError(
            f"a {f.kind} function of angles from {begin}° to {end}° is not smooth: stay within 0° to 180°, or be even"
            " about one of them."
        )
