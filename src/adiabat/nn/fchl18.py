"""FCHL18: kernels between atoms from the overlap of two- and three-body distributions smeared in space and alchemy.

F. A. Faber, A. S. Christensen, B. Huang and O. A. von Lilienfeld, J. Chem. Phys. 148, 241717 (2018),
doi:10.1063/1.5020710; program whose numbers it gives: qmllib.

| paper | here | shape, unit |
|---|---|---|
| neighbors of each atom, by distance | `Surroundings` | [atoms, most], Å |
| ξ₂ (eq. 8) | `Terms.pairs` | [atoms, most] |
| ξ₃ (eq. 9), times a Fourier series of the angle | `Terms.angles` | [atoms, most, kinds, order, 2] |
| overlap of elements in period and group (eq. 11) | `FCHL18.likeness` | [kinds, kinds] |
| scalar product of two atoms' distributions | `FCHL18.products` | [atoms, atoms] |
| d² = ⟨a,a⟩ + ⟨b,b⟩ − 2⟨a,b⟩ and functions of it | `similarity` | [atoms, atoms] |

Departures from the paper, all the program's: a neighbor's three-body terms are summed over the third atom before the
product; scalings are divided by 16 and √8. Departures from the program: Gaussians of distances are not cut at eight
widths (1e-7 of their height), the Fourier series is as long without alchemy as with it, elements beyond fermium have
their regular places in the table, and sines of multiple angles are polynomials times one sine, so that slopes stay
finite where three atoms are in line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.settings import Settings

TINY = 1e-12  # under a square root, where three atoms are in line
NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)
BESSEL_POINTS = 256  # of the mean that is a Bessel function, exact for arguments up to about 200
_CHUNK = 4_000_000  # numbers in the largest temporary of `products`


class FCHL18Config(Settings):
    """Options of the scalar product; defaults are the program's."""

    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of the environments, Å."""
    fade: float = Field(default=1.0, gt=0.0, le=1.0)
    """Part of the cutoff at which terms begin to fade; 1 is a sharp end."""
    radial_width: float = Field(default=0.2, gt=0.0)
    """Width of distances, Å."""
    angular_width: float = Field(default=math.pi, gt=0.0)
    """Width of angles."""
    radial_power: float = Field(default=4.0, ge=0.0)
    """Power of the distance that two-body terms are divided by."""
    angular_power: float = Field(default=2.0, ge=0.0)
    """Power of the three distances that three-body terms are divided by."""
    radial_weight: float = Field(default=math.sqrt(8.0), ge=0.0)
    """Weight of two-body terms."""
    angular_weight: float = Field(default=1.6, ge=0.0)
    """Weight of three-body terms."""
    order: int = Field(default=1, ge=1)
    """Terms of the Fourier series; those of even multiples vanish."""
    alchemy: bool = True
    """Whether different elements overlap by their places in the periodic table."""
    period_width: float = Field(default=1.6, gt=0.0)
    """Width of the periods' overlap. The program applies what it calls the group's width."""
    group_width: float = Field(default=1.6, gt=0.0)
    """Width of the groups' overlap."""

    def build(self, elements: Iterable[int]) -> FCHL18:
        """The scalar product of atoms of these atomic numbers."""
        return FCHL18(self, elements)


class SimilarityConfig(Settings):
    """A function of two atoms' (or systems') scalar products; σ, n and the rest as in the program."""

    form: Literal["gaussian", "linear", "polynomial", "sigmoid", "cauchy", "matern", "bessel"] = "gaussian"
    """gaussian: exp(−d²/2σ²); cauchy: 1/(1 + d²/σ²); matern: of order n + ½ and length σ/√2; linear: ⟨a,b⟩ + c;
    polynomial: (α⟨a,b⟩ + c)^n; sigmoid: tanh(α⟨a,b⟩ + c); bessel: J_v(σ⟨a,b⟩) ⟨a,b⟩^(n (v + 1))."""
    sigma: float = Field(default=2.5, gt=0.0)
    """σ."""
    alpha: float = 1.0
    """α."""
    constant: float = 0.0
    """c."""
    power: float = 1.0
    """n."""
    degree: int = Field(default=1, ge=0)
    """v."""


@dataclass(frozen=True)
class Surroundings:
    """Neighbors of each atom, nearest first, padded to the same number.

    Attributes:
        numbers: atomic numbers `[atoms]`.
        neighbors: those of the neighbors `[atoms, most]`, 0 where there is none.
        vectors: to the neighbors `[atoms, most, 3]`, Å.
    """

    numbers: Tensor
    neighbors: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, graph: Graph) -> Surroundings:
        """Those of a graph's pairs, differentiable in them."""
        atoms, centers, vectors = graph.system.atoms, graph.centers, graph.vectors()
        order = torch.argsort(vectors.detach().norm(dim=1), stable=True)
        order = order[torch.argsort(centers[order], stable=True)]
        centers = centers[order]
        counts = torch.bincount(centers, minlength=atoms)
        most = int(counts.max()) if len(counts) else 0
        place = torch.arange(len(centers)) - (counts.cumsum(0) - counts)[centers]
        numbers = graph.system.numbers
        around = numbers.new_zeros((atoms, most)).index_put((centers, place), numbers[graph.neighbors[order]])
        padded = vectors.new_zeros((atoms, most, 3)).index_put((centers, place), vectors[order])
        return cls(numbers, around, padded)


