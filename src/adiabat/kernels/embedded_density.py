"""Σ_j c_j x^a y^b z^c R(r_ij) with tabulated R of each element, without a tensor of pairs × monomials × waves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from adiabat.errors import CapabilityError
from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import BLOCK, Table

NAME = "embedded_density"
LARGEST = 35  # monomials up to degree 4, as compiled


class Products(Protocol):
    """Monomials: callable, with the one below each and the component that makes the difference."""

    parents: list[tuple[int, int]]

    def __call__(self, vectors: Tensor) -> Tensor:
        """`[pairs, 3]` to `[pairs, monomials]`."""
        ...


class EmbeddedSums(Kernel):
    """The sums, differentiable once in pair vectors and coefficients.

    Args:
        table: R, the waves of each element side by side, in the floating-point type of the kernel.
        kinds: number of elements.
        monomials: the products.
        roots: their factors `[monomials]`.

    Raises CapabilityError if this machine has no compiler for it, or for powers above 4.
    """

    differentiable: ClassVar[int] = 2

    def __init__(self, table: Table, kinds: int, monomials: Products, roots: Tensor):
        library(NAME)
        if len(monomials.parents) > LARGEST:
            raise CapabilityError("the fast kernel of embedded densities goes up to powers of 4, and this has more.")
        self.table, self.kinds, self.monomials = table, kinds, monomials
        self.waves = table.coefficients.shape[2] // kinds
        fill = -self.waves % (BLOCK // table.coefficients.element_size())
        parts = table.coefficients.unflatten(2, (kinds, self.waves)).permute(2, 0, 1, 3)
        self.polynomials = functional.pad(parts, (0, fill)).contiguous()
        self.roots = roots.detach().to(table.coefficients.dtype).contiguous()
        self.parents = torch.tensor(monomials.parents, dtype=torch.int32).contiguous()

    def __call__(self, vectors: Tensor, coefficients: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """ψ `[atoms, monomials, waves]`.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å; pairs from the table's end on add nothing.
            coefficients: c of each atom `[atoms, waves]`.
            kinds: each atom's element, a place `[atoms]`.
            pairs: from `PairIndex.of`.
        """
        fill = self.polynomials.shape[3] - self.waves
        (made,) = self.apply(vectors, functional.pad(coefficients, (0, fill)), kinds, *pairs.tensors)
        return made[:, :, : self.waves]

    def reference(self, vectors: Tensor, coefficients: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """The same in torch."""
        distances = vectors.norm(dim=1)
        every = self.table(distances).unflatten(1, (self.kinds, self.waves))
        radial = every[torch.arange(len(distances)), kinds[pairs.neighbors]] * coefficients[pairs.neighbors]
        radial = torch.where((distances < self.table.stop)[:, None], radial, torch.zeros_like(radial))
        return pairs.sum((self.monomials(vectors) * self.roots)[:, :, None] * radial[:, None])

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        _, coefficients, *_ = inputs
        return [coefficients.new_empty((coefficients.shape[0], len(self.parents), coefficients.shape[1]))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *_, neighbors, begins, _, _ = inputs
        self._call("forward", inputs, begins, neighbors, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *_, centers, _, _, order, begins = inputs
        self._call("backward", inputs, begins, order, centers, *gradients, *made)

    def _call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, coefficients, kinds = inputs[:3]
        table = self.table
        call(
            NAME, function, same_type(vectors, coefficients, self.polynomials, self.roots), *coefficients.shape,
            len(self.parents), self.parents, self.roots, vectors, coefficients, self.polynomials, kinds,
            table.intervals, table.start, table.stop, table.inverse_step, *rest,
        )  # fmt: skip
