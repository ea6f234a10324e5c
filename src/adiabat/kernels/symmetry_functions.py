"""Atom-centered symmetry functions, their gradient and Jacobian, without a tensor of triplets × functions."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement, groupby, product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.rows import RowKernel

NAME = "symmetry_functions"
ONE, COSINE = 0, {1: 1, -1: 2}  # the first powers: 1, (1 + cos θ)/2 and (1 − cos θ)/2


class Window(NamedTuple):
    """Where a function of a distance, or of an angle, is not zero.

    Attributes:
        form: place of the function in `nn.inner_cutoffs.KINDS`.
        end: where it ends, Å or radians.
        begin: up to where it is 1; of a compact function, where it begins.
        compact: whether it falls to both sides of the middle, form(|x − middle| / half the width).
        asymmetric: whether a compact one is form((2 − u) u) instead, u = |x − middle| / half the width.
    """

    form: int
    end: float
    begin: float = 0.0
    compact: bool = False
    asymmetric: bool = False


class RadialFunction(NamedTuple):
    """exp(−η (r − shift)²) cos(κ r) window(r) of one element's neighbors, in column `feature`; elements are places.

    With `weights`, one for each element, it is that of all neighbors (`neighbor` None), each times its weight.
    """

    center: int
    neighbor: int | None
    window: Window
    feature: int
    eta: float = 0.0
    shift: float = 0.0
    kappa: float = 0.0
    weights: tuple[float, ...] = ()


class AngularFunction(NamedTuple):
    """Π exp(−η (r − shift)²) window(r) times a function of the angle, of two elements' neighbors, each two once.

    The product is over the two pairs, and over the neighbors' distance as well unless `wide`. The function of the
    angle is a window, or 2^(1−ζ) (1 + sign cos θ)^ζ of (ζ, sign). `weights` as for RadialFunction.
    """

    center: int
    neighbors: tuple[int, int] | None
    window: Window
    angle: Window | tuple[float, int]
    feature: int
    eta: float = 0.0
    shift: float = 0.0
    wide: bool = False
    weights: tuple[float, ...] = ()


class SymmetryFunctions(RowKernel):
    """Rows of symmetry functions for a graph, differentiable once in the pair vectors.

    Functions that differ in ζ and sign alone share exponentials and cutoff functions.

    Args:
        radial, angular: the functions; every feature of an element's atoms that none has stays 0.
        kinds: number of elements.
        size: width of the rows.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(
        self,
        radial: Iterable[RadialFunction],
        angular: Iterable[AngularFunction],
        kinds: int,
        size: int,
    ):
        library(NAME)
        self.kinds, self.size = kinds, size
        layout = _Layout(kinds)
        layout.add_radial(list(radial))
        layout.add_angular(list(angular))
        self._layout = layout.tensors()
        self._counts = (len(layout.classes), layout.slots, layout.widest, len(layout.angles))
        self._shift = torch.zeros((kinds, size), dtype=torch.float64)
        self._factor = torch.ones((kinds, size), dtype=torch.float64)

    def scaled(self, shift: Tensor, factor: Tensor) -> SymmetryFunctions:
        """A kernel for (G − shift) · factor, both `[kinds, size]`, in their floating-point type."""
        made = copy.copy(self)
        made._shift, made._factor = shift.detach().contiguous(), factor.detach().contiguous()
        return made

    def to(self, dtype: torch.dtype) -> SymmetryFunctions:
        """A kernel for this floating-point type."""
        return self.scaled(self._shift.to(dtype), self._factor.to(dtype))

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        call(
            NAME, function, same_type(vectors, self._shift, *rest), len(kinds), self.kinds, self.size, begins,
            neighbors, kinds, vectors, *self._counts, *self._layout, self._shift, self._factor, *rest,
        )  # fmt: skip


