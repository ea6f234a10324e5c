"""Invariants of an atom's neighbor density, and one-layer networks on them with slopes in one pass over the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import factorial, pi, sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.rows import RowKernel

NAME = "density_network"


@dataclass(frozen=True)
class DensityFeatures:
    """Radial sums Σ_j g_n(r_ij), then invariants of A_nlm = Σ_j g_n(r_ij) Y_lm kind by kind, all times a factor.

    Attributes:
        radii: radial and angular radius of each pair of elements `[elements, elements, 2]`, Å.
        radial, angular: coefficients of g in ½ (T_k(2 (r/r_c − 1)² − 1) + 1) f_c with the cosine cutoff f_c
            `[elements, elements, channels, basis]`; `angular` is not used if `l_max` is 0.
        l_max: highest degree of A.
        products: `[2l₁+1, 2l₂+1, 2l₃+1]` for each invariant that is a sum of products of three A.
        triples: their degrees.
        fives: place of 7/15 q₁² among the invariants, −1 for none; q_l = Σ_m A² come first.
        factor: `[features]`.
    """

    radii: Tensor
    radial: Tensor
    angular: Tensor
    l_max: int
    factor: Tensor
    triples: Sequence[tuple[int, int, int]] = ()
    products: Sequence[np.ndarray] = field(default=())
    fives: int = -1

    @property
    def invariants(self) -> int:
        """Number of invariants of one channel."""
        return self.l_max + len(self.triples) + (self.fives >= 0)


class DensityTables:
    """What the library reads of features, for networks of some heads and hidden nodes."""

    def __init__(self, features: DensityFeatures, heads: int = 0, hidden: int = 0):
        terms, factors = _terms(features)
        angular = features.angular.shape[2:] if features.l_max else (0, 1)
        counts = (len(features.radial), heads, hidden, *features.radial.shape[2:], *angular, features.l_max)
        self.all = [
            torch.tensor((*counts, features.invariants, features.fives, len(terms))),
            features.radii.detach().double().contiguous(),
            torch.tensor(_norms(features.l_max) ** 2),
            torch.tensor(terms, dtype=torch.int32).reshape(-1, 4),
            torch.tensor(factors, dtype=torch.float64),
        ]


class DensityRows(RowKernel):
    """The features themselves, differentiable once in the pair vectors; `factor` is not used.

    Raises CapabilityError if this machine has no compiler for it.
    """

    def __init__(self, features: DensityFeatures):
        library(NAME)
        self.size = features.radial.shape[2] + features.invariants * features.angular.shape[2]
        self._tables = DensityTables(features)
        self._coefficients = [c.detach().clone() for c in (features.radial, features.angular)]

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        coefficients = [c.to(vectors.dtype).contiguous() for c in self._coefficients]
        call(
            NAME, f"rows_{function}", same_type(vectors, *rest), len(kinds), begins, neighbors, kinds, vectors,
            *self._tables.all, *coefficients, *rest,
        )  # fmt: skip


class DensityNetwork(Kernel):
    """w¹ tanh(w⁰ q + b⁰) + b¹ of each atom, differentiable once in the pair vectors.

    Slopes are made in the same pass as the values and kept, so that a gradient costs nothing more.

    Args:
        features: q.
        layers: w⁰ `[elements, hidden, features]`, b⁰ `[elements, hidden]`, w¹ `[elements, heads, hidden]` and
            b¹ `[elements, heads]`, in the floating-point type of the kernel.
        repulsion: `[elements, elements, 12]`, added to the first head: k Z Z (eV Å), 1/a (Å⁻¹), inner and outer
            radius (Å), then factor and rate of four exponentials of r/a; None for no such.

    Raises CapabilityError if this machine has no compiler for it.
    """

    differentiable: ClassVar[int] = 1
    kept = 1

    def __init__(self, features: DensityFeatures, layers: Sequence[Tensor], repulsion: Tensor | None = None):
        library(NAME)
        inner, inner_bias, last, last_bias = (layer.detach() for layer in layers)
        _, self.heads, hidden = last.shape
        self._tables = DensityTables(features, self.heads, hidden)
        self._repels = int(repulsion is not None)
        own = repulsion if repulsion is not None else torch.zeros(12)
        self._repulsion = own.detach().double().contiguous()
        scaled = inner * features.factor.detach()
        self._weights = [
            features.radial.detach().contiguous(),
            features.angular.detach().contiguous(),
            _filled(scaled.transpose(1, 2)),
            _filled(scaled),
            _filled(inner_bias),
            _filled(last),
            last_bias.contiguous(),
        ]

    def __call__(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Values `[atoms, heads]`.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å.
            kinds: each atom's element, a place `[atoms]`; one that is not there makes all values NaN.
            pairs: from `PairIndex.of`.
        """
        (made,) = self.apply(vectors, kinds, pairs.neighbors, pairs.begins)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        vectors, kinds = inputs[:2]
        atoms, pairs = kinds.shape[0], vectors.shape[0]
        return [vectors.new_empty((atoms, self.heads)), vectors.new_empty((self.heads, pairs, 3))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        vectors, kinds, neighbors, begins = inputs
        call(
            NAME, "forward", same_type(vectors, *self._weights, *made), len(kinds), begins, neighbors, kinds, vectors,
            *self._tables.all, self._repels, self._repulsion, *self._weights, *made,
        )  # fmt: skip

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        _, kinds, _, begins, slopes = inputs
        dtype = same_type(slopes, *gradients, *made)
        call(NAME, "backward", dtype, len(kinds), self.heads, begins, slopes, *gradients, *made)


def _filled(values: Tensor) -> Tensor:
    """With zeros up to whole vectors of 64 bytes."""
    lanes = 64 // values.element_size()
    return functional.pad(values, (0, -values.shape[-1] % lanes)).contiguous()


def _norms(l_max: int) -> np.ndarray:
    """Orthonormal real harmonics over the kernel's scaled ones `[(l_max + 1)²]`."""
    return np.array(
        [
            sqrt((2 * l + 1) / (4 * pi) * (2 if m else 1) * factorial(l + abs(m)) * factorial(l - abs(m)))
            for l in range(l_max + 1)
            for m in range(-l, l + 1)
        ]
    )


def _terms(features: DensityFeatures) -> tuple[list[tuple[int, ...]], list[float]]:
    """Products of three harmonics: invariant and places of the three, and what multiplies them."""
    norms = _norms(features.l_max)
    found: dict[tuple[int, ...], float] = {}
    for number, (triple, table) in enumerate(zip(features.triples, features.products, strict=True)):
        invariant = features.l_max + number
        invariant += 0 <= features.fives <= invariant
        for orders in zip(*np.nonzero(table), strict=True):
            places = sorted(l * l + int(m) for l, m in zip(triple, orders, strict=True))
            key = (invariant, *places)
            found[key] = found.get(key, 0.0) + float(table[orders] * norms[places].prod())
    kept = {key: value for key, value in found.items() if abs(value) > 1e-14}
    return list(kept), list(kept.values())
