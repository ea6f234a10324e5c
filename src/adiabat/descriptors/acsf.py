"""Atom-centered symmetry functions (Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717).

| paper | here | shape, unit |
|---|---|---|
| R_ij, R_ik, R_jk | `r_ij`, `r_ik`, `r_jk` | [pairs] or [triplets], Å |
| f_c(R) | `InnerCutoff` | 1 |
| η, R_s | `eta`, `shift` | Å⁻², Å |
| ζ, λ | `zeta`, `sign` | 1 |
| G², G⁴, G⁵ (eqs. 6, 8, 9) | kinds "G2", "G4", "G5" | [atoms, features], 1 |

Departures from the paper: the cutoff function is any of n2p2's; G⁴ and G⁵ count each unordered neighbor pair
once and may be shifted, exp(−η Σ (R − R_s)²), as in n2p2 (doi:10.1021/acs.jctc.8b00770; its types 3 and 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from adiabat.descriptors.base import Descriptor, DescriptorConfig, element_index
from adiabat.descriptors.symmetry_functions import Recipe, SymmetryFunction
from adiabat.elements import number
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, triplets
from adiabat.kernels.build import available
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.symmetry_functions import NAME, AngularFunction, RadialFunction, SymmetryFunctions
from adiabat.nn.inner_cutoffs import KINDS, CutoffKind, InnerCutoff

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

    Distinct functions are evaluated once for all pairs and triplets, summed per neighbor element, and each central
    atom then picks the sums its element asks for.

    Args:
        functions: in the order of the features of their central element.
        elements: atomic numbers.
        cutoff_kind, inner: cutoff function, see InnerCutoff.
    """

    element: Tensor
    element_pair: Tensor
    choice: Tensor
    radial_eta: Tensor
    radial_shift: Tensor
    radial_cutoff: Tensor
    range_eta: Tensor
    range_shift: Tensor
    range_cutoff: Tensor
    range_wide: Tensor
    pick_range: Tensor
    pick_power: Tensor

    def __init__(
        self,
        functions: Sequence[SymmetryFunction],
        elements: Iterable[int],
        cutoff_kind: CutoffKind = "cosine",
        inner: float = 0.0,
    ):
        super().__init__(elements, max((f.cutoff for f in functions), default=0.0))
        kinds = len(self.elements)
        self.cutoff_kind: CutoffKind = cutoff_kind
        self.inner = inner
        _check(functions, self.elements)
        self.functions = tuple(functions)
        self._frozen: SymmetryFunctions | None = None
        self._kernels: dict[torch.dtype, SymmetryFunctions | None] = {}
        self.cutoffs = nn.ModuleList(
            InnerCutoff(cutoff_kind, c, inner) for c in sorted({f.cutoff for f in functions})
        )
        self._radial = _distinct((f.eta, f.shift, f.cutoff) for f in functions if f.kind == "G2")
        self._angular = _distinct(_angular_key(f) for f in functions if f.kind != "G2")
        self._ranges = _distinct(key[:4] for key in self._angular)
        self._powers = _distinct(key[4:] for key in self._angular)
        self.angular_cutoff = max((f.cutoff for f in functions if f.kind != "G2"), default=0.0)
        self.narrow = all(f.kind != "G5" for f in functions)
        self._register_columns()
        rows, column = torch.triu_indices(kinds, kinds)
        both = torch.zeros((kinds, kinds), dtype=torch.int64)
        both[rows, column] = both[column, rows] = torch.arange(len(rows))
        self.register_buffer("element_pair", both, persistent=False)
        self.register_buffer("element", element_index(self.elements), persistent=False)
        self._register_choice(functions)

    def _register_columns(self) -> None:
        """Parameters of the distinct functions as float64 rows, cast where they are used."""
        radii = [c.cutoff for c in self.cutoffs]  # type: ignore[union-attr]
        tables = {
            "radial_eta": [eta for eta, _, _ in self._radial],
            "radial_shift": [shift for _, shift, _ in self._radial],
            "radial_cutoff": [radii.index(c) for _, _, c in self._radial],
            "range_eta": [key[0] for key in self._ranges],
            "range_shift": [key[1] for key in self._ranges],
            "range_cutoff": [radii.index(key[2]) for key in self._ranges],
            "range_wide": [key[3] for key in self._ranges],
        }
        for name, values in tables.items():
            real = name.endswith(("eta", "shift"))
            kind = torch.float64 if real else torch.bool if name == "range_wide" else torch.int64
            self.register_buffer(name, torch.tensor(values, dtype=kind), persistent=False)
        # rows of ones: multiplying by them picks columns several times faster than indexing does
        for name, distinct, part in (
            ("pick_range", self._ranges, slice(4)),
            ("pick_power", self._powers, slice(4, 6)),
        ):
            pick = torch.zeros((len(distinct), len(self._angular)), dtype=torch.float64)
            for column, key in enumerate(self._angular):
                pick[distinct.index(key[part]), column] = 1.0
            self.register_buffer(name, pick, persistent=False)

    def _register_choice(self, functions: Sequence[SymmetryFunction]) -> None:
        """`choice [elements, size]`: which column of all sums is which feature; the last column is a zero."""
        kinds = len(self.elements)
        places = {z: k for k, z in enumerate(self.elements)}
        pairs = kinds * (kinds + 1) // 2
        rows: list[list[int]] = [[] for _ in self.elements]
        for f in functions:
            near = [places[number(n)] for n in f.neighbors]
            if f.kind == "G2":
                column = near[0] * len(self._radial) + self._radial.index((f.eta, f.shift, f.cutoff))
            else:
                block = int(self.element_pair[near[0], near[1]])
                column = kinds * len(self._radial) + block * len(self._angular)
                column += self._angular.index(_angular_key(f))
            rows[places[number(f.center)]].append(column)
        self.sizes = tuple(len(row) for row in rows)
        zero = kinds * len(self._radial) + pairs * len(self._angular)
        padded = [row + [zero] * (self.size - len(row)) for row in rows]
        self.register_buffer("choice", torch.tensor(padded), persistent=False)

    def kernel(self) -> SymmetryFunctions:
        """The same functions in C++, in float64; CapabilityError if this machine has no compiler."""
        places = {z: k for k, z in enumerate(self.elements)}
        counts = [0] * len(self.elements)
        radial, angular = [], []
        for f in self.functions:
            center, *near = (places[number(n)] for n in (f.center, *f.neighbors))
            if f.kind == "G2":
                radial.append(RadialFunction(center, near[0], f.eta, f.shift, f.cutoff, counts[center]))
            else:
                both, wide = (near[0], near[1]), f.kind == "G5"
                own = AngularFunction(center, both, f.eta, f.shift, f.cutoff, wide, f.zeta, f.sign, counts[center])
                angular.append(own)
            counts[center] += 1
        form = KINDS.index(self.cutoff_kind)
        inner = 0.0 if self.cutoff_kind.startswith("tanh3") else self.inner
        return SymmetryFunctions(radial, angular, len(self.elements), self.size, form, inner)

    def freeze(self) -> None:
        self._frozen = self.kernel()

    def forward(self, graph: Graph) -> Tensor:
        if self._frozen is not None:
            return self._frozen(*self._given(graph))
        vectors = graph.vectors()
        r = vectors.norm(dim=1)
        kinds = self.element[graph.system.numbers]
        atoms, near = graph.system.atoms, len(self.elements)
        sums = self._sum(self._radial_values(r), graph.centers * near + kinds[graph.neighbors], atoms, near)
        runs = [(0, atoms)] if graph.triplets is not None else list(pairwise(self._bounds(graph, r)))
        if len(runs) == 1:
            more = self._angular_sums(vectors, r, graph, kinds, 0, atoms)
        else:  # recomputed in the backward pass, so that 100,000 atoms fit into memory
            arguments = [(vectors, r, graph, kinds, *run) for run in runs]
            more = torch.cat([checkpoint(self._angular_sums, *a, use_reentrant=False) for a in arguments])  # type: ignore[arg-type]
        columns = torch.cat([sums, more, r.new_zeros((atoms, 1))], dim=1)
        return columns.gather(1, self.choice[kinds])

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(triplets=self.triplets(graph))

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
        """Triplet sums of the atoms from `begin` to before `end` `[end − begin, blocks · functions]`."""
        stored = graph.triplets
        first, second = self._triplets(graph, vectors, r, begin, end) if stored is None else stored.unbind(0)
        block = self._block(graph, kinds, first, second)
        r_jk = (vectors.index_select(0, second) - vectors.index_select(0, first)).norm(dim=1)
        ranges = self._ranges_of(r)
        ij, ik = ranges.index_select(0, first), ranges.index_select(0, second)
        values = self._angular_values(r.index_select(0, first), r.index_select(0, second), r_jk, ij, ik)
        blocks = len(self.elements) * (len(self.elements) + 1) // 2
        return self._sum(values, (graph.centers[first] - begin) * blocks + block, end - begin, blocks)

    def values(self, graph: Graph) -> Tensor:
        """What `forward` gives, without gradient history and in C++ where that can be."""
        with torch.no_grad():
            kernel = self._kernel(graph)
            return self.forward(graph) if kernel is None else kernel(*self._given(graph))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        kernel = self._kernel(graph)
        if kernel is None:
            return self.jacobian_in_torch(graph)
        with torch.no_grad():
            given = self._given(graph)
            return kernel(*given), kernel.jacobian(*given)

    def _given(self, graph: Graph) -> tuple[Tensor, Tensor, PairIndex]:
        return graph.vectors(), self.element[graph.system.numbers], PairIndex.of_graph(graph)

    def _kernel(self, graph: Graph) -> SymmetryFunctions | None:
        """The kernel for a graph, None if there is none."""
        dtype = graph.system.positions.dtype
        if graph.pairs.device.type != "cpu" or dtype not in (torch.float32, torch.float64):
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
            near = len(self.elements)
            blocks = near * (near + 1) // 2
            pairs = len(r)
            (slope,) = _slopes(self._radial_values, r)
            index = torch.arange(pairs, device=r.device) * near + kinds[graph.neighbors]
            radial = self._sum(slope[:, :, None] * (vectors / r[:, None])[:, None, :], index, pairs, near)
            first, second = self._triplets(graph, vectors, r, 0, graph.system.atoms)
            block = self._block(graph, kinds, first, second)
            angular = self._angular_jacobian(vectors, r, first, second, block, blocks)
            columns = torch.cat([radial, angular, r.new_zeros((pairs, 1, 3))], dim=1)
            choice = self.choice[kinds[graph.centers]]
            return self.forward(graph), columns.gather(1, choice[:, :, None].expand(-1, -1, 3))

    def _angular_jacobian(
        self, vectors: Tensor, r: Tensor, first: Tensor, second: Tensor, block: Tensor, blocks: int
    ) -> Tensor:
        """Slopes of all triplet sums with respect to pair vectors `[pairs, blocks · functions, 3]`."""
        across = vectors[second] - vectors[first]
        r_ij, r_ik, r_jk = r[first], r[second], across.norm(dim=1)
        by_ij, by_ik, by_jk = _slopes(self._angular_values, r_ij, r_ik, r_jk)
        side = (by_jk / r_jk[:, None])[:, :, None] * across[:, None, :]
        near = (by_ij / r_ij[:, None])[:, :, None] * vectors[first][:, None, :] - side
        far = (by_ik / r_ik[:, None])[:, :, None] * vectors[second][:, None, :] + side
        total = self._sum(near, first * blocks + block, len(r), blocks)
        return total + self._sum(far, second * blocks + block, len(r), blocks)

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

    def _block(self, graph: Graph, kinds: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Element pair of the neighbors of each triplet `[triplets]`."""
        return self.element_pair[kinds[graph.neighbors[first]], kinds[graph.neighbors[second]]]

    @staticmethod
    def _sum(values: Tensor, index: Tensor, rows: int, blocks: int) -> Tensor:
        """Adds `[n, functions, ...]` into `[rows, blocks · functions, ...]` at `index = row · blocks + block`."""
        out = values.new_zeros((rows * blocks, *values.shape[1:])).index_add(0, index, values)
        return out.reshape(rows, blocks * values.shape[1], *values.shape[2:])

    def _cut(self, r: Tensor, which: Tensor) -> Tensor:
        if len(self.cutoffs) == 1:
            return self.cutoffs[0](r)[:, None]
        return torch.stack([c(r) for c in self.cutoffs], dim=1)[:, which]

    def _radial_values(self, r: Tensor) -> Tensor:
        """Summands of the distinct G² `[pairs, functions]` (eq. 6)."""
        eta, shift = self.radial_eta.to(r.dtype), self.radial_shift.to(r.dtype)
        return torch.exp(-eta * (r[:, None] - shift) ** 2) * self._cut(r, self.radial_cutoff)

    def _ranges_of(self, r: Tensor) -> Tensor:
        """exp(−η (R − R_s)²) f_c(R) of the distinct (η, R_s, R_c) of G⁴ and G⁵ `[n, ranges]`."""
        eta, shift = self.range_eta.to(r.dtype), self.range_shift.to(r.dtype)
        return torch.exp(-eta * (r[:, None] - shift) ** 2) * self._cut(r, self.range_cutoff)

    def _angular_values(
        self, r_ij: Tensor, r_ik: Tensor, r_jk: Tensor, ij: Tensor | None = None, ik: Tensor | None = None
    ) -> Tensor:
        """Summands of the distinct G⁴ and G⁵ `[triplets, functions]` (eqs. 8, 9).

        `ij` and `ik` are the ranges of r_ij and r_ik where they are known already.
        """
        cosine = (r_ij**2 + r_ik**2 - r_jk**2) / (2.0 * r_ij * r_ik)
        ranges = (self._ranges_of(r_ij) if ij is None else ij) * (self._ranges_of(r_ik) if ik is None else ik)
        if self.narrow:
            ranges = ranges * self._ranges_of(r_jk)
        else:
            ranges = ranges * torch.where(self.range_wide, 1.0, self._ranges_of(r_jk))
        powers = torch.stack([power(1.0 + sign * cosine, zeta) for zeta, sign in self._powers] or [cosine], dim=1)
        powers = powers[:, : len(self._powers)]
        return (ranges @ self.pick_range.to(r_ij.dtype)) * (powers @ self.pick_power.to(r_ij.dtype))


def power(base: Tensor, zeta: float) -> Tensor:
    """2^(1−ζ) base^ζ for base ≥ 0; whole ζ by repeated squaring."""
    half = 0.5 * base.clamp(min=0.0)
    if zeta != int(zeta):
        return 2.0 * half**zeta
    result, square, left = None, half, int(zeta)
    while left:
        if left & 1:
            result = square if result is None else result * square
        square, left = square * square if left > 1 else square, left >> 1
    assert result is not None
    return 2.0 * result


def _slopes(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Derivative of rows `[n, functions]` with respect to each `[n]` input they depend on.

    The vector-Jacobian product is linear in its weights, so its own derivative with respect to them is the
    derivative of every function at once.
    """
    with torch.enable_grad():
        inputs = tuple(x.detach().requires_grad_() for x in inputs)
        values = function(*inputs)
        weights = torch.zeros_like(values, requires_grad=True)
        products = torch.autograd.grad(values, inputs, weights, create_graph=True)
        return [torch.autograd.grad(p.sum(), weights, retain_graph=True)[0] for p in products]


def _angular_key(f: SymmetryFunction) -> tuple[float, float, float, bool, float, int]:
    return (f.eta, f.shift, f.cutoff, f.kind == "G5", f.zeta, f.sign)


def _distinct(keys: Iterable[tuple]) -> list[tuple]:
    return list(dict.fromkeys(keys))


def _check(functions: Sequence[SymmetryFunction], elements: tuple[int, ...]) -> None:
    centers = {number(f.center) for f in functions}
    for z in elements:
        if z not in centers:
            raise ConfigError(f"element {z} has no symmetry function: give at least one for every element.")
    for f in functions:
        wanted = 1 if f.kind == "G2" else 2
        if len(f.neighbors) != wanted:
            raise ConfigError(f"a {f.kind} function has {len(f.neighbors)} neighbors {f.neighbors}: give {wanted}.")
        unknown = [n for n in (f.center, *f.neighbors) if number(n) not in elements]
        if unknown:
            raise ConfigError(f"the symmetry function {f} names {unknown[0]}, which is not among the elements.")