class _Layout:
    """The functions in the order in which the kernel walks; the structs are those of symmetry_functions.cpp."""

    def __init__(self, kinds: int):
        self.kinds = kinds
        self.classes: dict[tuple[Window, tuple[float, ...]], int] = {}
        self.angles: dict[Window, int] = {}
        self.radial_begins, self.pass_begins = [0], [0]
        self.radials: list[tuple[int, ...]] = []
        self.radial_values: list[tuple[float, ...]] = []
        self.passes: list[tuple[int, ...]] = []
        self.ops: list[tuple[int, ...]] = []
        self.exponents: list[float] = []
        self.groups: list[tuple[int, ...]] = []
        self.group_values: list[tuple[float, ...]] = []
        self.functions: list[tuple[int, ...]] = []
        self.zetas: list[float] = []
        self.slots, self.widest = 3, 0

    def tensors(self) -> list[Tensor]:
        """What the kernel takes, in its order."""
        windows, turns = [w for w, _ in self.classes], list(self.angles)
        real: list[Any] = [[(w.end, w.begin) for w in own] for own in (windows, turns)]
        real.append([w or (1.0,) * self.kinds for _, w in self.classes])
        real += [self.radial_values, self.exponents, self.group_values, self.zetas]
        tables: list[Any] = [
            *([(w.form, w.compact, w.asymmetric) for w in own] for own in (windows, turns)), *real[:3],
            self.radial_begins, self.radials, self.radial_values, self.pass_begins, self.passes, self.ops,
            self.exponents, self.groups, self.group_values, self.functions, self.zetas,
        ]  # fmt: skip
        return [torch.tensor(t, dtype=torch.float64 if any(t is r for r in real) else torch.int32) for t in tables]

    def add_radial(self, functions: Sequence[RadialFunction]) -> None:
        own: dict[Any, list[RadialFunction]] = defaultdict(list)
        for f in functions:
            own[f.center, f.neighbor].append(f)
        for block in product(range(self.kinds), (*range(self.kinds), None)):
            for f in own[block]:
                self.radials.append((self._class(f), f.feature))
                self.radial_values.append((f.eta, f.shift, f.kappa))
            self.radial_begins.append(len(self.radials))

    def add_angular(self, functions: Sequence[AngularFunction]) -> None:
        own: dict[Any, list[AngularFunction]] = defaultdict(list)
        for f in functions:
            own[f.center, None if f.neighbors is None else tuple(sorted(f.neighbors))].append(f)
        blocks = (*combinations_with_replacement(range(self.kinds), 2), None)
        for block in product(range(self.kinds), blocks):
            found = sorted(own[block], key=self._order)
            for (place, wide, angles, *_), together in groupby(found, lambda f: self._order(f)[:3]):
                self._add_pass(place, wide, angles, list(together))
            self.pass_begins.append(len(self.passes))

    def _class(self, f: RadialFunction | AngularFunction) -> int:
        return self.classes.setdefault((f.window, f.weights), len(self.classes))

    def _order(self, f: AngularFunction) -> tuple[Any, ...]:
        angles = isinstance(f.angle, Window)
        last = f.angle if isinstance(f.angle, Window) else (-f.angle[1], f.angle[0])
        return (self._class(f), f.wide, angles, f.eta, f.shift, *last)

    def _add_pass(self, place: int, wide: bool, angles: bool, functions: Sequence[AngularFunction]) -> None:
        ops, groups, first = len(self.ops), len(self.groups), len(self.functions)
        powers: dict[tuple[int, float], int] = {}
        for (eta, shift), together in groupby(functions, lambda f: (f.eta, f.shift)):
            own = list(together)
            begin = len(self.functions)
            middle = begin + sum(not isinstance(f.angle, Window) and f.angle[1] == 1 for f in own)
            for f in own:
                if isinstance(f.angle, Window):
                    slot, zeta = self.angles.setdefault(f.angle, len(self.angles)), 0.0
                else:
                    zeta, sign = f.angle
                    slot = self._power(powers, sign, zeta - 1.0, ops)
                self.functions.append((slot, f.feature))
                self.zetas.append(zeta)
            self.groups.append((begin, middle, len(self.functions)))
            self.group_values.append((eta, shift))
        ends = (len(self.ops), groups, len(self.groups), first, len(self.functions))
        self.passes.append((place, int(wide), int(angles), ops, *ends))
        self.slots = max(self.slots, 3 + len(self.ops) - ops)
        self.widest = max(self.widest, len(self.functions) - first)

    def _power(self, known: dict[tuple[int, float], int], sign: int, exponent: float, first: int) -> int:
        """Where the kernel finds a power; whole ones are products of two lower ones."""
        if exponent == 0.0:
            return ONE
        if exponent == 1.0:
            return COSINE[sign]
        if (sign, exponent) not in known:
            if exponent != int(exponent):
                op, value = (1, COSINE[sign], 0), exponent
            else:
                half = exponent // 2 if exponent % 2 == 0 else exponent - 1
                factors = (self._power(known, sign, e, first) for e in (half, exponent - half))
                op, value = (0, *factors), 0.0
            self.ops.append(op)
            self.exponents.append(value)
            known[sign, exponent] = 3 + len(self.ops) - 1 - first
        return known[sign, exponent]
