"""Couplings of ν equal sets of components to one irrep, as polynomials: the generalized Clebsch–Gordan coefficients.

A symmetric contraction multiplies the same features ν times, so that a coupling matters through the polynomial it
makes of them: one coefficient for each monomial x_i x_j ... with i ≤ j ≤ ... . That is far shorter than the tensor
U[i, j, ...] of MACE's eq. 10 and the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, product
from math import factorial, sqrt
from typing import Literal

import numpy as np

from adiabat.nn.clebsch_gordan import wigner_3j
from adiabat.nn.irreps import Irrep

Basis = Literal["reduced", "full"]
Monomial = tuple[int, ...]
# one coupling of some irreps (their places) to one irrep: [2L+1, 2l_1+1, 2l_2+1, ...]
_Tree = tuple[tuple[int, ...], Irrep, np.ndarray]


class Polynomials:
    """A basis of equivariant polynomials of one order.

    Attributes:
        monomials: ascending tuples of component indices.
        coefficients: `[paths, 2L+1, monomials]`.
    """

    def __init__(self, monomials: Sequence[Monomial], coefficients: np.ndarray):
        self.monomials = list(monomials)
        self.coefficients = coefficients

    @property
    def paths(self) -> int:
        """How many polynomials there are."""
        return self.coefficients.shape[0]


def polynomials(irreps: Sequence[Irrep], order: int, out: Irrep, basis: Basis = "reduced") -> Polynomials:
    """All ways to make one `out` from `order` factors, each the components of `irreps` side by side.

    Args:
        irreps: what the components of one factor are, in order.
        order: number of factors ν.
        out: irrep to make.
        basis: "full", one polynomial for every coupling tree from left to right (MACE's original choice, in its
            order; many are multiples of each other), or "reduced", a linearly independent set. Each has, as a tensor
            U, squared norm 2L + 1.
    """
    starts = np.cumsum([0] + [ir.dim for ir in irreps])
    columns: list[dict[Monomial, np.ndarray]] = []
    if basis == "full":
        trees = [t for t in _trees(irreps, order, None) if t[1] == out]
        columns = [_polynomial(places, table, starts) for places, _, table in trees]
    else:
        for places in combinations_with_replacement(range(len(irreps)), order):
            trees = [t for t in _trees(irreps, order, places) if t[1] == out]
            columns += _independent([_polynomial(places, table, starts) for _, _, table in trees], out.dim)
    monomials = sorted({m for column in columns for m in column})
    rows = {m: k for k, m in enumerate(monomials)}
    coefficients = np.zeros((len(columns), out.dim, len(monomials)))
    for path, column in enumerate(columns):
        for monomial, values in column.items():
            coefficients[path, :, rows[monomial]] = values
    return Polynomials(monomials, coefficients)


def from_tensor(tensor: np.ndarray, monomials: Sequence[Monomial]) -> tuple[np.ndarray, float]:
    """Coefficients of a coupling tensor U on given monomials.

    Args:
        tensor: `[2L+1, components, ..., components, paths]`.
        monomials: ascending tuples of component indices.

    Returns:
        `[paths, 2L+1, monomials]`, and the largest coefficient that U has outside of these monomials.
    """
    rows = {m: k for k, m in enumerate(monomials)}
    components, order = tensor.shape[1], tensor.ndim - 2
    flat = tensor.reshape(tensor.shape[0], -1, tensor.shape[-1])
    used = np.nonzero(np.abs(flat).max(axis=(0, 2)) > 0)[0]
    places = np.sort(np.stack(np.unravel_index(used, (components,) * order), axis=1), axis=1)
    distinct, inverse = np.unique(places, axis=0, return_inverse=True)
    summed = np.zeros((len(distinct), flat.shape[0], flat.shape[2]))
    np.add.at(summed, inverse.reshape(-1), flat[:, used].transpose(1, 0, 2))
    out = np.zeros((flat.shape[2], flat.shape[0], len(monomials)))
    outside = 0.0
    for monomial, values in zip(map(tuple, distinct.tolist()), summed, strict=True):
        if monomial in rows:
            out[:, :, rows[monomial]] = values.T
        else:
            outside = max(outside, float(np.abs(values).max()))
    return out, outside


def _trees(irreps: Sequence[Irrep], order: int, only: tuple[int, ...] | None) -> list[_Tree]:
    """Coupling trees, sorted by the irrep they make; of the factors `only`, or of all."""
    choices = range(len(irreps)) if only is None else (only[order - 1],)
    if order == 1:
        return [((k,), irreps[k], np.eye(irreps[k].dim)) for k in choices]
    found = list(_extended(_trees(irreps, order - 1, only), choices, irreps))
    return sorted(found, key=lambda tree: (tree[1].l, tree[1].parity))


def _extended(trees: list[_Tree], choices: Sequence[int], irreps: Sequence[Irrep]) -> Iterator[_Tree]:
    for (places, left, table), k in product(trees, choices):
        for made in left * irreps[k]:
            step = wigner_3j(made.l, left.l, irreps[k].l) * sqrt(made.dim)
            yield (*places, k), made, np.einsum("l...,clr->c...r", table, step)


def _polynomial(places: tuple[int, ...], table: np.ndarray, starts: np.ndarray) -> dict[Monomial, np.ndarray]:
    """Monomial to its coefficients `[2L+1]`."""
    found: dict[Monomial, np.ndarray] = {}
    for index in zip(*np.nonzero(np.abs(table).max(axis=0) > 1e-12), strict=True):
        monomial = tuple(sorted(int(starts[p] + i) for p, i in zip(places, index, strict=True)))
        found[monomial] = found.get(monomial, 0.0) + table[(slice(None), *index)]
    return {m: v for m, v in found.items() if np.abs(v).max() > 1e-12}


def _independent(columns: list[dict[Monomial, np.ndarray]], dim: int) -> list[dict[Monomial, np.ndarray]]:
    """Gram–Schmidt in the scalar product of symmetric tensors; dependent columns are dropped."""
    monomials = sorted({m for column in columns for m in column})
    if not monomials:
        return []
    # a coefficient stands for as many equal tensor entries as its indices have orders
    weights = np.array([1 / sqrt(_orders(m)) for m in monomials])
    kept: list[np.ndarray] = []
    for column in columns:
        vector = np.array([column.get(m, np.zeros(dim)) for m in monomials]) * weights[:, None]
        size = np.linalg.norm(vector)
        for _ in range(2):  # once more against roundoff
            for other in kept:
                vector = vector - other * (other * vector).sum()
        if np.linalg.norm(vector) > 1e-8 * max(size, 1e-8):
            kept.append(vector / np.linalg.norm(vector))
    scaled = [sqrt(dim) * vector / weights[:, None] for vector in kept]
    return [{m: v for m, v in zip(monomials, s, strict=True) if np.abs(v).max() > 1e-12} for s in scaled]


def _orders(monomial: Monomial) -> int:
    """In how many orders the indices of a monomial can be written."""
    count = factorial(len(monomial))
    for index in set(monomial):
        count //= factorial(monomial.count(index))
    return count
