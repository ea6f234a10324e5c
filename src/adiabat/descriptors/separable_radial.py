"""Radial functions of densities that separate into a radial and an angular part, tabulated.

Caro, doi:10.1103/PhysRevB.100.024112, with lengths over the cutoff r_c in the integrals:

| paper | here |
|---|---|
| φ_n(x) = √(2n + 5) (1 − x)^(n+2), n = 1, 2 ... | `_functions`; the last may be a Gaussian at the center |
| W = S^(−1/2), S_nm = ∫ φ_n φ_m dx | `_combinations` |
| I_n(r) = ∫ φ_n(x) f_soft(x) exp(−(x − r)²/2σ_∥²) dx | `_overlaps` |
| A(r) = (1 − 3r² + 2r³)^a ⟨x^k⟩ / σ_∥ | `_amplitude`, k is `enhancement` |
| f_nl(r) = 4π √r_c A(r) Σ_m W_nm I_m(r) (r_c/σ_⊥)² i_l(z) e^(−z), z = (r/σ_⊥)² | `radial` |

f_soft is 1 up to r_c − width, and a Gaussian of standard deviation width / `filter` from there to the cutoff. As in
the program soap_turbo, integrals with a Gaussian at the center go to infinity without f_soft, and its overlap with
itself is 1. That program leaves out the part of I_n in the shell for neighbors far from it (`skip`); the step that
this makes is here at the nearest end of an interval of the table. In what it does count, its recursion in powers of
1 − x leaves out the first one's value at the cutoff (`ending`), up to 3·10⁻⁶ of I_n with 3 standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from scipy.special import erf
from torch import Tensor
from torch.nn.functional import pad

from adiabat.descriptors.density_radial import DEGREE, POINTS, RadialTable, scaled_bessel, tabulated

Array = np.ndarray


@dataclass(frozen=True)
class SeparableDensity:
    """What an atom adds to a density, and the functions that this is expanded in.

    Attributes:
        n_max: number of functions.
        gauss: whether the last is a Gaussian at the center.
        enhancement: power of the distance in the amplitude, averaged over the Gaussian: 0, 1 or 2.
        cutoff: Å.
        width: Å, of the shell before the cutoff in which the density is filtered.
        filter: how many standard deviations of the filter that is.
        sigma_r, sigma_t: Å, radial width and width across at the center.
        sigma_r_scaling, sigma_t_scaling: their growth with distance.
        amplitude_scaling: power of 1 − 3r² + 2r³.
        skip: how many σ_∥ before the shell a neighbor must be for its tail in the shell to be left out; None: never.
        ending: whether integrals over the shell end with their value at the cutoff.
    """

    n_max: int
    gauss: bool
    enhancement: int
    cutoff: float
    width: float
    filter: float
    sigma_r: float
    sigma_t: float
    sigma_r_scaling: float
    sigma_t_scaling: float
    amplitude_scaling: float
    skip: float | None = None
    ending: bool = True

    @property
    def tail_from(self) -> float:
        """Distance from which on the tail in the shell counts, Å."""
        if self.skip is None:
            return -1.0
        return (self.cutoff - self.width - self.skip * self.sigma_r) / (1.0 + self.skip * self.sigma_r_scaling)

    @property
    def finest(self) -> float:
        """The smallest width of the radial Gaussian, Å."""
        return min(self.sigma_r, self.sigma_r + self.sigma_r_scaling * self.cutoff)


def separable_table(densities: Sequence[SeparableDensity], l_max: int) -> tuple[RadialTable, Tensor]:
    """f_nl(r) of each density and coefficients c_n00 of an atom at the center `[densities, n_max]`.

    One table and one row stand for all if they are alike.
    """
    kinds = list(densities) if len(set(densities)) > 1 else [densities[0]]
    n_max, cutoff = max(d.n_max for d in kinds), kinds[0].cutoff
    origins = np.zeros((len(kinds), n_max))
    for place, density in enumerate(kinds):
        origins[place, : density.n_max] = central(density)

    tails = (True,) if kinds[0].skip is None else (True, False)

    def values(r: Array) -> Array:
        made = np.zeros((len(r), len(tails), len(kinds), n_max, l_max + 1))
        for place, density in enumerate(kinds):
            for part, tail in enumerate(tails):
                made[:, part, place, : density.n_max] = radial(r, density, l_max, tail)
        return made

    one = tabulated(values, 40 + int(DEGREE * cutoff / min(d.finest for d in kinds)), cutoff)
    intervals = len(one.coefficients)
    pieces = one.coefficients.unflatten(2, (len(tails), len(kinds), -1)).permute(2, 3, 0, 1, 4)
    middle = (torch.arange(intervals) + 0.5) * (cutoff / intervals)
    counts = middle > torch.tensor([d.tail_from for d in kinds])[:, None]
    pieces = torch.where(counts[:, :, None, None], pieces[0], pieces[-1])
    # graphs may hold pairs a little beyond the cutoff, for which there is an interval of zeros
    pieces = pad(pieces, (0, 0, 0, 0, 0, 1)).flatten(0, 1).contiguous()
    stop = cutoff * (intervals + 1) / intervals
    return RadialTable(pieces, stop, one.error, len(kinds)), torch.from_numpy(origins)


def radial(r: Array, density: SeparableDensity, l_max: int, tail: bool = True) -> Array:
    """f_nl of distances (Å) `[r, n_max, l_max + 1]`, with the tails in the shell or without."""
    cutoff, reduced = density.cutoff, r / density.cutoff
    sigma = density.sigma_r / cutoff + density.sigma_r_scaling * reduced
    across = density.sigma_t + density.sigma_t_scaling * r
    mixed = _overlaps(reduced, sigma, density, tail) @ _combinations(density)[0]
    mixed *= (4.0 * pi * sqrt(cutoff) * _amplitude(reduced, sigma, density))[:, None]
    bessel = (cutoff / across[:, None]) ** 2 * scaled_bessel(l_max, (r / across) ** 2)
    return mixed[:, :, None] * bessel[:, None, :]


def central(density: SeparableDensity) -> Array:
    """Coefficients c_n00 of an atom at the center `[n_max]`, whose density the Gaussian at the center is."""
    if not density.gauss:
        return radial(np.zeros(1), density, 0, density.tail_from < 0.0)[0, :, 0] * (4.0 * pi) ** -0.5
    mixing, overlap = _combinations(density)
    sigma = density.sigma_r / density.cutoff
    size = sqrt(4.0 * pi * density.cutoff) * _amplitude(np.zeros(1), np.full(1, sigma), density)
    return size * (density.cutoff / density.sigma_t) ** 2 * pi**0.25 * sqrt(0.5 * sigma) * (mixing @ overlap[:, -1])


def _quadrature(density: SeparableDensity) -> tuple[Array, Array, Array]:
    """Nodes from 0 to 1, weights and f_soft."""
    soft, finest = 1.0 - density.width / density.cutoff, density.finest / density.cutoff
    parts = []
    for begin, end, scale in ((0.0, soft, finest), (soft, 1.0, min(finest, (1.0 - soft) / density.filter))):
        x, weight = leggauss(40 + int(POINTS * (end - begin) / scale))
        parts.append((begin + 0.5 * (end - begin) * (x + 1.0), 0.5 * (end - begin) * weight))
    x, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    beyond = np.maximum(x - soft, 0.0) / (1.0 - soft)
    return x, weight, np.exp(-0.5 * (beyond * density.filter) ** 2)


def _functions(x: Array, density: SeparableDensity) -> Array:
    """φ_n `[x, n_max]`."""
    n = np.arange(1, density.n_max + 1)
    found = np.sqrt(2.0 * n + 5.0) * (1.0 - x[:, None]) ** (n + 2)
    if density.gauss:
        sigma = density.sigma_r / density.cutoff
        found[:, -1] = np.exp(-0.5 * (x / sigma) ** 2) * sqrt(2.0 / sigma) * pi**-0.25
    return found


def _combinations(density: SeparableDensity) -> tuple[Array, Array]:
    """W and S `[n_max, n_max]`."""
    x, weight, _ = _quadrature(density)
    functions = _functions(x, density)
    overlap = functions.T @ (functions * weight[:, None])
    np.fill_diagonal(overlap, 1.0)
    values, vectors = np.linalg.eigh(overlap)
    return vectors @ np.diag(values**-0.5) @ vectors.T, overlap


def _overlaps(r: Array, sigma: Array, density: SeparableDensity, tail: bool) -> Array:
    """I_n `[r, n_max]`."""
    x, weight, soft = _quadrature(density)
    if not tail:
        soft = soft * (x * density.cutoff < density.cutoff - density.width)
    gauss = np.exp(-0.5 * ((x - r[:, None]) / sigma[:, None]) ** 2)
    found = (gauss * weight * soft) @ _functions(x, density)
    if tail and not density.ending:
        found += _left_out(r, sigma, density)
    if density.gauss:
        own = density.sigma_r / density.cutoff
        both = np.sqrt(own**2 + sigma**2)
        beyond = 1.0 + erf(own * r / (sqrt(2.0) * sigma * both))
        found[:, -1] = pi**0.25 * sqrt(own) * sigma / both * np.exp(-0.5 * (r / both) ** 2) * beyond
    return found


def _left_out(r: Array, sigma: Array, density: SeparableDensity) -> Array:
    """What the program's I_n lack `[r, n_max]` where its recursion in J_k = ∫ (1 − x)^k G dx forgets G at the cutoff.

    G is the product of a neighbor's Gaussian and the filter, both falling from the shell's begin on, and
    J_k+1 = (1 − r_G) J_k + σ_G² (k J_k−1 + [(1 − x)^k G]), of which the end of the last is 0 but for k = 0.
    """
    soft, filtered = 1.0 - density.width / density.cutoff, density.width / density.cutoff / density.filter
    both = sigma**2 + filtered**2
    square, center = (sigma * filtered) ** 2 / both, (sigma**2 * soft + filtered**2 * r) / both
    height = np.exp(-0.5 * ((soft - r) ** 2 / both + (1.0 - center) ** 2 / square))
    errors = [np.zeros_like(r), -square * height]
    for k in range(1, density.n_max + 2):
        errors.append((1.0 - center) * errors[k] + square * k * errors[k - 1])
    found = np.stack([sqrt(2.0 * n + 5.0) * errors[n + 2] for n in range(1, density.n_max + 1)], axis=1)
    if density.gauss:  # its integral has no shell
        found[:, -1] = 0.0
    return found


def _amplitude(r: Array, sigma: Array, density: SeparableDensity) -> Array:
    """A(r)."""
    found = np.maximum((1.0 - r) ** 2 * (1.0 + 2.0 * r), 0.0) ** density.amplitude_scaling / sigma
    if density.enhancement == 1:
        return found * (r + sqrt(2.0 / pi) * sigma)
    if density.enhancement == 2:
        return found * (r**2 + sigma**2 + sqrt(8.0 / pi) * sigma * r)
    return found
