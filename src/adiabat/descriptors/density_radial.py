"""Radial functions of smeared neighbor densities, tabulated: f_nl(r) of c_nlm = Σ_j f_nl(r_j) Y_lm(r_j).

A neighbor at r_j is a Gaussian exp(−|x − r_j|²/2σ²), whose overlap with g_n(x) Y_lm is 4π ∫ x² g_n(x)
exp(−(x² + r²)/2σ²) i_l(x r/σ²) dx Y_lm(r_j), i_l the modified spherical Bessel function (Bartók, Kondor & Csányi,
doi:10.1103/PhysRevB.87.184115, eq. 30). All bases are a table over r after that.

| basis | g_n(x) | program |
|---|---|---|
| gaussians | Cholesky-orthonormalized exp(−(x − x_n)²/2σ²), x_n equidistant from 0 | QUIP |
| gto | Löwdin-orthonormalized x^l exp(−a_nl x²), 10⁻³ at radii from 1 Å to the cutoff | DScribe |
| polynomial | Löwdin-orthonormalized (r_c − x)^(n+2), n = 1, 2 ... | DScribe |
| powers | Löwdin-orthonormalized x^n exp(−x²/2σ_n²), σ_n = r_c max(√n, 1)/n_max | featomic |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import gamma, log, pi
from typing import Literal

import numpy as np
import torch
from numpy.polynomial import chebyshev
from scipy.linalg import cholesky, solve, sqrtm
from scipy.special import erf, ive
from torch import Tensor

from adiabat.errors import ConfigError

Basis = Literal["gaussians", "gto", "polynomial", "powers"]
Array = np.ndarray
SMALLEST = 1e-3  # what a primitive of the gto basis has decayed to at its radius
DEGREE, POINTS = 5.0, 8.0  # of the Chebyshev series and of the quadrature, for every sigma of range
TOLERANCE = 1e-9  # of the table, relative to the largest value and slope
FIRST, LAST = 64, 2048  # intervals tried


@dataclass(frozen=True)
class RadialTable:
    """Quintic polynomials in equal intervals, twice continuously differentiable.

    Attributes:
        coefficients: `[tables · intervals, 6, channels]` of powers of u = 0..1, table by table.
        stop: Å, upper end; the lower is 0.
        error: largest error of values and slopes found, over the largest of them.
        tables: how many there are.
    """

    coefficients: Tensor
    stop: float
    error: float
    tables: int = 1

    def __call__(self, distances: Tensor, which: Tensor | None = None) -> Tensor:
        """`[n]` Å to `[n, channels]`, differentiable; `which [n]` names the table of each, the first if left out."""
        intervals = self.coefficients.shape[0] // self.tables
        t = distances * (intervals / self.stop)
        interval = t.detach().floor().long().clamp(0, intervals - 1)
        u = (t - interval)[:, None]
        if which is not None:
            interval = interval + which * intervals
        a, b, c, d, e, f = self.coefficients.to(distances)[interval].unbind(1)
        return a + u * (b + u * (c + u * (d + u * (e + u * f))))


@lru_cache(maxsize=64)
def radial_table(
    basis: Basis, n_max: int, l_max: int, sigma: float, cutoff: float, stop: float, exponent: float = 10.0
) -> RadialTable:
    """f_nl(r) of a basis, channels n·(l_max + 1) + l.

    Args:
        basis: the functions g_n.
        n_max, l_max: how many, and the highest degree.
        sigma: width of the Gaussians, Å.
        cutoff: r_c of the basis, Å.
        stop: Å, where the table ends.
        exponent: of `gaussians`, which end where such a Gaussian at the cutoff is 10^−exponent.
    """
    if basis == "gaussians":
        values = partial(_gaussians, n_max=n_max, l_max=l_max, sigma=sigma, cutoff=cutoff, exponent=exponent)
    else:
        values = partial(_integrals, basis=basis, n_max=n_max, l_max=l_max, sigma=sigma, cutoff=cutoff)
    return tabulated(values, 40 + int(DEGREE * stop / sigma), stop)


def tabulated(function: Callable[[Array], Array], degree: int, stop: float) -> RadialTable:
    """A table of smooth functions `[r]` to `[r, ...]` from 0 to `stop`, by their Chebyshev series of this degree."""
    reduced = chebyshev.chebpts1(degree + 1)
    nodes = 0.5 * stop * (reduced + 1.0)
    values = function(nodes)
    series = 2.0 / len(nodes) * chebyshev.chebvander(reduced, degree).T @ values.reshape(len(nodes), -1)
    series[0] *= 0.5
    derivatives = [series] + [chebyshev.chebder(series, k, scl=2.0 / stop) for k in (1, 2)]
    intervals, table = FIRST, None
    while table is None or (table.error > TOLERANCE and intervals <= LAST):
        table = _quintic(derivatives, intervals, stop)
        intervals *= 2
    return table


def _quintic(series: list[Array], intervals: int, stop: float) -> RadialTable:
    """Polynomials with the values, slopes and curvatures of Chebyshev series at the knots."""
    step = stop / intervals
    knots = np.linspace(-1.0, 1.0, intervals + 1)
    f, g, h = (chebyshev.chebval(knots, s).T * step**k for k, s in enumerate(series))
    jump, slope = f[1:] - f[:-1] - g[:-1] - 0.5 * h[:-1], g[1:] - g[:-1] - h[:-1]
    bend = h[1:] - h[:-1]
    powers = [
        f[:-1],
        g[:-1],
        0.5 * h[:-1],
        10.0 * jump - 4.0 * slope + 0.5 * bend,
        -15.0 * jump + 7.0 * slope - bend,
        6.0 * jump - 3.0 * slope + 0.5 * bend,
    ]
    table = RadialTable(torch.from_numpy(np.ascontiguousarray(np.stack(powers, axis=1))), stop, 0.0)
    places = torch.from_numpy((np.arange(intervals) + 0.5) * step)
    exact = chebyshev.chebval(2.0 * places.numpy() / stop - 1.0, series[0]).T
    along = chebyshev.chebval(2.0 * places.numpy() / stop - 1.0, series[1]).T
    little = 1e-3 * step
    slopes = ((table(places + little) - table(places - little)) / (2.0 * little)).numpy()
    errors = (np.abs(table(places).numpy() - exact).max() / np.abs(exact).max(), np.abs(slopes - along).max())
    return RadialTable(table.coefficients, stop, float(max(errors[0], errors[1] / max(np.abs(along).max(), 1e-300))))


def scaled_bessel(l_max: int, z: Array) -> Array:
    """i_l(z) e^(−z) for l = 0..l_max `[..., l_max + 1]`, z ≥ 0."""
    safe = np.maximum(z, 1e-12)[..., None]
    return np.sqrt(0.5 * pi / safe) * ive(np.arange(l_max + 1) + 0.5, safe)


def _gaussians(r: Array, n_max: int, l_max: int, sigma: float, cutoff: float, exponent: float) -> Array:
    """`[r, n_max, l_max + 1]` of equidistant Gaussians, which need no quadrature.

    The density's radial part is expanded in the Gaussians themselves, by its values at their centers, and then taken
    to the orthonormal ones with the Cholesky factor of their overlaps.
    """
    a = 0.5 / sigma**2
    end = cutoff + sigma * np.sqrt(2.0 * exponent * log(10.0))
    centers = np.arange(n_max) * end / n_max
    x, y = centers[:, None], centers[None, :]
    near = np.exp(-a * (x - y) ** 2)
    overlap = np.exp(-a * (x**2 + y**2)) * np.sqrt(2.0) * a**1.5 * (x + y)
    tail = np.sqrt(pi) * (1.0 + a * (x + y) ** 2) * (1.0 + erf(np.sqrt(0.5 * a) * (x + y)))
    overlap = (overlap + a * np.exp(-0.5 * a * (x - y) ** 2) * tail) / np.sqrt(128.0 * a**5)
    transform = solve(near, cholesky(overlap, lower=True))
    z = 2.0 * a * r[:, None] * centers
    values = np.exp(-a * (r[:, None] - centers) ** 2)[..., None] * scaled_bessel(l_max, z)
    return np.einsum("ral,an->rnl", values, transform)


def _integrals(r: Array, basis: Basis, n_max: int, l_max: int, sigma: float, cutoff: float) -> Array:
    """`[r, n_max, l_max + 1]` by Gauss-Legendre quadrature."""
    end = cutoff if basis == "polynomial" else max(r.max(), cutoff) + 10.0 * sigma
    x, weight = np.polynomial.legendre.leggauss(40 + int(POINTS * end / sigma))
    x, weight = 0.5 * end * (x + 1.0), 0.5 * end * weight
    functions = radial_functions(x, basis, n_max, l_max, cutoff)
    gauss = np.exp(-0.5 * (x - r[:, None]) ** 2 / sigma**2) * x**2 * weight
    bessel = scaled_bessel(l_max, x * r[:, None] / sigma**2)
    return 4.0 * pi * np.stack([(gauss * bessel[..., l]) @ functions[:, :, l] for l in range(l_max + 1)], axis=-1)


def radial_functions(x: Array, basis: Basis, n_max: int, l_max: int, cutoff: float) -> Array:
    """g_n(x) `[x, n_max, l_max + 1]`."""
    n, found = np.arange(n_max), []
    for l in range(l_max + 1):
        if basis == "polynomial":
            order = n[:, None] + n + 2.0
            overlap = 2.0 * cutoff ** (7 + order) / ((5 + order) * (6 + order) * (7 + order))
            primitive = (cutoff - x[:, None]) ** (n + 3)
        else:
            if basis == "gto":
                radii, power = np.linspace(1.0, cutoff, n_max), np.full(n_max, l)
                decay = -np.log(SMALLEST / radii**l) / radii**2
            else:
                power = n
                decay = 0.5 / (cutoff * np.maximum(np.sqrt(n), 1.0) / n_max) ** 2
            half = 0.5 * (power[:, None] + power + 3.0)
            overlap = 0.5 * np.vectorize(gamma)(half) * (decay[:, None] + decay) ** -half
            primitive = x[:, None] ** power * np.exp(-decay * x[:, None] ** 2)
        if basis == "powers":  # which Löwdin's functions are nearest to depends on the primitives' lengths
            lengths = np.sqrt(overlap.diagonal())
            overlap, primitive = overlap / lengths / lengths[:, None], primitive / lengths
        found.append(primitive @ _inverse_root(overlap))
    return np.stack(found, axis=-1)


def _inverse_root(overlap: Array) -> Array:
    """S^(−1/2); ConfigError if it is not positive to rounding."""
    root = np.asarray(sqrtm(np.linalg.inv(overlap)))
    if np.iscomplexobj(root) or not np.isfinite(root).all():
        raise ConfigError(
            f"{len(overlap)} radial functions are linearly dependent to rounding: take a smaller descriptor.n_max"
            " or a larger cutoff."
        )
    return root
