"""Contractions of moment tensors: energies linear in them, slopes and Jacobian, and gradients for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.rows import AtomKernel, RowKernel

NAME = "moment_tensors"


class Polynomials(NamedTuple):
    """T_k(x) (R − r)², with x from −1 to 1 between `inner` and the cutoff R, Å."""

    inner: float
    cutoff: float

    def values(self) -> tuple[float, ...]:
        """As the kernel has them."""
        return self.inner, self.cutoff, 0.0, 1.0


class Gaussians(NamedTuple):
    """h exp(−b_k (r − γ_k)²) ½ (1 + cos πr/R); directions are r / (|r| + offset).

    Attributes:
        centers: γ, Å.
        rates: b, Å⁻².
        cutoff: R, Å.
        offset: Å.
        height: h.
    """

    centers: tuple[float, ...]
    rates: tuple[float, ...]
    cutoff: float
    offset: float
    height: float

    def values(self) -> tuple[float, ...]:
        """As the kernel has them."""
        return 0.0, self.cutoff, self.offset, self.height, *self.centers, *self.rates


class MomentTensors:
    """The lists of contractions, as the kernel walks them.

    Args:
        basic: (radial function, monomial) of each component of a moment, in order of radial functions.
        parents: (monomial, component of the direction) each monomial but the first is the product of.
        products: (i, j, factor, k), see `descriptors.contractions.Contractions`.
        scalars: which numbers are the contractions.
        numbers: how many numbers there are.
        kinds: number of elements.
        form: what radial functions are made of.

    Attributes:
        form: as given.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(
        self,
        basic: Sequence[tuple[int, int]],
        parents: Sequence[tuple[int, int]],
        products: Sequence[tuple[int, int, int, int]],
        scalars: Sequence[int],
        numbers: int,
        kinds: int,
        form: Polynomials | Gaussians,
    ):
        library(NAME)
        self.kinds, self.size, self.numbers = kinds, len(scalars), numbers
        self.form, self._form = form, torch.tensor(form.values(), dtype=torch.float64)
        tables = (basic, parents, products, scalars)
        shapes = ((-1, 2), (-1, 2), (-1, 4), (-1,))
        self._lists = [
            torch.tensor(t, dtype=torch.int32).reshape(s).contiguous() for t, s in zip(tables, shapes, strict=True)
        ]

    def energies(
        self, vectors: Tensor, kinds: Tensor, pairs: PairIndex, coefficients: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Σ_α ξ_α B_α of each atom `[atoms]` and its slopes by pair vectors `[pairs, 3]`.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å.
            kinds: each atom's element, a place `[atoms]`.
            pairs: from `PairIndex.of`.
            coefficients: of the radial functions `[kinds², radial, basis]`.
            weights: ξ of each element of the center `[kinds, size]`.
        """
        values, slopes = vectors.new_empty(kinds.shape[0]), vectors.new_empty(vectors.shape)
        self._call("energies", (vectors, kinds, pairs.neighbors, pairs.begins), coefficients, weights, values, slopes)
        return values, slopes

    def tangents(
        self, vectors: Tensor, kinds: Tensor, pairs: PairIndex, coefficients: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Derivatives of what `energies` gives by the coefficients of the center's element.

        `[atoms, kinds · radial · basis]` and `[pairs, kinds · radial · basis, 3]`; arguments as for `energies`.
        """
        own = coefficients[0].numel() * self.kinds
        values = vectors.new_empty((kinds.shape[0], own))
        slopes = vectors.new_empty((vectors.shape[0], own, 3))
        self._call("tangents", (vectors, kinds, pairs.neighbors, pairs.begins), coefficients, weights, values, slopes)
        return values, slopes

    def jacobian(
        self, vectors: Tensor, kinds: Tensor, pairs: PairIndex, coefficients: Tensor
    ) -> tuple[Tensor, Tensor]:
        """B `[atoms, size]` and its slopes by each pair vector `[pairs, size, 3]`; arguments as for `energies`."""
        values = vectors.new_empty((kinds.shape[0], self.size))
        slopes = vectors.new_empty((vectors.shape[0], self.size, 3))
        self._call("jacobian", (vectors, kinds, pairs.neighbors, pairs.begins), coefficients, values, slopes)
        return values, slopes

    def _call(self, function: str, given: Sequence[Tensor], coefficients: Tensor, *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = (t.detach().contiguous() for t in given)
        rest = (coefficients.detach().contiguous(), *(t.detach().contiguous() for t in rest))
        basic, parents, products, scalars = self._lists
        _, radial, basis = coefficients.shape
        counts = (
            self.kinds,
            radial,
            basis,
            len(parents),
            len(basic),
            self.numbers,
            len(products),
            self.size,
            isinstance(self.form, Gaussians),
        )
        call(
            NAME, function, same_type(vectors, *rest), len(kinds), begins, neighbors, kinds, vectors,
            torch.tensor(counts, dtype=torch.int64), self._form, basic, parents, products, scalars, *rest,
        )  # fmt: skip


class MomentTensorRows(RowKernel):
    """Rows of contractions B_α; what they are made of is kept for the gradient.

    Args:
        lists: the contractions.
        coefficients: of the radial functions `[kinds², radial, basis]`.
    """

    kept = 1

    def __init__(self, lists: MomentTensors, coefficients: Tensor):
        self.lists, self.size = lists, lists.size
        self.coefficients = coefficients.detach().contiguous()

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        numbers = inputs[0].new_empty((inputs[1].shape[0], self.lists.numbers))
        return [*super().outputs(*inputs), numbers]

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        self.lists._call(function, inputs[:4], self.coefficients, *inputs[4:], *rest)


class MomentTensorEnergies(AtomKernel):
    """Energies ξ_0 + Σ_α ξ_α B_α of atoms.

    Args:
        lists: the contractions.
        coefficients: of the radial functions `[kinds², radial, basis]`.
        weights: ξ of each element of the center `[kinds, size]`, in the same floating-point type.
        constants: ξ_0 of each element `[kinds]`.
    """

    def __init__(self, lists: MomentTensors, coefficients: Tensor, weights: Tensor, constants: Tensor):
        self.lists, self.constants = lists, constants.detach()
        self.coefficients, self.weights = coefficients.detach().contiguous(), weights.detach().contiguous()

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self.lists._call("energies", inputs, self.coefficients, self.weights, *made)
