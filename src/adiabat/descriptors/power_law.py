"""Smeared power laws 1/r^p and their projections on radial functions, for features that see beyond a cutoff.

| symbol | here | shape, unit |
|---|---|---|
| v(r) = γ(p/2, r²/2σ²) / Γ(p/2) r^p | `SmearedPowerLaw` | Å^−p |
| v(r) = Σ_q w_q exp(−t_q r²) | `SmearedPowerLaw.weights`, `.rates` | [Gaussians], Å⁻² |
| v̂(k) = ∫ v exp(−i k·r) d³r | `SmearedPowerLaw.transformed` | Å^(3−p) |
| I_nl(k) = ∫ x² g_n(x) j_l(k x) dx | `wave_table` | [k, n_max, l_max + 1], Å^(3/2) |
| f_nl(r) = 4π ∫ x² g_n(x) v_l(x, r) dx | `distance_table` | [r, n_max, l_max + 1] |

v is that of Huguenin-Dumittan, Loche, Haoran & Ceriotti, doi:10.1021/acs.jpclett.3c02375; for p = 0 it is a Gaussian
of width σ with ∫v² = 1. The integral over t that makes a power law of Gaussians (Ewald's) is done by quadrature: then
both projections are those of Gaussians, for every p.
"""

from __future__ import annotations

from functools import lru_cache
from math import gamma, pi

import numpy as np
import torch
from scipy.special import roots_jacobi, spherical_jn
from torch import Tensor

from adiabat.descriptors.density_radial import RadialTable, radial_functions, scaled_bessel, tabulated
from adiabat.nn.constants import ConstantModule

Array = np.ndarray
SPAN, NODES, LAST = 20.0, 96, 12  # of the quadrature in ln t, and nodes below its lower end
REACH = 30.0  # integrals over x end where the widest g_n has decayed to exp(−REACH)


class SmearedPowerLaw(ConstantModule):
    """v(r) as a sum of Gaussians.

    Args:
        exponent: p ≥ 0.
        smearing: σ, Å.

    Attributes:
        mean: v̂(0), Å^(3−p); 0 where it diverges (0 < p ≤ 3) and a neutralizing background takes it away.
    """

    weights: Tensor
    rates: Tensor

    def __init__(self, exponent: int, smearing: float):
        super().__init__()
        rates, weights = gaussians(exponent, smearing)
        self.register_constant("rates", rates)
        self.register_constant("weights", weights)
        finite = exponent == 0 or exponent > 3
        self.mean = float((weights * (pi / rates) ** 1.5).sum()) if finite else 0.0

    def forward(self, distances: Tensor) -> Tensor:
        """`[...]` Å to `[...]`."""
        return torch.exp(-distances.square()[..., None] * self.rates) @ self.weights

    def transformed(self, squares: Tensor) -> Tensor:
        """v̂ of squared wave numbers `[...]`, Å⁻², all above 10⁻⁶ / σ²."""
        return torch.exp(-squares[..., None] / (4.0 * self.rates)) @ (self.weights * (pi / self.rates) ** 1.5)


def gaussians(exponent: int, smearing: float) -> tuple[Array, Array]:
    """Rates t_q, Å⁻², and weights of Gaussians that add up to v(r) up to 10⁴ σ."""
    top = 0.5 / smearing**2
    if exponent == 0:
        return np.array([top]), np.array([(pi * smearing**2) ** -0.75])
    x, w = np.polynomial.legendre.leggauss(NODES)
    rates = top * np.exp(-0.5 * SPAN * (x + 1.0))
    weights = 0.5 * SPAN * w * rates ** (0.5 * exponent)
    lowest = top * np.exp(-SPAN)
    y, u = roots_jacobi(LAST, 0.0, 0.5 * exponent - 1.0)
    rates = np.concatenate((rates, 0.5 * lowest * (y + 1.0)))
    weights = np.concatenate((weights, u * (0.5 * lowest) ** (0.5 * exponent)))
    return rates, weights / gamma(0.5 * exponent)


def _functions(n_max: int, radius: float, finest: float) -> tuple[Array, Array]:
    """Places x and g_n(x) x² dx `[x, n_max]` of a quadrature that resolves `finest`, Å."""
    end = radius * max(np.sqrt(n_max - 1.0), 1.0) / n_max * np.sqrt(2.0 * REACH) + radius
    x, weight = np.polynomial.legendre.leggauss(40 + int(4.0 * end / finest))
    x, weight = 0.5 * end * (x + 1.0), 0.5 * end * weight
    return x, radial_functions(x, "powers", n_max, 0, radius)[:, :, 0] * (x**2 * weight)[:, None]


@lru_cache(maxsize=16)
def wave_table(n_max: int, l_max: int, radius: float, reach: float) -> RadialTable:
    """I_nl(k) for k = 0..reach, Å⁻¹, channels n·(l_max + 1) + l."""
    x, functions = _functions(n_max, radius, 2.0 / reach)

    def values(k: Array) -> Array:
        waves = spherical_jn(np.arange(l_max + 1), (k[:, None] * x)[..., None])
        return np.einsum("kxl,xn->knl", waves, functions)

    return tabulated(values, 40 + int(reach * x.max()), reach)


def squeezed(distances: Tensor, radius: float) -> Tensor:
    """u = r / (r + radius), 0 to 1: over it algebraic tails are polynomials."""
    return distances / (distances + radius)


@lru_cache(maxsize=16)
def distance_table(n_max: int, l_max: int, radius: float, exponent: int, smearing: float) -> RadialTable:
    """f_nl over `squeezed` distances of any length, channels n·(l_max + 1) + l."""
    rates, weights = gaussians(exponent, smearing)
    x, functions = _functions(n_max, radius, smearing)

    def values(u: Array) -> Array:
        r = radius * u / (1.0 - u)
        out = np.zeros((len(u), n_max, l_max + 1))
        for rate, weight in zip(rates, weights, strict=True):
            bessel = scaled_bessel(l_max, 2.0 * rate * x * r[:, None])
            gauss = weight * np.exp(-rate * (x - r[:, None]) ** 2)
            out += np.einsum("rxl,rx,xn->rnl", bessel, gauss, functions, optimize=True)
        return 4.0 * pi * out

    return tabulated(values, 60 + int(8.0 * radius / smearing), 0.999)
