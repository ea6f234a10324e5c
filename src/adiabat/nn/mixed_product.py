"""Sums over neighbors of features times harmonics where irreps differ in multiplicity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from adiabat.kernels.tables import Table
from adiabat.nn.edges import Edges, convolve
from adiabat.nn.irreps import Irrep, Irreps
from adiabat.nn.tensor_product import NeighborTensorProduct

Coupling = tuple[Irrep, Irrep, Irrep]


class MixedTensorProduct(nn.Module):
    """`NeighborTensorProduct` for features of different multiplicities: one product for each multiplicity.

    In the output, the products with larger multiplicity come first along the channels of an irrep.

    Args:
        irreps_in: of the features; each must have a path to a wanted irrep (see `sources`).
        irreps_edge: of the harmonics, multiplicity 1.
        irreps_out: wanted irreps; their multiplicities do not matter.

    Attributes:
        irreps_out: what comes out.
        weights: how many weights each pair needs, for the products one after the other.
    """

    def __init__(self, irreps_in: Irreps, irreps_edge: Irreps, irreps_out: Irreps):
        super().__init__()
        self.irreps_in = irreps_in
        self.parts = nn.ModuleList()
        self.places: list[list[int]] = []  # of each part's features among the given ones
        for multiplicity in sorted({m for m, _ in irreps_in}, reverse=True):
            own = [k for k, (m, _) in enumerate(irreps_in) if m == multiplicity]
            self.places.append(own)
            terms = Irreps(tuple(irreps_in.terms[k] for k in own))
            self.parts.append(NeighborTensorProduct(terms, irreps_edge, irreps_out))
        totals = [(sum(part.irreps_out.count(ir) for part in self._parts()), ir) for _, ir in irreps_out]
        self.irreps_out = Irreps(tuple(term for term in totals if term[0]))
        self.sizes = [part.path_count * part.channels for part in self._parts()]
        self.weights = sum(self.sizes)

    def _parts(self) -> Iterable[NeighborTensorProduct]:
        return cast(Iterable[NeighborTensorProduct], self.parts)

    @staticmethod
    def sources(irreps_in: Irreps, irreps_edge: Irreps, irreps_out: Irreps) -> Irreps:
        """Those irreps of the features from which a path leads to a wanted irrep."""
        wanted = {ir for _, ir in irreps_out}
        reach = [(m, ir) for m, ir in irreps_in if any(wanted & set(ir * y) for _, y in irreps_edge)]
        return Irreps(tuple(reach))

    @staticmethod
    def reachable(irreps_in: Irreps, irreps_edge: Irreps, irreps_out: Irreps) -> Irreps:
        """Those wanted irreps that some path leads to."""
        made = {ir for _, x in irreps_in for _, y in irreps_edge for ir in x * y}
        return Irreps(tuple(term for term in irreps_out if term[1] in made))

    def couplings(self) -> list[tuple[int, Coupling]]:
        """Multiplicity and irreps (feature, harmonic, output) of each path, in the order of the weights."""
        return [(part.channels, path) for part in self._parts() for path in part.coupled]

    def freeze(self, tables: Sequence[Table]) -> None:
        """Makes the kernels ready, for good, with the weights from one table for each kind of pair."""
        begin = 0
        for part, size in zip(self._parts(), self.sizes, strict=True):
            part.freeze([table.narrow(begin, size) for table in tables])
            begin += size

    def forward(self, features: Sequence[Tensor], edges: Edges, weights: Callable[[], Tensor]) -> list[Tensor]:
        """The sums, `[atoms, 2l+1, paths · channels]` for each irrep of `irreps_out`.

        Args:
            features: `[atoms, 2l+1, multiplicity]` for each irrep.
            edges: pairs and harmonics.
            weights: gives `[slots, weights]`; not called by a frozen block.
        """
        frozen = all(part.kernel is not None for part in self._parts())
        split = [None] * len(self.sizes) if frozen else weights().split(self.sizes, dim=1)
        sums: dict[Irrep, list[Tensor]] = {ir: [] for _, ir in self.irreps_out}
        for part, places, own in zip(self._parts(), self.places, split, strict=True):
            made = convolve(part, [features[k] for k in places], edges, lambda own=own: cast(Tensor, own))
            for (_, ir), values in zip(part.irreps_out, made, strict=True):
                sums[ir].append(values)
        return [parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1) for parts in sums.values()]
