"""Expansion of neighbor densities in radial functions and spherical harmonics: c_nlm = Σ_j w(r_j) f_nl(r_j) Y_lm.

| symbol | here | shape, unit |
|---|---|---|
| c_nlm | `DensityExpansion.from_vectors` | [atoms, channels, n_max, (l_max + 1)²] |
| f_nl(r) | `RadialTable` | [pairs, n_max, l_max + 1] |
| f_c(r) | 1 up to r_c − width, then ½ (1 + cos π(r − r_c + width)/width) | 1 |
| w(r) | `Weighting`, times f_c | 1 |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import pi
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import element_index
from adiabat.descriptors.density_radial import RadialTable
from adiabat.geometry import Graph
from adiabat.kernels.density_power import DensityCoefficients
from adiabat.kernels.pairs import PairIndex
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.settings import Settings


class Weighting(Settings):
    """How much a neighbor counts: c [1 + 2 (r/r0)³ − 3 (r/r0)²]^m, c / (d + (r/r0)^m) or c / (d + exp(−r/r0))."""

    form: Literal["poly", "pow", "exp"] = "pow"
    """Which of them."""
    r0: float = Field(default=2.0, gt=0.0)
    """Å; `poly` is zero beyond."""
    c: float = 1.0
    """Factor."""
    d: float = 1.0
    """Added in the denominator of pow and exp."""
    m: float = 4.0
    """Power."""

    def __call__(self, distances: Tensor) -> Tensor:
        """`[n]` Å to `[n]`."""
        x = distances / self.r0
        if self.form == "poly":
            x = x.clamp(max=1.0)
            return self.c * (1.0 + 2.0 * x**3 - 3.0 * x**2) ** self.m
        return self.c / (self.d + (x**self.m if self.form == "pow" else torch.exp(-x)))


def shifted_cosine(distances: Tensor, cutoff: float, width: float) -> Tensor:
    """f_c: 1 up to cutoff − width, 0 from the cutoff on; `width` 0 gives 1 everywhere."""
    if width == 0.0:
        return torch.ones_like(distances)
    x = ((distances - cutoff + width) / width).clamp(0.0, 1.0)
    return 0.5 * (1.0 + torch.cos(pi * x))


class DensityExpansion(nn.Module):
    """Coefficients of the neighbor density in channels, each a weighted sum over elements.

    Args:
        elements: atomic numbers.
        table: f_nl(r), one for all channels or one for each.
        n_max, l_max: sizes.
        channel: `[elements]`, the channel that an element's atoms are part of.
        share: `[elements]`, their weight in it.
        center: `[channels, elements]`, weight of the central atom's own density in each channel.
        cutoff, width: of f_c, Å.
        weighting: w(r), or None for 1.
        total: whether the sum of all channels stands behind them as one more.
        origin: `[channels, n_max]`, coefficients of a central atom of weight 1; None: f_n0(0) Y_00.
    """

    element: Tensor
    channel: Tensor
    share: Tensor
    center: Tensor
    degree: Tensor
    coefficients: Tensor
    origin: Tensor

    def __init__(
        self,
        elements: Iterable[int],
        table: RadialTable,
        n_max: int,
        l_max: int,
        channel: Tensor,
        share: Tensor,
        center: Tensor,
        cutoff: float,
        width: float,
        weighting: Weighting | None = None,
        total: bool = False,
        origin: Tensor | None = None,
    ):
        super().__init__()
        self.n_max, self.l_max = n_max, l_max
        self.cutoff, self.width, self.weighting, self.total = cutoff, width, weighting, total
        self.stop, self.error, self.tables = table.stop, table.error, table.tables
        self._frozen = False
        self._kernels: dict[torch.dtype, DensityCoefficients] = {}
        self.harmonics = SphericalHarmonics(l_max, "integral")
        degrees = torch.cat([torch.full((2 * l + 1,), l) for l in range(l_max + 1)])
        own = origin
        if own is None:
            each = torch.arange(table.tables)
            values = table(torch.zeros(table.tables, dtype=torch.float64), each) * (4.0 * pi) ** -0.5
            own = values.reshape(table.tables, n_max, l_max + 1)[..., 0]
        tensors: Mapping[str, Tensor] = {
            "element": element_index(elements),
            "channel": channel,
            "share": share.double(),
            "center": center.double(),
            "degree": degrees,
            "coefficients": table.coefficients,
            "origin": own,
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def table(self) -> RadialTable:
        """f_nl(r), channels n·(l_max + 1) + l."""
        return RadialTable(self.coefficients, self.stop, self.error, self.tables)

    def weights(self, distances: Tensor) -> Tensor:
        """w(r) f_c(r) `[pairs]`."""
        values = shifted_cosine(distances, self.cutoff, self.width)
        return values if self.weighting is None else values * self.weighting(distances)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        """c `[atoms, channels, n_max, (l_max + 1)²]`, degree by degree, m = −l..l, z the polar axis."""
        kinds = self.element[graph.system.numbers]
        near = kinds.index_select(0, graph.neighbors)
        distances = vectors.norm(dim=1)
        weights = self.weights(distances) * self.share.to(vectors.dtype).index_select(0, near)
        channel = self.channel.index_select(0, near)
        if self._frozen:
            found = self.kernel(vectors.dtype)(vectors, weights, channel, PairIndex.of_graph(graph).begins)
        else:
            found = self._summed(vectors, distances, weights, channel, graph)
        return self.completed(found, kinds)

    def of_pairs(self, vectors: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """What each neighbor adds `[pairs, n_max, (l_max + 1)²]`, and the channel it adds to `[pairs]`."""
        near, distances = self.element[graph.system.numbers].index_select(0, graph.neighbors), vectors.norm(dim=1)
        weights = self.weights(distances) * self.share.to(vectors.dtype).index_select(0, near)
        channel = self.channel.index_select(0, near)
        return self._terms(vectors, distances, weights, channel), channel

    def _terms(self, vectors: Tensor, distances: Tensor, weights: Tensor, channel: Tensor) -> Tensor:
        which = channel if self.tables > 1 else None
        radial = self.table(distances, which).unflatten(1, (self.n_max, self.l_max + 1)) * weights[:, None, None]
        radial = radial.index_select(2, self.degree)
        directions = vectors.roll(-1, dims=1)  # that block's polar axis is y
        angular = self.harmonics(directions.to(self.harmonics.scale.dtype)).to(vectors.dtype)
        return radial * angular[:, None, :]

    def _summed(self, vectors: Tensor, distances: Tensor, weights: Tensor, channel: Tensor, graph: Graph) -> Tensor:
        """The sum over neighbors."""
        terms = self._terms(vectors, distances, weights, channel)
        atoms, channels = graph.system.numbers.shape[0], self.center.shape[0]
        found = vectors.new_zeros((atoms * channels, self.n_max, terms.shape[2]))
        found = found.index_add(0, graph.centers * channels + channel, terms)
        return found.unflatten(0, (atoms, channels))

    def completed(self, found: Tensor, kinds: Tensor) -> Tensor:
        """Coefficients of the neighbors with the central atoms' own and the total."""
        own = self.center.to(found.dtype).T.index_select(0, kinds)[:, :, None] * self.origin.to(found.dtype)
        found = torch.cat((found[..., :1] + own[..., None], found[..., 1:]), dim=3)
        return torch.cat((found, found.sum(dim=1, keepdim=True)), dim=1) if self.total else found

    def freeze(self) -> None:
        """Makes it take its kernel, for good."""
        self._frozen = True
        self.kernel(torch.float64)

    def kernel(self, dtype: torch.dtype) -> DensityCoefficients:
        """The sum over neighbors in C++; CapabilityError if this machine has no compiler."""
        if dtype not in self._kernels:
            table, channels = self.coefficients.to(dtype), self.center.shape[0]
            sizes = (self.n_max, self.l_max, channels, self.tables)
            self._kernels[dtype] = DensityCoefficients(table, self.stop, *sizes)
        return self._kernels[dtype]
