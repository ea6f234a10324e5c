"""Radial bases of spherical Bessel functions: a distance in, a row of functions that vanish at the cutoff out."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import spherical_jn
from torch import Tensor

from adiabat.nn.constants import ConstantModule


class SphericalBesselBasis(ConstantModule):
    """√(2/r_c³) j_l(z_ln r/r_c) / |j_{l+1}(z_ln)|, z_ln the n-th root of j_l (DimeNet, arXiv:2003.03123, eq. 6).

    Orthonormal in a sphere for each l. Distances beyond the cutoff count as the cutoff, where all functions are zero
    and their slopes are not.

    Args:
        degrees: l = 0..degrees − 1.
        count: functions of each degree.
        cutoff: r_c, Å.
    """

    frequencies: Tensor
    factors: Tensor

    def __init__(self, degrees: int, count: int, cutoff: float):
        super().__init__()
        self.degrees, self.count, self.cutoff = degrees, count, cutoff
        roots = spherical_bessel_roots(degrees, count)
        sizes = [np.abs(spherical_jn(l + 1, roots[l])) for l in range(degrees)]
        self.register_constant("frequencies", roots.ravel() / cutoff)
        self.register_constant("factors", np.sqrt(2.0 / cutoff**3) / np.concatenate(sizes))

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., degrees · count]`, functions of the same degree side by side."""
        x = distances.clamp(max=self.cutoff)[..., None] * self.frequencies
        sine, cosine = torch.sin(x) / x, torch.cos(x)
        blocks = zip(x.split(self.count, -1), sine.split(self.count, -1), cosine.split(self.count, -1), strict=True)
        return torch.cat([_of_degree(l, *block) for l, block in enumerate(blocks)], dim=-1) * self.factors

    def exact(self, distances: Tensor) -> Tensor:
        """The same in float64 without gradients, exact near zero too, where the recurrence loses digits."""
        x = np.minimum(distances.numpy(), self.cutoff)[..., None] * self._exact["frequencies"]
        degrees = np.repeat(np.arange(self.degrees), self.count)
        return torch.from_numpy(spherical_jn(degrees, x) * self._exact["factors"])


class SmoothBesselBasis(ConstantModule):
    """Orthonormal combinations of sin(k π r/r_c)/r whose first and second derivatives vanish at the cutoff too.

    Kocer, Mason & Erturk, doi:10.1063/1.5111045, as in M3GNet (doi:10.1038/s43588-022-00349-3). Distances beyond the
    cutoff count as the cutoff.

    Args:
        count: number of functions.
        cutoff: r_c, Å.
    """

    frequencies: Tensor
    mixing: Tensor

    def __init__(self, count: int, cutoff: float):
        super().__init__()
        self.cutoff = cutoff
        self.register_constant("frequencies", np.arange(1, count + 2) * np.pi / cutoff)
        self.register_constant("mixing", smooth_combinations(count, cutoff))

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[..., count]`."""
        r = distances.clamp(max=self.cutoff)[..., None]
        return (torch.sin(r * self.frequencies) / r) @ self.mixing

    def exact(self, distances: Tensor) -> Tensor:
        """The same in float64 without gradients, at zero too."""
        frequencies, r = self._exact["frequencies"], np.minimum(distances.numpy(), self.cutoff)[..., None]
        return torch.from_numpy(frequencies * np.sinc(r * frequencies / np.pi) @ self._exact["mixing"])


def spherical_bessel_roots(degrees: int, count: int) -> np.ndarray:
    """The first positive roots of j_0, j_1, ... `[degrees, count]`; those of j_l lie between those of j_{l−1}."""
    roots = np.zeros((degrees, count))
    between = np.arange(1, count + degrees + 1) * np.pi
    roots[0] = between[:count]
    for l in range(1, degrees):
        between = np.array([brentq(partial(spherical_jn, l), a, b, xtol=1e-15) for a, b in pairwise(between)])
        roots[l] = between[:count]
    return roots


def _of_degree(l: int, x: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
    """j_l(x) from j_0 = sin x / x (given as `sine`) and cos x, by recurrence in l."""
    below, value = cosine / x, sine
    for k in range(l):
        below, value = value, (2 * k + 1) / x * value - below
    return value


def smooth_combinations(count: int, cutoff: float) -> np.ndarray:
    """Which combinations of sin(k π r/r_c)/r, k = 1..count + 1, are the basis `[count + 1, count]`."""
    frequencies = np.arange(1, count + 2) * np.pi / cutoff
    return bessel_combinations(0, count, cutoff) / frequencies[:, None]


def bessel_combinations(l: int, count: int, cutoff: float) -> np.ndarray:
    """Which combinations of j_l(u_k r/r_c), u_k its roots, k = 1..count + 1, are the functions g_n of degree l.

    Two neighbors u_n, u_{n+1} make a function whose first and second derivatives vanish at the cutoff; these are
    orthonormalized one after the other, which takes the function before alone.

    Args:
        l: degree.
        count: number of functions.
        cutoff: r_c, Å.

    Returns:
        `[count + 1, count]`, Å^(−3/2).
    """
    u = spherical_bessel_roots(l + 1, count + 1)[l]
    size, n = np.sqrt(2.0 / cutoff**3 / (u[:-1] ** 2 + u[1:] ** 2)), np.arange(count)
    slopes = spherical_jn(l + 1, u)
    plain = np.zeros((count + 1, count))
    plain[n, n], plain[n + 1, n] = size * u[1:] / slopes[:-1], -size * u[:-1] / slopes[1:]
    squares, found, d = u**2, np.zeros_like(plain), 1.0
    for k in range(count):
        e = 0.0
        if k:
            e = squares[k - 1] * squares[k + 1] / (squares[k - 1] + squares[k]) / (squares[k] + squares[k + 1])
        before, d = d, 1.0 - e / d
        found[:, k] = plain[:, k] / np.sqrt(d)
        if k:
            found[:, k] += np.sqrt(e / before / d) * found[:, k - 1]
    return found