@dataclass(frozen=True)
class Terms:
    """What scalar products of atoms are made of.

    Attributes:
        element: place of each atom's element `[atoms]`.
        neighbor: those of its neighbors `[atoms, most]`; any where there is none.
        radii: distances `[atoms, most]`, Å.
        pairs: two-body weights `[atoms, most]`, 0 where there is no neighbor.
        angles: cosine and sine terms of the angles at the atom between a neighbor and all others of each element
            `[atoms, most, kinds, order, 2]`.
    """

    element: Tensor
    neighbor: Tensor
    radii: Tensor
    pairs: Tensor
    angles: Tensor


class FCHL18(nn.Module):
    """The scalar product of atoms' distributions.

    Attributes:
        elements: atomic numbers, ascending.
        likeness: overlap of the elements `[kinds, kinds]`, 1 of an element with itself.
    """

    place: Tensor
    likeness: Tensor
    series: Tensor

    def __init__(self, config: FCHL18Config, elements: Iterable[int]):
        super().__init__()
        self.config = config
        self.elements = tuple(sorted({int(z) for z in elements}))
        table = torch.zeros(max(self.elements) + 1, dtype=torch.int64)
        table[list(self.elements)] = torch.arange(len(self.elements))
        self.register_buffer("place", table, persistent=False)
        likeness = torch.eye(len(self.elements), dtype=torch.float64)
        if config.alchemy:
            at = torch.tensor([_position(z) for z in self.elements], dtype=torch.float64)
            widths = torch.tensor([config.period_width, config.group_width], dtype=torch.float64)
            likeness = torch.exp(-0.25 * ((at[:, None] - at) / widths).square().sum(dim=2))
        self.register_buffer("likeness", likeness, persistent=False)
        # Σ over all odd n of exp(−(w n)²), each term 4; terms beyond w n = 7 are below rounding
        odd = torch.arange(1, 2 + int(14.0 / config.angular_width), 2, dtype=torch.float64)
        norm = 2.0 * math.sqrt(math.pi * 8.0 * float(torch.exp(-(config.angular_width * odd).square()).sum()))
        m = torch.arange(1, config.order + 1, dtype=torch.float64)
        series = math.sqrt(2.0 * math.pi) / norm * torch.exp(-0.5 * (config.angular_width * m).square())
        self.register_buffer("series", series, persistent=False)

    def terms(self, given: Surroundings) -> Terms:
        """The terms of some atoms, differentiable in their neighbors' vectors."""
        config, kinds = self.config, len(self.elements)
        element, neighbor = self.place[given.numbers], self.place[given.neighbors]
        there = given.neighbors > 0
        # where there is no neighbor, one at (1, 1, 1) of weight 0 keeps slopes finite
        vectors = torch.where(there[:, :, None], given.vectors, torch.ones_like(given.vectors))
        radii = vectors.norm(dim=2)
        pairs = self._fade(radii) * radii ** (-config.radial_power) * there
        strength, cosine = self._triplets(vectors, radii, there)
        waves = torch.stack(_multiples(cosine, config.order), dim=-1)  # of both functions [..., order, 2]
        waves = waves * strength[..., None, None]
        atoms, most = neighbor.shape
        angles = waves.new_zeros((atoms, most, kinds, config.order, 2))
        where = neighbor[:, None, :, None, None].expand_as(waves)
        return Terms(element, neighbor, radii, pairs, angles.scatter_add(2, where, waves))

    def _triplets(self, vectors: Tensor, radii: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """ξ₃ and the angle's cosine of two neighbors `[atoms, most, most]`."""
        config, most = self.config, there.shape[1]
        valid = there[:, :, None] & there[:, None, :] & ~torch.eye(most, dtype=torch.bool)
        between = vectors[:, None, :, :] - vectors[:, :, None, :]  # from the first to the second
        between = torch.where(valid[..., None], between, torch.ones_like(between))
        far = between.norm(dim=3)
        first, second = radii[:, :, None], radii[:, None, :]
        at_center = torch.einsum("ajx,akx->ajk", vectors, vectors) / (first * second)
        at_first = -torch.einsum("ajx,ajkx->ajk", vectors, between) / (first * far)
        at_second = torch.einsum("akx,ajkx->ajk", vectors, between) / (second * far)
        strength = (1.0 + 3.0 * at_center * at_first * at_second) * (first * second * far) ** (-config.angular_power)
        fade = self._fade(radii)
        return strength * fade[:, :, None] * fade[:, None, :] * self._fade(far) * valid, at_center

    def _fade(self, r: Tensor) -> Tensor:
        """10 x³ − 15 x⁴ + 6 x⁵ of the way x from the cutoff to where fading begins."""
        end, start = self.config.cutoff, self.config.fade * self.config.cutoff
        if start == end:
            return (r <= end).to(r)
        x = ((end - r) / (end - start)).clamp(0.0, 1.0)
        return x**3 * (10.0 - 15.0 * x + 6.0 * x.square())

    def products(self, one: Terms, other: Terms) -> Tensor:
        """Scalar products `[atoms, atoms]` of the atoms of one with those of the other."""
        size = max(1, one.radii.shape[1] * other.radii.numel())
        step = max(1, _CHUNK // size)
        rows = [self._products(_rows(one, b, b + step), other) for b in range(0, len(one.element), step)]
        return torch.cat(rows) if rows else one.pairs.new_zeros((0, len(other.element)))

    def _products(self, one: Terms, other: Terms) -> Tensor:
        config, likeness = self.config, self.likeness.to(one.radii)
        apart = one.radii[:, :, None, None] - other.radii
        overlap = torch.exp(-0.25 * (apart / config.radial_width).square())
        overlap = overlap * likeness[one.neighbor[:, :, None, None], other.neighbor]
        mixed = torch.einsum("ajpmc,pq,m->ajqmc", one.angles, likeness, self.series.to(one.radii))
        angular = torch.einsum("ajqmc,bkqmc->ajbk", mixed, other.angles)
        radial = one.pairs[:, :, None, None] * other.pairs
        both = config.radial_weight / 16.0 * radial + config.angular_weight / math.sqrt(8.0) * angular
        return likeness[one.element[:, None], other.element] * (1.0 + (overlap * both).sum(dim=(1, 3)))

    def selves(self, given: Terms) -> Tensor:
        """Scalar products of atoms with themselves `[atoms]`."""
        single = (_rows(given, a, a + 1) for a in range(len(given.element)))
        rows = [self._products(own, own)[0] for own in single]
        return torch.cat(rows) if rows else given.pairs.new_zeros(0)


def similarity(config: SimilarityConfig, one: Tensor, other: Tensor, products: Tensor) -> Tensor:
    """Kernel `[n, m]` of things with scalar products `products [n, m]`, with themselves `one [n]` and `other [m]`."""
    if config.form == "linear":
        return products + config.constant
    if config.form == "polynomial":
        return (config.alpha * products + config.constant) ** config.power
    if config.form == "sigmoid":
        return torch.tanh(config.alpha * products + config.constant)
    if config.form == "bessel":
        return _bessel(config.degree, config.sigma * products) * products ** (config.power * (config.degree + 1))
    square = (one[:, None] + other - 2.0 * products).clamp(min=0.0)
    if config.form == "gaussian":
        return torch.exp(-0.5 * square / config.sigma**2)
    if config.form == "cauchy":
        return 1.0 / (1.0 + square / config.sigma**2)
    n = int(config.power)
    # the tiny number keeps slopes finite at zero distance, where the function is flat
    reach = 2.0 * math.sqrt(2.0 * n + 1.0) / config.sigma * (square + 1e-24).sqrt()
    factors = [math.factorial(n + k) * math.comb(n, k) / math.factorial(2 * n) for k in range(n + 1)]
    return torch.exp(-0.5 * reach) * torch.stack([f * reach ** (n - k) for k, f in enumerate(factors)]).sum(dim=0)


def _bessel(degree: int, x: Tensor) -> Tensor:
    """J_v of whole v, the mean of cos(v τ − x sin τ) over a turn."""
    turn = torch.arange(BESSEL_POINTS).to(x) * (2.0 * math.pi / BESSEL_POINTS)
    return torch.cos(degree * turn - x[..., None] * torch.sin(turn)).mean(dim=-1)


def _multiples(cosine: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """(1 − (−1)^m) times cos mθ and sin mθ for m = 1..order `[..., order]`."""
    sine = (1.0 - cosine.square()).clamp(min=TINY).sqrt()
    cosines, over = [torch.ones_like(cosine), cosine], [torch.zeros_like(cosine), torch.ones_like(cosine)]
    for _ in range(order - 1):  # over: sin mθ / sin θ
        cosines.append(2.0 * cosine * cosines[-1] - cosines[-2])
        over.append(2.0 * cosine * over[-1] - over[-2])
    odd = torch.tensor([2.0 * (m % 2) for m in range(1, order + 1)], dtype=cosine.dtype)
    return torch.stack(cosines[1:], dim=-1) * odd, torch.stack(over[1:], dim=-1) * sine[..., None] * odd


def _rows(terms: Terms, begin: int, end: int) -> Terms:
    return Terms(**{name: value[begin:end] for name, value in vars(terms).items()})


def _position(number: int) -> tuple[int, int]:
    """Period, and column: 1 to 8 of the main groups, 9 to 18 of the d block, 19 to 33 of the f block."""
    period = next(p for p, last in enumerate(NOBLE) if number <= last)
    offset, left = number - NOBLE[period - 1], NOBLE[period] - number
    if (left < 6 and period > 1) or number == 2:
        return period, 8 - left
    if offset <= 2:
        return period, offset
    if period < 6:
        return period, offset + 6
    return period, offset + 16 if offset <= 17 else offset - 8
