"""Bispectrum of the smooth neighbor density (Bartók, Kondor & Csányi, doi:10.1103/PhysRevB.87.184115, eq. 39).

| paper | here | shape, unit |
|---|---|---|
| c_nlm | `DensityExpansion` | [atoms, channels, n_max, (l_max + 1)²] |
| C (Clebsch-Gordan) | real, a buffer for each (l, l', l'') | [2l + 1, 2l' + 1, 2l'' + 1] |
| b_nll'l'' = Σ_mm'm'' C c_nlm c_nl'm' c_nl''m'' | `SOAPBispectrum` | [atoms, features] |

Three neighbors enter a product, so that it knows environments whose power spectra are the same. Products are of one
radial function, and of one, two or three elements; each unordered product is there once.

Departures from the paper: the density is that of `soap` with one of its conventions, in three dimensions rather than
on the four-dimensional sphere; l + l' + l'' is even, as mirror images have the same energy; couplings have norm 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations_with_replacement
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.soap import SOAP, SOAPConfig
from adiabat.geometry import Graph
from adiabat.nn.clebsch_gordan import wigner_3j
from adiabat.nn.constants import ConstantModule


class SOAPBispectrumConfig(SOAPConfig):
    """Options of the density are those of a SOAP."""

    kind: Literal["soap_bispectrum"] = "soap_bispectrum"  # type: ignore[assignment]
    """Name of the descriptor."""
    n_max: int = Field(default=4, ge=1)
    """Radial functions."""
    l_max: int = Field(default=4, ge=0)
    """Highest degree of the spherical harmonics."""

    def build(self, elements: Iterable[int]) -> SOAPBispectrum:  # type: ignore[override]
        return SOAPBispectrum(self, elements)


class Couplings(ConstantModule):
    """Invariant products of three sets of coefficients.

    Args:
        channels: number of densities.
        l_max: highest degree.

    Attributes:
        triples: the degrees l ≤ l' ≤ l'' of each block of products.
    """

    def __init__(self, channels: int, l_max: int):
        super().__init__()
        every = combinations_with_replacement(range(l_max + 1), 3)
        self.triples = [t for t in every if t[2] <= t[0] + t[1] and sum(t) % 2 == 0]
        self.size = 0
        for a, b, c in self.triples:
            self.register_constant(f"coupling{a}_{b}_{c}", wigner_3j(a, b, c))
            cube = torch.cartesian_prod(*(torch.arange(channels),) * 3).reshape(-1, 3)
            kept = (cube[:, 0] <= cube[:, 1]) | (a != b)
            kept &= (cube[:, 1] <= cube[:, 2]) | (b != c)
            self.register_buffer(f"choice{a}_{b}_{c}", kept.nonzero()[:, 0], persistent=False)
            self.size += int(kept.sum())

    def forward(self, coefficients: Tensor) -> Tensor:
        """`[atoms, channels, n_max, (l_max + 1)²]` to `[atoms, n_max · size]`."""
        found = []
        for a, b, c in self.triples:
            one, two, three = (coefficients[..., l * l : (l + 1) ** 2].transpose(1, 2) for l in (a, b, c))
            table = self.get_buffer(f"coupling{a}_{b}_{c}").to(one.dtype)
            half = torch.einsum("znsp,pqr->znsqr", one, table)
            half = torch.einsum("znsqr,zntq->znstr", half, two).flatten(2, 3)
            products = torch.matmul(half, three.transpose(2, 3)).flatten(2)
            found.append(products.index_select(2, self.get_buffer(f"choice{a}_{b}_{c}")))
        return torch.cat(found, dim=2).flatten(1)


class SOAPBispectrum(Descriptor):
    """Bispectrum of the neighbor density.

    Args:
        config: options.
        elements: atomic numbers.
    """

    def __init__(self, config: SOAPBispectrumConfig, elements: Iterable[int]):
        spectrum = SOAP(config, elements)
        super().__init__(spectrum.elements, spectrum.cutoff)
        self.expansion = spectrum.expansion
        channels = self.expansion.center.shape[0] + self.expansion.total
        self.couplings = Couplings(channels, config.l_max)
        self.sizes = (config.n_max * self.couplings.size,) * len(self.elements)

    def freeze(self) -> None:
        self.expansion.freeze()

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self.couplings(self.expansion.from_vectors(vectors, graph))
