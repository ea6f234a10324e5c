"""The atomic cluster expansion in C++: energies with their gradient in one pass, and features with their slopes.

Sums over neighbors are multiplied along a list in which every product is made of two lower ones, and derivatives go
through it from its end (Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), doi:10.1038/s41524-021-00559-9).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex

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
        _, kinds, neighbors, begins = inputs
        count, n_max, degrees = self.coefficients.shape[4], self.coefficients.shape[2], self.coefficients.shape[3]
        products = [torch.from_numpy(rows.astype(np.int32)) for rows in (self.first, self.second)]
        tables = [torch.from_numpy(np.ascontiguousarray(t)) for t in (self.bonds, self.mixing, self.coefficients)]
        sizes = (len(kinds), self.coefficients.shape[0], count, n_max, degrees - 1, len(self.first), densities, size)
        return [*sizes, begins, neighbors, kinds, *tables, *products]


class ClusterEnergies(Kernel):
    """Σ_p a_p F(ρ_p) of each atom, differentiable once in the pair vectors.

    Args:
        sums: what products are made of.
        terms: for each element the values that enter, each with its weight in every density.
        embeddings: a, m and whether F is shifted and scaled `[kinds, densities, 3]`.

    Raises CapabilityError if this machine has no compiler for it.
    """

    differentiable: ClassVar[int] = 1
    kept = 1

    def __init__(self, sums: ClusterSums, terms: Sequence[Mapping[int, np.ndarray]], embeddings: np.ndarray):
        library(NAME)
        self.sums, self.densities = sums, embeddings.shape[1]
        weights = [row for own in terms for row in own.values()]
        self._terms = (
            _whole([0, *accumulate(len(own) for own in terms)]),
            _whole([node for own in terms for node in own]),
            torch.tensor(np.array(weights, dtype=np.float64).reshape(-1, self.densities)),
            torch.tensor(np.ascontiguousarray(embeddings, dtype=np.float64)),
        )

    def __call__(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Energies `[atoms]`, eV.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å.
            kinds: each atom's element, a place `[atoms]`.
            pairs: from `PairIndex.of`.
        """
        return self.apply(vectors, kinds, pairs.neighbors, pairs.begins)[0]

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [inputs[0].new_empty((inputs[1].shape[0],)), torch.empty_like(inputs[0])]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        given = self.sums.arguments(inputs, self.densities, 0)
        call(NAME, "energies", same_type(inputs[0], *made), *given, *self._terms, inputs[0], *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *_, begins, slopes = inputs
        made[0].copy_(slopes * gradients[0].repeat_interleave(begins.diff())[:, None])


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
        self.sums, self.features, self.size = sums, len(terms), choice.shape[1]
        rows = [row for own in slopes for row in own.values()]
        self._tables = (
            _whole(choice),
            _whole([0, *accumulate(len(row) for row in terms)]),
            _whole([node for row in terms for node, _ in row]),
            torch.tensor([c for row in terms for _, c in row], dtype=torch.float64),
            _whole([0, *accumulate(len(own) for own in slopes)]),
            _whole([channel for own in slopes for channel in own]),
            _whole([0, *accumulate(len(row) for row in rows)]),
            _whole([node for row in rows for node, _ in row]),
            torch.tensor([c for row in rows for _, c in row], dtype=torch.float64),
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
        call(NAME, "jacobian", same_type(vectors), *arguments, *self._tables, self.features, vectors, values, slopes)
        return values, slopes


def _whole(values: Sequence[int] | np.ndarray) -> Tensor:
    return torch.tensor(np.array(values, dtype=np.int32))
