"""What the layers of an equivariant model know about the pairs, and its sums over them with kernels or without."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adiabat.geometry import Graph, Halves
from adiabat.geometry.neighborhood import Neighborhood, PairList
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table, tabulate
from adiabat.nn.tensor_product import NeighborTensorProduct


@dataclass(frozen=True)
class Edges:
    """What all layers know about the pairs, in the slots of a Neighborhood.

    Attributes:
        hood: layout of the slots.
        distances: `[pairs]`, Å.
        harmonics: Y times the envelope `[slots, (l_max+1)²]`.
        radial: radial basis `[halves, functions]`, see `to_slots`.
        halves: of slots, or None where the radial basis is given for slots.
        envelope: `[slots, 1]`; 1 for a pair whose cutoff is in `radial` already, 0 in filled-up slots.
        element: place of each atom's element `[atoms]`.
        average: average number of neighbors, in the shape that the layers want.
    """

    hood: Neighborhood | PairList
    distances: Tensor
    harmonics: Tensor
    radial: Tensor
    halves: Halves | None
    envelope: Tensor
    element: Tensor
    average: Tensor

    def to_slots(self, values: Tensor) -> Tensor:
        """What was made of `radial` for each slot `[slots, ...]`; anything in filled-up ones."""
        return values if self.halves is None else self.halves.spread(values)


class EdgeFeatures(nn.Module):
    """Harmonics and radial basis of all pairs, laid out in slots.

    Args:
        harmonics: of unit vectors.
        basis: radial functions of the coordinate.
        cutoff: envelope of the distance.
        transform: from distance to coordinate; None for the distance itself.
        cutoff_on_basis: multiply the envelope to the basis, before the radial network; otherwise to the harmonics.
        cutoff_of_coordinate: the envelope, too, is a function of the coordinate.
    """

    def __init__(
        self,
        harmonics: nn.Module,
        basis: nn.Module,
        cutoff: nn.Module,
        transform: nn.Module | None,
        cutoff_on_basis: bool,
        cutoff_of_coordinate: bool = False,
    ):
        super().__init__()
        self.harmonics, self.basis, self.cutoff, self.transform = harmonics, basis, cutoff, transform
        self.cutoff_on_basis, self.cutoff_of_coordinate = cutoff_on_basis, cutoff_of_coordinate

    def forward(self, vectors: Tensor, graph: Graph, element: Tensor, average: Tensor) -> Edges:
        """From the graph and its `vectors [pairs, 3]`, Å, and the two fields passed on."""
        hood, distances = graph.rows(), vectors.norm(dim=1)
        if self.transform is not None:  # the radial basis depends on the order of the two elements
            graph = graph.replace(halves=None)
        radial, envelope = self.radial(graph.once(distances), graph.system.numbers, graph.pairs)
        harmonics, envelope = self.harmonics(vectors / distances[:, None]), graph.spread(envelope)
        if not self.cutoff_on_basis:
            harmonics = harmonics * envelope
        halves = None if graph.halves is None else hood.slots(graph.halves)
        radial = hood.pad(radial) if halves is None else radial
        return Edges(hood, distances, hood.pad(harmonics), radial, halves, hood.pad(envelope), element, average)

    def radial(self, distances: Tensor, numbers: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Radial basis `[pairs, functions]` and envelope `[pairs, 1]` of atomic numbers and pairs of atoms.

        Without transform the distances may be those of halves: numbers and pairs are not read then.
        """
        coordinate = distances if self.transform is None else self.transform(distances, numbers, pairs)
        radial = self.basis(coordinate)
        envelope = self.cutoff(coordinate if self.cutoff_of_coordinate else distances)[:, None]
        return (radial * envelope, torch.ones_like(envelope)) if self.cutoff_on_basis else (radial, envelope)

    def of_elements(self, center: int, neighbor: int) -> Callable[[Tensor], Tensor]:
        """The radial basis between two elements as a function of the distance, in float64."""
        exact = copy.deepcopy(self).double()
        numbers, ends = torch.tensor([center, neighbor]), torch.tensor([[0], [1]])
        return lambda r: exact.radial(r, numbers, ends.expand(2, len(r)))[0]

    def tables(
        self, network: nn.Module, elements: Sequence[int], cutoff: float, kink: float | None = None
    ) -> list[Table]:
        """A network of the radial basis as tables up to `cutoff` (Å), one for each pair of elements that differs."""
        exact = copy.deepcopy(network).double()
        kinds = [(z, y) for z in elements for y in elements] if self.transform is not None else [(elements[0],) * 2]
        bases = [self.of_elements(*kind) for kind in kinds]
        return [tabulate(lambda r, basis=basis: exact(basis(r)), cutoff, kink=kink) for basis in bases]


def convolve(
    convolution: NeighborTensorProduct, features: Sequence[Tensor], edges: Edges, weights: Callable[[], Tensor]
) -> list[Tensor]:
    """The sums over neighbors, by the fast kernel if the block is frozen; `weights` are made only if it is not."""
    if convolution.kernel is None:
        return convolution(features, edges.harmonics, weights(), edges.hood)
    pairs = edges.hood
    assert isinstance(pairs, PairIndex)
    count = convolution.kernel.kinds
    kinds = torch.zeros_like(pairs.centers)
    if count > 1:
        kinds = edges.element[pairs.centers] * math.isqrt(count) + edges.element[pairs.neighbors]
    return convolution.fused(features, edges.harmonics, edges.distances, kinds, pairs)
