"""Power spectra of neighbor densities, p = Σ_m c_first,lm c_second,lm: what all kinds of SOAP share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.density_expansion import DensityExpansion
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.density_power import NAME, PowerSlopes, Product
from adiabat.kernels.pairs import PairIndex


class PowerSpectrum(nn.Module):
    """Features from coefficients: chosen products of two radial channels, summed over m.

    Args:
        terms: in the order of the features.
        channels: number of elements' channels times radial functions.
        l_max: highest degree.
    """

    choice: Tensor
    factor: Tensor

    def __init__(self, terms: Sequence[Product], channels: int, l_max: int):
        super().__init__()
        self.l_max, self.channels = l_max, channels
        places = [(t.l * channels + t.first) * channels + t.second for t in terms]
        self.register_buffer("choice", torch.tensor(places), persistent=False)
        factors = torch.tensor([t.factor for t in terms], dtype=torch.float64)
        self.register_buffer("factor", factors, persistent=False)

    def forward(self, coefficients: Tensor) -> Tensor:
        """`[atoms, channels, (l_max + 1)²]` to `[atoms, features]`."""
        parts = []
        for l in range(self.l_max + 1):
            own = coefficients[:, :, l * l : (l + 1) ** 2]
            parts.append(torch.bmm(own, own.transpose(1, 2)).flatten(1))
        return torch.cat(parts, dim=1).index_select(1, self.choice) * self.factor.to(coefficients.dtype)


class SpectrumDescriptor(Descriptor):
    """Power spectrum of the neighbor density.

    Args:
        elements: atomic numbers.
        cutoff: Å.
        expansion: makes the density's coefficients.
        terms: the features.
        normalize: whether features have length 1.
        constant: whether a feature that is always 0 stands behind them.
        sums: `[sums, channels · n_max]`, sums of coefficients that stand behind the coefficients, or None.

    Attributes:
        spectrum: makes products of coefficients.
    """

    sums: Tensor | None

    def __init__(
        self,
        elements: Iterable[int],
        cutoff: float,
        expansion: DensityExpansion,
        terms: Sequence[Product],
        normalize: bool,
        constant: bool = False,
        sums: Tensor | None = None,
    ):
        super().__init__(elements, cutoff)
        self.expansion, self.normalize, self.constant = expansion, normalize, constant
        rows = (expansion.center.shape[0] + expansion.total) * expansion.n_max
        rows += 0 if sums is None else len(sums)
        self.spectrum = PowerSpectrum(terms, rows, expansion.l_max)
        self.register_buffer("sums", sums, persistent=False)
        self._products = tuple(terms)
        self._slopes: dict[torch.dtype, PowerSlopes] = {}
        self.sizes = (len(terms) + constant,) * len(self.elements)

    def coefficients(self, vectors: Tensor, graph: Graph) -> Tensor:
        """c_nlm `[atoms, channels · n_max + sums, (l_max + 1)²]`."""
        found = self.expansion.from_vectors(vectors, graph).flatten(1, 2)
        return found if self.sums is None else torch.cat((found, self.sums.to(found.dtype) @ found), dim=1)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self._finished(self.spectrum(self.coefficients(vectors, graph)))

    def _finished(self, values: Tensor) -> Tensor:
        if self.normalize:  # the tiny number keeps empty environments out of 0/0
            values = values / (values.square().sum(dim=1, keepdim=True) + 1e-60).sqrt()
        return torch.cat((values, torch.zeros_like(values[:, :1])), dim=1) if self.constant else values

    def freeze(self) -> None:
        self.expansion.freeze()

    def values(self, graph: Graph) -> Tensor:
        """What `forward` gives, without gradient history and in C++ where that can be."""
        with torch.no_grad():
            slopes = self._kernel(graph)
            if slopes is None:
                return self.forward(graph)
            return self._finished(self.spectrum(self._density(graph, slopes)[0]))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        slopes = self._kernel(graph)
        if slopes is None:
            return super().jacobian(graph)
        with torch.enable_grad():
            distances = graph.vectors().detach().norm(dim=1).requires_grad_()
            weights = self.expansion.weights(distances)
            along = torch.zeros_like(distances)
            if weights.requires_grad:
                along = torch.autograd.grad(weights.sum(), distances)[0]
        with torch.no_grad():
            found, vectors, share, channel, begins = self._density(graph, slopes)
            raw = self.spectrum(found)
            values, lengths = self._finished(raw), None
            if self.normalize:
                lengths = 1.0 / (raw.square().sum(dim=1) + 1e-60).sqrt()
            given = (vectors, weights.detach(), along, channel, share, begins, found, values, lengths)
            return values, slopes(*given)

    def _kernel(self, graph: Graph) -> PowerSlopes | None:
        """The kernel for a graph, None if there is none."""
        dtype = graph.system.positions.dtype
        if graph.pairs.device.type != "cpu" or self.sums is not None or available(NAME) is not None:
            return None
        if dtype not in self._slopes:
            kernel, total = self.expansion.kernel(dtype), self.expansion.total
            self._slopes[dtype] = PowerSlopes(kernel, self._products, total, self.size)
        return self._slopes[dtype]

    def _density(self, graph: Graph, slopes: PowerSlopes) -> tuple[Tensor, ...]:
        """Coefficients, and the pairs' vectors, shares, channels and places."""
        own, vectors = self.expansion, graph.vectors()
        kinds = own.element[graph.system.numbers]
        near, begins = kinds[graph.neighbors], PairIndex.of_graph(graph).begins
        share, channel = own.share.to(vectors)[near], own.channel[near]
        weights = own.weights(vectors.norm(dim=1)) * share
        found = own.completed(slopes.density(vectors, weights, channel, begins), kinds)
        return found.flatten(1, 2), vectors, share, channel, begins

    def averaged(self, graph: Graph, kind: Literal["inner", "outer"] = "inner") -> Tensor:
        """One row for each system `[systems, size]`.

        inner: the spectrum of the mean coefficients (QUIP's average=T); outer: the mean of the atoms' spectra.
        """
        found = self.coefficients(graph.vectors(), graph) if kind == "inner" else self(graph)
        system = graph.system
        total = found.new_zeros((system.systems, *found.shape[1:])).index_add(0, system.system, found)
        mean = total / system.atom_counts.to(found.dtype).reshape(-1, *(1 for _ in found.shape[1:]))
        return self._finished(self.spectrum(mean)) if kind == "inner" else mean
