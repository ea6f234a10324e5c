"""Atom-centered symmetry functions, their gradient and Jacobian, without a tensor of triplets × functions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.rows import RowKernel

NAME = "symmetry_functions"
ONE, COSINE = 0, {1: 1, -1: 2}  # the first powers: 1, (1 + cos θ)/2 and (1 − cos θ)/2


class RadialFunction(NamedTuple):
    """exp(−η (r − shift)²) f_c(r) of one element's neighbors; elements are places, `feature` is the column."""

    center: int
    neighbor: int
    eta: float
    shift: float
    cutoff: float
    feature: int


class AngularFunction(NamedTuple):
    """2^(1−ζ) (1 + sign cos θ)^ζ Π exp(−η (r − shift)²) f_c(r) of two elements' neighbors, each two once.

    The product is over the two pairs, and over the neighbors' distance as well unless `wide`.
    """

    center: int
    neighbors: tuple[int, int]
    eta: float
    shift: float
    cutoff: float
    wide: bool
    zeta: float
    sign: int
    feature: int


class SymmetryFunctions(RowKernel):
    """Rows of symmetry functions for a graph, differentiable once in the pair vectors.

    Functions that differ in ζ and sign alone share exponentials and cutoff functions.

    Args:
        radial, angular: the functions; every feature of an element's atoms that none has stays 0.
        kinds: number of elements.
        size: width of the rows.
        form: place of the cutoff function in `nn.inner_cutoffs.KINDS`.
        inner: radius up to which it is 1, fraction of the cutoff.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(
        self,
        radial: Iterable[RadialFunction],
        angular: Iterable[AngularFunction],
        kinds: int,
        size: int,
        form: int,
        inner: float = 0.0,
    ):
        library(NAME)
        radial, angular = list(radial), list(angular)
        self.kinds, self.size, self.form = kinds, size, form
        radii = sorted({f.cutoff for f in (*radial, *angular)})
        self._cutoffs = torch.tensor([(radius, inner * radius) for radius in radii], dtype=torch.float64)
        layout = _Layout(radii)
        layout.add_radial(radial, kinds)
        layout.add_angular(angular, kinds)
        self._layout = layout.tensors()
        self._counts = (len(radii), layout.slots, layout.widest)
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

    def jacobian(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Slopes of the center's features by each pair vector `[pairs, size, 3]`, without gradient history."""
        vectors = vectors.detach().contiguous()
        made = vectors.new_empty((len(vectors), self.size, 3))
        self.call("jacobian", (vectors, kinds.contiguous(), pairs.neighbors.contiguous(), pairs.begins), made)
        return made

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        call(
            NAME, function, same_type(vectors, self._shift, *rest), len(kinds), self.kinds, self.size, begins,
            neighbors, kinds, vectors, self.form, *self._counts, self._cutoffs, *self._layout, self._shift,
            self._factor, *rest,
        )  # fmt: skip


class _Layout:
    """The functions in the order in which the kernel walks; the structs are those of symmetry_functions.cpp."""

    def __init__(self, radii: Sequence[float]):
        self.radii = radii
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
        tables: list[list[Any]] = [
            self.radial_begins, self.radials, self.radial_values, self.pass_begins, self.passes, self.ops,
            self.exponents, self.groups, self.group_values, self.functions, self.zetas,
        ]  # fmt: skip
        real = (self.radial_values, self.exponents, self.group_values, self.zetas)
        return [torch.tensor(t, dtype=torch.float64 if any(t is r for r in real) else torch.int32) for t in tables]

    def add_radial(self, functions: Sequence[RadialFunction], kinds: int) -> None:
        for center in range(kinds):
            for near in range(kinds):
                for f in functions:
                    if (f.center, f.neighbor) == (center, near):
                        self.radials.append((self.radii.index(f.cutoff), f.feature))
                        self.radial_values.append((f.eta, f.shift))
                self.radial_begins.append(len(self.radials))

    def add_angular(self, functions: Sequence[AngularFunction], kinds: int) -> None:
        for center in range(kinds):
            for one in range(kinds):
                for other in range(one, kinds):
                    own = [f for f in functions if f.center == center and tuple(sorted(f.neighbors)) == (one, other)]
                    own.sort(key=lambda f: (f.cutoff, f.wide, f.eta, f.shift, -f.sign, f.zeta))
                    for (cutoff, wide), together in groupby(own, lambda f: (f.cutoff, f.wide)):
                        self._add_pass(self.radii.index(cutoff), wide, list(together))
                    self.pass_begins.append(len(self.passes))

    def _add_pass(self, cutoff: int, wide: bool, functions: Sequence[AngularFunction]) -> None:
        ops, groups, first = len(self.ops), len(self.groups), len(self.functions)
        powers: dict[tuple[int, float], int] = {}
        for (eta, shift), together in groupby(functions, lambda f: (f.eta, f.shift)):
            own = list(together)
            begin = len(self.functions)
            middle = begin + sum(f.sign == 1 for f in own)
            for f in own:
                self.functions.append((self._power(powers, f.sign, f.zeta - 1.0, ops), f.feature))
                self.zetas.append(f.zeta)
            self.groups.append((begin, middle, len(self.functions)))
            self.group_values.append((eta, shift))
        ends = (len(self.ops), groups, len(self.groups), first, len(self.functions))
        self.passes.append((cutoff, int(wide), ops, *ends))
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
