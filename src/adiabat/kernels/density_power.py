"""Coefficients of neighbor densities and slopes of power spectra, without tensors of pairs × functions."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, pi, sqrt
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.memory import keep_memory
from adiabat.kernels.operation import Kernel

NAME = "density_power"


class Product(NamedTuple):
    """One feature of a power spectrum: factor · Σ_m c_first,lm c_second,lm, with channels and radial functions as one
    index."""

    first: int
    second: int
    l: int
    factor: float


class DensityCoefficients(Kernel):
    """c = Σ_j w_j f_nl(r_j) Y_lm(r_j) in channels, differentiable once in pair vectors and weights.

    Args:
        coefficients: of quintics in equal intervals of r from 0 on, channels n·(l_max + 1) + l,
            `[tables · intervals, 6, ·]`.
        stop: Å, their end.
        n_max, l_max: sizes.
        channels: how many densities.
        tables: 1, or one for each channel.

    Raises CapabilityError if this machine has no compiler for it.
    """

    differentiable: ClassVar[int] = 2

    def __init__(self, coefficients: Tensor, stop: float, n_max: int, l_max: int, channels: int, tables: int = 1):
        library(NAME)
        self.sizes = (n_max, l_max, channels)
        by_degree = coefficients.detach().cpu().unflatten(2, (n_max, l_max + 1)).transpose(2, 3)
        self.table = by_degree.flatten(2).contiguous()
        self.tables, self.intervals = tables, len(coefficients) // tables
        self.inverse_step = self.intervals / stop
        norms = [_norm(l, m) for l in range(l_max + 1) for m in range(l + 1)]
        self.norms = torch.tensor(norms, dtype=self.table.dtype)

    def __call__(self, vectors: Tensor, weights: Tensor, channel: Tensor, begins: Tensor) -> Tensor:
        """c `[atoms, channels, n_max, (l_max + 1)²]`, m = −l..l with z the polar axis.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å.
            weights: w `[pairs]`.
            channel: the density that each pair is part of `[pairs]`.
            begins: first pair of each center, and the number of pairs `[atoms + 1]`.
        """
        (made,) = self.apply(vectors, weights, channel, begins)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        n_max, l_max, channels = self.sizes
        return [inputs[0].new_empty((inputs[3].shape[0] - 1, channels, n_max, (l_max + 1) ** 2))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        vectors, weights, channel, begins = inputs
        self.call("forward", begins, vectors, weights, channel, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        vectors, weights, channel, begins = inputs
        self.call("backward", begins, vectors, weights, channel, *gradients, *made)

    def call(self, function: str, begins: Tensor, vectors: Tensor, weights: Tensor, *rest: Tensor | int) -> None:
        """Calls the library's function with what all of them take."""
        given = [t for t in rest if isinstance(t, Tensor) and t.is_floating_point()]
        dtype = same_type(self.table, vectors, weights, *given)
        first = (len(begins) - 1, *self.sizes, self.tables, self.intervals, float(self.inverse_step))
        call(NAME, function, dtype, *first, self.table, self.norms, begins, vectors, weights, *rest)


class PowerSlopes:
    """Slopes of a power spectrum along pair vectors.

    Args:
        density: makes the coefficients.
        products: the features.
        total: whether the sum of all channels stands behind them as one more.
        width: of the rows; those behind the features stay zero.
    """

    def __init__(self, density: DensityCoefficients, products: Sequence[Product], total: bool, width: int):
        keep_memory()  # rows of all pairs are large, and fetching their pages takes longer than filling them
        n_max, _, channels = density.sizes
        self.density, self.features, self.width = density, len(products), width
        self.rows = (channels + total) * n_max
        self.factors = torch.tensor([p.factor for p in products], dtype=density.table.dtype)
        begins, entries = [0], []
        for own in range(channels):
            moving = {own, channels} if total else {own}
            for feature, p in enumerate(products):
                # where the product of one side's slope with the other side lies among those of a pair, or −1
                places = [
                    (p.l * n_max + a % n_max) * 3 * self.rows + b if a // n_max in moving else -1
                    for a, b in ((p.first, p.second), (p.second, p.first))
                ]
                if max(places) >= 0:
                    entries.append((feature, *places))
            begins.append(len(entries))
        self.begins = torch.tensor(begins)
        self.entries = torch.tensor(entries, dtype=torch.int64).reshape(-1, 3)

    def __call__(
        self,
        vectors: Tensor,
        weights: Tensor,
        slopes: Tensor,
        channel: Tensor,
        shares: Tensor,
        begins: Tensor,
        coefficients: Tensor,
        values: Tensor,
        inverse_lengths: Tensor | None,
    ) -> Tensor:
        """`[pairs, width, 3]`, Å⁻¹.

        Args:
            vectors, channel, begins: as for the coefficients.
            weights, slopes: w(r) and w'(r) `[pairs]`.
            shares: what multiplies w `[pairs]`; 0 skips a pair.
            coefficients: c with the center's own and the total `[atoms, rows, (l_max + 1)²]`.
            values: the features `[atoms, width]`, normalized if `inverse_lengths` is given.
            inverse_lengths: one over the length of the features before they were normalized `[atoms]`.
        """
        out = vectors.new_empty((len(vectors), self.width, 3))
        lengths = values.new_ones(1) if inverse_lengths is None else inverse_lengths
        floats = [t.contiguous() for t in (vectors, weights, slopes, shares, coefficients, values, lengths)]
        vectors, weights, slopes, shares, coefficients, values, lengths = floats
        self.density.call(
            "jacobian", begins, vectors, weights, slopes, channel.contiguous(), shares, self.rows, coefficients,
            self.begins, self.entries, self.factors, self.features, self.width, int(inverse_lengths is not None),
            values, lengths, out,
        )  # fmt: skip
        return out


def _norm(l: int, m: int) -> float:
    """Factor of a real spherical harmonic with ∫ Y² = 1."""
    return sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m)) * (sqrt(2.0) if m else 1.0)
