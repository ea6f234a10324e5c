"""The atomic cluster expansion in C++: energies with their gradient in one pass, and features with their slopes.

Sums over neighbors are multiplied along a list in which every product is made of two lower ones, and derivatives go
through it from its end (Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), doi:10.1038/s41524-021-00559-9).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.rows import AtomKernel, RowKernel

NAME = "cluster_products"
Row = Sequence[tuple[int, float]]  # values and coefficients of a sum; −1 is the number 1


@dataclass(frozen=True)
class ClusterSums:
    """How neighbors make sums, and sums make products.

    Attributes:
        bonds: basis, λ, cutoff, width, inner radius, its width, count, whether R_nl = g_n `[kinds·kinds, 8]`.
        mixing: of Bessel functions `[count + 1, count]`.
        coefficients: c_nlk `[kinds, kinds, n, l + 1, count]`.
        first, second: values that each product is made of.
    """

    bonds: np.ndarray
    mixing: np.ndarray
    coefficients: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def arguments(self, inputs: Sequence[Tensor], densities: int, size: int) -> list[Tensor | int]:
        """What both kernels take first."""
        _, kinds, neighbors, begins, *_ = inputs
        own, _, n_max, degrees, count = self.coefficients.shape
        sizes = (len(kinds), own, count, n_max, degrees - 1, len(self.first), densities, size)
        return [*sizes, begins, neighbors, kinds, *self._tables]

    @cached_property
    def _tables(self) -> list[Tensor]:
        tables = (self.bonds, self.mixing, self.coefficients)
        return [*(torch.tensor(t, dtype=torch.float64) for t in tables), _whole(self.first), _whole(self.second)]


class ClusterEnergies(AtomKernel):
    """E_0 + Σ_p a_p F(ρ_p) of each atom.

    Args:
        sums: what products are made of.
        terms: for each element the values that enter, each with its weight in every density.
        embeddings: a, m and whether F is shifted and scaled `[kinds, densities, 3]`.
        constants: E_0 of each element `[kinds]`, eV.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(
        self,
        sums: ClusterSums,
        terms: Sequence[Mapping[int, np.ndarray]],
        embeddings: np.ndarray,
        constants: Tensor,
    ):
        library(NAME)
        self.sums, self.densities, self.constants = sums, embeddings.shape[1], constants.detach()
        weights = [row for own in terms for row in own.values()]
        self._terms = (
            _whole([0, *accumulate(len(own) for own in terms)]),
            _whole([node for own in terms for node in own]),
            torch.tensor(np.array(weights, dtype=np.float64).reshape(-1, self.densities)),
            torch.tensor(np.ascontiguousarray(embeddings, dtype=np.float64)),
        )

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        given = self.sums.arguments(inputs, self.densities, 0)
        call(NAME, "energies", same_type(inputs[0], *made), *given, *self._terms, inputs[0], *made)


class ClusterRows(RowKernel):
    """Rows of features.

    Args:
        sums: what products are made of.
        terms: values and coefficients of each feature.
        choice: which feature is which column of each element's atoms `[kinds, size]`; others than there are give 0.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(self, sums: ClusterSums, terms: Sequence[Row], choice: np.ndarray):
        library(NAME)
        self.sums, self.size, self._tables = sums, choice.shape[1], _columns(terms, choice)

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        given = self.sums.arguments(inputs, 0, self.size)
        call(NAME, function, same_type(inputs[0], *rest), *given, *self._tables, inputs[0], *rest)


class ClusterFeatures:
    """Rows of features and their slopes, without gradient history.

    Args:
        sums: what products are made of.
        terms: values and coefficients of each feature.
        slopes: by channel the derivative of each feature, values and coefficients.
        choice: which feature is which column of each element's atoms `[kinds, size]`; others than there are give 0.
    """

    def __init__(
        self, sums: ClusterSums, terms: Sequence[Row], slopes: Sequence[Mapping[int, Row]], choice: np.ndarray
    ):
        library(NAME)
        self.sums, self.size = sums, choice.shape[1]
        rows = [row for own in slopes for row in own.values()]
        self._tables = (
            *_columns(terms, choice),
            _whole([0, *accumulate(len(own) for own in slopes)]),
            _whole([channel for own in slopes for channel in own]),
            *_sparse(rows),
        )

    def with_coefficients(self, coefficients: np.ndarray) -> ClusterFeatures:
        """A copy with other c_nlk."""
        made = copy.copy(self)
        bonds = self.sums.bonds.copy()
        bonds[:, -1] = 0.0
        made.sums = replace(self.sums, bonds=bonds, coefficients=coefficients)
        return made

    def __call__(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> tuple[Tensor, Tensor]:
        """Features `[atoms, size]` and slopes `[pairs, size, 3]`, Å⁻¹; arguments as those of ClusterEnergies."""
        vectors = vectors.detach().contiguous()
        values = vectors.new_empty((len(kinds), self.size))
        slopes = vectors.new_empty((len(vectors), self.size, 3))
        given = (vectors, kinds.contiguous(), pairs.neighbors.contiguous(), pairs.begins)
        arguments = self.sums.arguments(given, 0, self.size)
        call(NAME, "jacobian", same_type(vectors), *arguments, *self._tables, vectors, values, slopes)
        return values, slopes


def _columns(terms: Sequence[Row], choice: np.ndarray) -> tuple[Tensor | int, ...]:
    """What functions that make features take first."""
    return _whole(choice), *_sparse(terms), len(terms)


def _sparse(rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Where each row begins, its values, and their coefficients."""
    begins, nodes = _whole([0, *accumulate(map(len, rows))]), _whole([node for row in rows for node, _ in row])
    return begins, nodes, torch.tensor([c for row in rows for _, c in row], dtype=torch.float64)


def _whole(values: Sequence[int] | np.ndarray) -> Tensor:
    return torch.tensor(np.array(values, dtype=np.int32))
