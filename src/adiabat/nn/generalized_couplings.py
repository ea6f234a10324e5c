"""Generalized Clebsch-Gordan coefficients: products of any number of spherical harmonics coupled to invariants.

R. Drautz, Phys. Rev. B 99, 014104 (2019), doi:10.1103/PhysRevB.99.014104; which of the couplings are independent
when factors repeat: G. Dusson et al., J. Comput. Phys. 454, 110946 (2022), doi:10.1016/j.jcp.2022.110946. Complex
harmonics have the Condon-Shortley phase and z as the polar axis; real ones are those of
`adiabat.nn.spherical_harmonics` of (y, z, x), so that z is the polar axis there too.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import permutations, product

import numpy as np

from adiabat.nn.clebsch_gordan import condon_shortley

TINY = 1e-12


@lru_cache(maxsize=256)
def generalized_coupling(degrees: tuple[int, ...], between: tuple[int, ...]) -> np.ndarray:
    """Coefficients of an invariant of harmonics `[2l_1+1, ..., 2l_N+1]`, m from −l to l.

    Factors are coupled in pairs from the left, (l_1 l_2) → L_1, (l_3 l_4) → L_2 ..., then the results in the same
    way, a last one without a partner as it is, until one of degree zero is left.

    Args:
        degrees: l of each factor.
        between: degrees of all results but the last, in the order in which they are made (see `couplings`).
    """
    tensors: list[tuple[np.ndarray, int]] = [(np.eye(2 * l + 1), l) for l in degrees]
    rest = list(between)
    while len(tensors) > 1:
        pairs = [tensors[k : k + 2] for k in range(0, len(tensors), 2)]
        made = []
        for pair in pairs:
            if len(pair) == 1:
                made.append(pair[0])
                continue
            (one, l1), (two, l2) = pair
            top = 0 if len(tensors) == 2 else rest.pop(0)
            joined = np.tensordot(one, condon_shortley(l1, l2, top), (-1, 0))  # [..., m2, M]
            made.append((np.moveaxis(np.tensordot(joined, two, (-2, -1)), one.ndim - 1, -1), top))
        tensors = made
    values = tensors[0][0]
    values = values[..., 0] if values.shape[-1] == 1 else np.zeros(values.shape[:-1])
    values.setflags(write=False)
    return values


def couplings(degrees: Sequence[int]) -> list[tuple[int, ...]]:
    """All `between` of `generalized_coupling` for these degrees, ascending."""

    def grow(row: tuple[int, ...]) -> list[tuple[int, ...]]:
        if len(row) == 1:
            return [()] if row[0] == 0 else []
        if len(row) == 2:
            return [()] if row[0] == row[1] else []
        pairs = [row[k : k + 2] for k in range(0, len(row) - 1, 2)]
        odd = row[-1:] if len(row) % 2 else ()
        ranges = [range(abs(a - b), a + b + 1) for a, b in pairs]
        return [(*tops, *more) for tops in product(*ranges) for more in grow((*tops, *odd))]

    return sorted(grow(tuple(degrees)))


def independent(degrees: tuple[int, ...], slots: Sequence[Hashable]) -> tuple[tuple[int, ...], ...]:
    """The couplings whose invariants are linearly independent, the first ones where there is a choice.

    Args:
        degrees: l of each factor, with an even sum.
        slots: what each factor is besides l; factors alike in both may change places.
    """
    order = [list(slots).index(slot) for slot in slots]
    return _independent(degrees, tuple(order))


@lru_cache(maxsize=4096)
def _independent(degrees: tuple[int, ...], slots: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    every = couplings(degrees)
    if not every:
        return ()
    rows = np.array([symmetrized(generalized_coupling(degrees, b), degrees, slots).ravel() for b in every])
    rank = int((np.linalg.svd(rows, compute_uv=False) > 1e-8).sum())
    kept: list[int] = []
    basis: list[np.ndarray] = []
    for place, row in enumerate(rows):  # Gram-Schmidt in a fixed order: every machine keeps the same ones
        rest = row.copy()
        for _ in range(2):
            for other in basis:
                rest = rest - (rest @ other) * other
        if len(kept) < rank and np.linalg.norm(rest) > 1e-6:
            kept.append(place)
            basis.append(rest / np.linalg.norm(rest))
    return tuple(every[k] for k in kept)


def symmetrized(values: np.ndarray, degrees: Sequence[int], slots: Sequence[Hashable]) -> np.ndarray:
    """The mean over all exchanges of factors that are alike in degree and slot."""
    alike = [(l, slot) for l, slot in zip(degrees, slots, strict=True)]
    groups = [[k for k in range(len(alike)) if alike[k] == own] for own in dict.fromkeys(alike)]
    total, count = np.zeros_like(values), 0
    for orders in product(*(permutations(group) for group in groups)):
        axes = [0] * len(alike)
        for group, order in zip(groups, orders, strict=True):
            for k, other in zip(group, order, strict=True):
                axes[k] = other
        total, count = total + values.transpose(axes), count + 1
    return total / count


@lru_cache(maxsize=64)
def real_from_complex(l: int) -> np.ndarray:
    """Complex harmonics in terms of real ones `[2l+1 complex, 2l+1 real]`, with the Condon-Shortley phase."""
    matrix = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    matrix[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m / np.sqrt(2)
        matrix[l + m, l + m], matrix[l + m, l - m] = sign, 1j * sign
        matrix[l - m, l + m], matrix[l - m, l - m] = 1 / np.sqrt(2), -1j / np.sqrt(2)
    return matrix


def in_real_harmonics(values: np.ndarray) -> np.ndarray:
    """The real part of Σ values · Π Y in terms of real harmonics, same shape; real coefficients in, real out."""
    made: np.ndarray = values.astype(complex)
    for axis in range(values.ndim):
        matrix = real_from_complex((values.shape[axis] - 1) // 2)
        made = np.moveaxis(np.tensordot(made, matrix, (axis, 0)), -1, axis)
    return np.real(made)


def monomials(values: np.ndarray, channels: Sequence[Sequence[int]]) -> dict[tuple[int, ...], float]:
    """Σ values · Π_k A[channels[k][m_k]] with factors in ascending order and equal products added up.

    Args:
        values: in real harmonics, one axis a factor.
        channels: number of each component of each factor.
    """
    found: dict[tuple[int, ...], float] = {}
    scale = max(float(np.abs(values).max(initial=0.0)), TINY)
    for place in zip(*np.nonzero(np.abs(values) > TINY * scale), strict=True):
        key = tuple(sorted(int(row[m]) for row, m in zip(channels, place, strict=True)))
        found[key] = found.get(key, 0.0) + float(values[place])
    return {key: value for key, value in sorted(found.items()) if abs(value) > TINY * scale}
