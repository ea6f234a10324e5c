"""Matrices of rotations of the three-sphere and their coupling, by twice the angular momentum: j = 0, 1, 2 ...

A matrix of (a, b), |a|² + |b|² = 1, is the action of s → a* s − b* t, t → b s + a t on the polynomials
s^(j−m) t^m / √(m! (j−m)!) with m = 0 ... j (D. A. Varshalovich et al., Quantum Theory of Angular Momentum (1988),
section 4.8). Rows q with 2q ≤ j are enough, because U_(j−q)(j−m) = (−1)^(q−m) conj(U_qm). They are kept in the order
j, q, m, which is called the half order here, and without the factors √(m! (j−m)! / (q! (j−q)!)), which `norms` has.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad


def half_begin(j: int) -> int:
    """Where the rows of j begin in the half order."""
    return sum((k // 2 + 1) * (k + 1) for k in range(j))


def full_begin(j: int) -> int:
    """Where the matrix of j begins where all rows are kept."""
    return sum((k + 1) ** 2 for k in range(j))


@cache
def clebsch_gordan(j1: int, j2: int, j: int) -> np.ndarray:
    """⟨j1 m1 j2 m2 | j m⟩ `[j + 1, j1 + 1]` at m and m1, which make m2 = m − m1 + (j1 + j2 − j)/2; else 0."""
    shift, f = (j1 + j2 - j) // 2, math.factorial
    triangle = Fraction(f(shift) * f((j1 - j2 + j) // 2) * f((j2 - j1 + j) // 2), f((j1 + j2 + j) // 2 + 1))
    table = np.zeros((j + 1, j1 + 1))
    for m in range(j + 1):
        for m1 in range(max(0, m + shift - j2), min(j1, m + shift) + 1):
            m2 = m - m1 + shift
            total = Fraction(0)
            for k in range(min(shift, j1 - m1, m2) + 1):
                rest = (shift - k, j1 - m1 - k, m2 - k, (j - j2 - j1) // 2 + m1 + k, (j - j1 + j2) // 2 - m2 + k)
                if min(rest) >= 0:
                    total += Fraction((-1) ** k, f(k) * math.prod(map(f, rest)))
            square = (j + 1) * triangle * f(m1) * f(j1 - m1) * f(m2) * f(j2 - m2) * f(m) * f(j - m)
            table[m, m1] = float(total) * math.sqrt(square)
    return table


def norms(j_max: int) -> np.ndarray:
    """√(m! (j−m)! / (q! (j−q)!)) in the half order."""
    f = math.factorial
    return np.array([math.sqrt(f(m) * f(j - m) / (f(q) * f(j - q))) for j, q, m in half_order(j_max)])


def half_order(j_max: int) -> list[tuple[int, int, int]]:
    """(j, q, m) of every element with 2q ≤ j."""
    return [(j, q, m) for j in range(j_max + 1) for q in range(j // 2 + 1) for m in range(j + 1)]


def unfold(j_max: int) -> tuple[np.ndarray, np.ndarray]:
    """Which element of the half order each element of the full matrices is, and the signs `[2, all]` of its real and
    imaginary part."""
    place = {key: k for k, key in enumerate(half_order(j_max))}
    index, signs = [], []
    for j in range(j_max + 1):
        for q in range(j + 1):
            for m in range(j + 1):
                mirrored = 2 * q > j
                index.append(place[(j, j - q, j - m) if mirrored else (j, q, m)])
                sign = (-1) ** (q - m) if mirrored else 1
                signs.append((sign, -sign if mirrored else sign))
    return np.array(index), np.array(signs, dtype=np.float64).T


def rotation_rows(j_max: int, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], start: Tensor) -> list[Tensor]:
    """Real and imaginary parts `[n, half]` of all rows with 2q ≤ j without their norms, times `start [n]`.

    Args:
        j_max: highest j.
        a, b: real and imaginary parts, each `[n]`.
    """
    (ar, ai), (br, bi) = [[x[:, None, None] for x in pair] for pair in (a, b)]
    real, imaginary = start[:, None, None], torch.zeros_like(start)[:, None, None]
    levels = [(real, imaginary)]
    for j in range(1, j_max + 1):
        last = (real[:, -1:], imaginary[:, -1:])
        # a row with one more factor a* s − b* t
        new = (
            pad(ar * real + ai * imaginary, (0, 1)) - pad(br * real + bi * imaginary, (1, 0)),
            pad(ar * imaginary - ai * real, (0, 1)) - pad(br * imaginary - bi * real, (1, 0)),
        )
        if j % 2 == 0:  # the middle row has one more factor b s + a t
            middle = (
                pad(br * last[0] - bi * last[1], (0, 1)) + pad(ar * last[0] - ai * last[1], (1, 0)),
                pad(br * last[1] + bi * last[0], (0, 1)) + pad(ar * last[1] + ai * last[0], (1, 0)),
            )
            new = (torch.cat((new[0], middle[0]), dim=1), torch.cat((new[1], middle[1]), dim=1))
        real, imaginary = new
        levels.append(new)
    return [torch.cat([level[part].flatten(1) for level in levels], dim=1) for part in (0, 1)]
