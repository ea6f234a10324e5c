"""Polynomials of an atom's features, channel by channel, without a tensor of monomials × atoms × channels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adiabat.errors import InputError
from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel

Monomial = tuple[int, ...]
BLOCK = 64  # bytes of channels side by side, as in polynomial.cpp


@dataclass(eq=False)
class Polynomial(Kernel):
    """B[i, o, c] = Σ_t K[element_i, t, c] Π_{a in monomial t} A[i, a, c] over the terms t of row o.

    Attributes:
        coefficients: K in the order in which the kernel walks, `[sets, blocks, terms, channels of a block]`.
        program: the walk, int32; see polynomial.cpp.
        monomials: ascending component indices of each term, in the order of the coefficients.
        places: row of each term.
        components: number of rows of A.
        rows: number of rows of B.
        channels: number of channels.
    """

    coefficients: Tensor
    program: Tensor
    monomials: list[Monomial]
    places: list[int]
    components: int
    rows: int
    channels: int

    @property
    def sets(self) -> int:
        """Number of elements; 1 also if all share their coefficients."""
        return self.coefficients.shape[0]

    @property
    def terms(self) -> int:
        """Number of coefficients of one set and channel."""
        return self.coefficients.shape[2]

    @property
    def order(self) -> int:
        """Highest number of factors."""
        return max((len(m) for m in self.monomials), default=0)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the coefficients."""
        return self.coefficients.dtype

    @classmethod
    def of(
        cls,
        places: Sequence[int],
        monomials: Sequence[Monomial],
        coefficients: Tensor,
        components: int,
        rows: int,
        dtype: torch.dtype,
    ) -> Polynomial:
        """From terms in any order, no monomial twice in one row.

        Args:
            places: row of each term.
            monomials: ascending component indices of each term, at least one.
            coefficients: `[sets, terms, channels]`, of any floating-point type.
            components: number of rows of A.
            rows: number of rows of B.
            dtype: to compute with, float32 or float64.
        """
        indices: list[dict[Monomial, int]] = [{} for _ in range(rows)]
        for index, (row, monomial) in enumerate(zip(places, monomials, strict=True)):
            indices[row][monomial] = index
        walk = _Walk()
        for terms in indices:
            walk.node((), _children(terms), terms)
        order = walk.order
        packed = _packed(coefficients[:, order].to("cpu", dtype))
        return cls(
            packed, torch.tensor(walk.program, dtype=torch.int32), [monomials[t] for t in order],
            [places[t] for t in order], components, rows, coefficients.shape[2],
        )  # fmt: skip

    def unpacked(self) -> Tensor:
        """K as `[sets, terms, channels]`."""
        return self.coefficients.transpose(1, 2).flatten(2)[..., : self.channels]

    def __call__(self, features: Tensor, element: Tensor) -> Tensor:
        """B `[atoms, rows, channels]`, differentiable once in the features.

        Args:
            features: A, `[atoms, components, channels]`, on the CPU, with the dtype of the coefficients.
            element: which set of coefficients each atom uses `[atoms]`, int64; ignored if there is only one.

        Raises:
            ConfigError: features and coefficients have different floating-point types.
            InputError: there are no coefficients for an element.
        """
        (made,) = self.apply(features, element)
        return made

    def reference(self, features: Tensor, element: Tensor) -> Tensor:
        """The same in torch."""
        own = element if self.sets > 1 else torch.zeros_like(element)
        coefficients = self.unpacked()[own]
        made = features.new_zeros(features.shape[0], self.rows, self.channels)
        for term, (row, monomial) in enumerate(zip(self.places, self.monomials, strict=True)):
            value = coefficients[:, term] * features[:, list(monomial)].prod(dim=1)
            made = made.index_add(1, torch.tensor([row]), value[:, None])
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [inputs[0].new_empty(inputs[0].shape[0], self.rows, self.channels)]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        features, element = inputs
        assert features.shape[1:] == (self.components, self.channels)
        same_type(features, self.coefficients)
        if self.sets > 1 and len(element):
            low, high = (int(x) for x in element.aminmax())
            if low < 0 or high >= self.sets:
                raise InputError(
                    f"element {low} or {high} is outside of the {self.sets} sets of coefficients: count elements"
                    " from 0."
                )
        self._call("forward", features, element, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("backward", *inputs, *gradients, *made)

    def _call(self, function: str, features: Tensor, element: Tensor, *rest: Tensor) -> None:
        call(
            "polynomial", function, features.dtype, features.shape[0], self.channels, self.components, self.rows,
            self.order, self.terms, self.sets, element, self.program, self.coefficients, features, *rest,
        )  # fmt: skip


def _packed(coefficients: Tensor) -> Tensor:
    """`[sets, terms, channels]` as `[sets, blocks, terms, channels of a block]`, filled up with zeros."""
    sets, terms, channels = coefficients.shape
    width = BLOCK // coefficients.element_size()
    blocks = -(-channels // width)
    full = coefficients.new_zeros(sets, terms, blocks * width)
    full[..., :channels] = coefficients
    return full.view(sets, terms, blocks, width).transpose(1, 2).contiguous()


class _Walk:
    """The program of the kernel, and the terms in the order in which it uses their coefficients."""

    def __init__(self) -> None:
        self.program: list[int] = []
        self.order: list[int] = []

    def node(self, node: Monomial, children: dict[Monomial, list[Monomial]], terms: dict[Monomial, int]) -> None:
        """Appends a node and all below it."""
        leaves, inner = [], []
        runs: dict[tuple[int, bool], list[Monomial]] = defaultdict(list)
        for child in children[node]:
            if child not in children:
                leaves.append(child)
            elif any(below in children for below in children[child]):
                inner.append(child)
            else:
                runs[len(children[child]), child in terms].append(child)
        factors = [_factor(node, leaf) for leaf in leaves]
        self.program += [int(node in terms), len(leaves), len(runs), len(inner), *factors]
        self._use(node, leaves, terms)
        for (size, own), members in sorted(runs.items()):
            self.program += [int(own), size, len(members)]
            for member in members:
                self.program += [_factor(node, member), *(_factor(member, leaf) for leaf in children[member])]
                self._use(member, children[member], terms)
        for child in inner:
            self.program.append(_factor(node, child))
            self.node(child, children, terms)

    def _use(self, node: Monomial, leaves: list[Monomial], terms: dict[Monomial, int]) -> None:
        self.order += [terms[m] for m in (node, *leaves) if m in terms]


def _factor(node: Monomial, child: Monomial) -> int:
    """The component that a child has and its parent has not."""
    (factor,) = (Counter(child) - Counter(node)).elements()
    return factor


def _children(terms: Iterable[Monomial]) -> dict[Monomial, list[Monomial]]:
    """A tree with few inner nodes that has every monomial as a node; a node divides its children."""
    levels: dict[int, set[Monomial]] = defaultdict(set)
    for monomial in terms:
        levels[len(monomial)].add(monomial)
    children: dict[Monomial, list[Monomial]] = {(): []}
    for order in range(max(levels, default=0), 0, -1):
        for parent, own in _covered(levels[order]).items():
            children[parent] = sorted(own)
            if parent:
                levels[order - 1].add(parent)
    return children


def _covered(monomials: set[Monomial]) -> dict[Monomial, list[Monomial]]:
    """Few monomials of one order less, each with those it divides: always the one that divides most of the rest."""
    options: dict[Monomial, set[Monomial]] = defaultdict(set)
    for monomial in sorted(monomials):
        for k in range(len(monomial)):
            options[monomial[:k] + monomial[k + 1 :]].add(monomial)
    found: dict[Monomial, list[Monomial]] = {}
    while options:
        best = max(sorted(options), key=lambda parent: len(options[parent]))
        found[best] = list(options[best])
        for monomial in found[best]:
            for k in range(len(monomial)):
                options.get(monomial[:k] + monomial[k + 1 :], set()).discard(monomial)
        options = defaultdict(set, {parent: own for parent, own in options.items() if own})
    return found
