"""Real Clebsch–Gordan coefficients in the basis of `adiabat.nn.spherical_harmonics`.

Components of l run m = −l..l with y as the polar axis, so that l = 1 is (x, y, z). Signs and phases follow e3nn's
convention, which published equivariant weights depend on.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, sqrt

import numpy as np


@lru_cache(maxsize=4096)
def wigner_3j(l1: int, l2: int, l3: int) -> np.ndarray:
    """The invariant tensor of three real representations `[2l1+1, 2l2+1, 2l3+1]`, of Frobenius norm 1.

    It is zero (all entries) if the triangle rule |l1 − l2| ≤ l3 ≤ l1 + l2 is broken.
    """
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        return np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    complex_tensor = np.einsum(
        "au,bv,cw,abc->uvw",
        complex_from_real(l1),
        complex_from_real(l2),
        complex_from_real(l3).conj(),
        condon_shortley(l1, l2, l3),
    )
    values = complex_tensor.real / np.linalg.norm(complex_tensor)
    values.setflags(write=False)
    return values


def coupling(l1: int, l2: int, l3: int) -> np.ndarray:
    """`wigner_3j` times √(2 l3 + 1): components of unit variance couple to components of unit variance."""
    return wigner_3j(l1, l2, l3) * sqrt(2 * l3 + 1)


def natural_couplings(l_max: int) -> np.ndarray:
    """All couplings of even l1 + l2 + l3 between degrees up to `l_max`, side by side `[(l_max+1)²] * 3`.

    They are the Clebsch-Gordan coefficients ⟨l1 m1 l2 m2 | l3 m3⟩ of real harmonics without Condon–Shortley phase,
    whose sign for m = 0 is (−1)^((l1+l2+l3)/2 + l1 − l2).
    """
    table = np.zeros(((l_max + 1) ** 2,) * 3)
    for l1, l2, l3 in np.ndindex((l_max + 1,) * 3):
        if (l1 + l2 + l3) % 2 == 0 and abs(l1 - l2) <= l3 <= l1 + l2:
            values = coupling(l1, l2, l3)
            sign = (-1) ** ((l1 + l2 + l3) // 2 + l1 - l2) * np.sign(values[l1, l2, l3])
            table[l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2, l3**2 : (l3 + 1) ** 2] = sign * values
    return table


def complex_from_real(l: int) -> np.ndarray:
    """The unitary matrix that takes real components to complex ones `[2l+1, 2l+1]`.

    The common factor (−i)^l makes every coupling of real components real.
    """
    matrix = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    matrix[l, l] = 1.0
    for m in range(1, l + 1):
        cosine, sine, sign = l + m, l - m, (-1) ** m
        matrix[l - m, cosine] = 1 / sqrt(2)
        matrix[l - m, sine] = -1j / sqrt(2)
        matrix[l + m, cosine] = sign / sqrt(2)
        matrix[l + m, sine] = 1j * sign / sqrt(2)
    return (-1j) ** l * matrix


def condon_shortley(j1: int, j2: int, j3: int) -> np.ndarray:
    """⟨j1 m1 j2 m2 | j3 m3⟩ by Racah's sum (Racah, Phys. Rev. 62, 438, 1942, doi:10.1103/PhysRev.62.438, eq. 16)."""
    f = factorial
    table = np.zeros((2 * j1 + 1, 2 * j2 + 1, 2 * j3 + 1))
    triangle = f(j1 + j2 - j3) * f(j1 - j2 + j3) * f(-j1 + j2 + j3) / f(j1 + j2 + j3 + 1)
    for m1 in range(-j1, j1 + 1):
        for m2 in range(max(-j2, -j3 - m1), min(j2, j3 - m1) + 1):
            m3 = m1 + m2
            root = f(j1 + m1) * f(j1 - m1) * f(j2 + m2) * f(j2 - m2) * f(j3 + m3) * f(j3 - m3)
            first = max(0, j2 - j3 - m1, j1 - j3 + m2)
            last = min(j1 + j2 - j3, j1 - m1, j2 + m2)
            total = 0.0
            for k in range(first, last + 1):
                lower = f(k) * f(j1 + j2 - j3 - k) * f(j1 - m1 - k) * f(j2 + m2 - k)
                total += (-1) ** k / (lower * f(j3 - j2 + m1 + k) * f(j3 - j1 - m2 + k))
            table[j1 + m1, j2 + m2, j3 + m3] = sqrt((2 * j3 + 1) * triangle * root) * total
    return table
