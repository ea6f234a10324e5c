"""MACE's interaction blocks: from the features of the neighbors to the message each atom's product is made of."""

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
from adiabat.kernels.tables import tabulate
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irreps
from adiabat.nn.normalized import Gate, LayerNormMLP, NormalizedMLP
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
        average: average number of neighbors, a scalar.
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
    """

    def __init__(
        self,
        harmonics: nn.Module,
        basis: nn.Module,
        cutoff: nn.Module,
        transform: nn.Module | None,
        cutoff_on_basis: bool,
    ):
        super().__init__()
        self.harmonics, self.basis, self.cutoff, self.transform = harmonics, basis, cutoff, transform
        self.cutoff_on_basis = cutoff_on_basis

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
        radial, envelope = self.basis(coordinate), self.cutoff(distances)[:, None]
        return (radial * envelope, torch.ones_like(envelope)) if self.cutoff_on_basis else (radial, envelope)

    def of_elements(self, center: int, neighbor: int) -> Callable[[Tensor], Tensor]:
        """The radial basis between two elements as a function of the distance, in float64."""
        exact = copy.deepcopy(self).double()
        numbers, ends = torch.tensor([center, neighbor]), torch.tensor([[0], [1]])
        return lambda r: exact.radial(r, numbers, ends.expand(2, len(r)))[0]


@dataclass(frozen=True)
class Shapes:
    """What goes in and out of an interaction.

    Attributes:
        features: irreps of the features h of the layer before.
        edge: irreps that the features are mapped to before they are multiplied by harmonics.
        harmonics: irreps of Y.
        message: irreps of the message.
        skip: irreps of the layer's output, which the skip connection is added to.
        elements: number of elements.
        radial: widths of the radial network, the number of radial functions first, without the output.
    """

    features: Irreps
    edge: Irreps
    harmonics: Irreps
    message: Irreps
    skip: Irreps
    elements: int
    radial: Sequence[int]


class Interaction(nn.Module):
    """A_i = W Σ_j R(r_ij) ∘ (W' h_j ⊗ Y_ij) / λ (arXiv:2206.07697, eqs. 8 and 9), with an element's own skip map.

    Args:
        shapes: irreps and widths.
        residual: True, the skip map acts on h and is added after the product; False, it acts on the message.
        density: λ is 1 + Σ_j tanh²-like density of the neighbors instead of their average number.
    """

    def __init__(self, shapes: Shapes, residual: bool, density: bool):
        super().__init__()
        self.residual = residual
        self.up = EquivariantLinear(shapes.features, shapes.edge)
        self.convolution = NeighborTensorProduct(shapes.edge, shapes.harmonics, shapes.message)
        outputs = self.convolution.path_count * self.convolution.channels
        self.radial = NormalizedMLP((*shapes.radial, outputs))
        self.down = EquivariantLinear(self.convolution.irreps_out, shapes.message)
        ends = (shapes.features, shapes.skip) if residual else (shapes.message, shapes.message)
        self.skip = ElementLinear(*ends, shapes.elements)
        self.density = NormalizedMLP((shapes.radial[0], 1)) if density else None

    def freeze(self, edges: EdgeFeatures, elements: Sequence[int], cutoff: float) -> None:
        """Fixes the radial network as tables, one for each pair of elements if the radial basis differs."""
        network = copy.deepcopy(self.radial).double()
        kinds = [(z, y) for z in elements for y in elements] if edges.transform is not None else [(elements[0],) * 2]
        bases = [edges.of_elements(*kind) for kind in kinds]
        self.convolution.freeze([tabulate(lambda r, basis=basis: network(basis(r)), cutoff) for basis in bases])

    def forward(self, features: Sequence[Tensor], edges: Edges) -> tuple[list[Tensor], list[Tensor] | None]:
        """The message and what is added to the product of it, or None."""
        sums = convolve(self.convolution, self.up(features), edges, lambda: edges.to_slots(self.radial(edges.radial)))
        norm = self.normalization(edges)
        message = [x / norm for x in self.down(sums)]
        if self.residual:
            return message, self.skip(features, edges.element)
        return self.skip(message, edges.element), None

    def normalization(self, edges: Edges) -> Tensor:
        """λ, a scalar or `[atoms, 1, 1]`."""
        if self.density is None:
            return edges.average
        return 1.0 + neighbor_density(edges.to_slots(self.density(edges.radial)), edges)


class NonlinearInteraction(nn.Module):
    """The interaction of the 2025 foundation models (mace-torch's RealAgnosticResidualNonLinearInteractionBlock).

    The radial network also sees the elements of both atoms, the message is divided by α + β · density, a linear map
    of the atom's own features is added, and a gate acts on the sum.
    """

    def __init__(self, shapes: Shapes):
        super().__init__()
        scalars = shapes.features.count(SCALAR)
        # nearly nothing at first: the elements enter the radial network as training asks for it
        self.source = nn.Parameter(torch.empty(shapes.elements, scalars).uniform_(-0.001, 0.001))
        self.target = nn.Parameter(torch.empty(shapes.elements, scalars).uniform_(-0.001, 0.001))
        self.up = EquivariantLinear(shapes.features, shapes.edge)
        self.convolution = NeighborTensorProduct(shapes.edge, shapes.harmonics, shapes.message)
        outputs = self.convolution.path_count * self.convolution.channels
        inputs = shapes.radial[0] + 2 * scalars
        self.radial = LayerNormMLP((inputs, *shapes.radial[1:], outputs))
        self.density = LayerNormMLP((inputs, 64, 1))
        self.gate = Gate(shapes.message)
        self.down = EquivariantLinear(self.convolution.irreps_out, self.gate.irreps_in)
        self.own = EquivariantLinear(shapes.edge, self.gate.irreps_in)
        self.out = EquivariantLinear(shapes.message, shapes.message)
        self.skip = EquivariantLinear(shapes.features, shapes.skip)
        self.alpha = nn.Parameter(torch.tensor(20.0))
        self.beta = nn.Parameter(torch.tensor(0.0))

    def freeze(self, edges: EdgeFeatures, elements: Sequence[int], cutoff: float) -> None:
        """Fixes the radial network as tables, one for each pair of elements."""
        exact = copy.deepcopy(self).double()
        root = len(self.source) ** -0.5

        def weights(center: int, neighbor: int) -> Callable[[Tensor], Tensor]:
            basis = edges.of_elements(elements[center], elements[neighbor])
            ends = torch.cat([exact.source[neighbor], exact.target[center]]) * root
            return lambda r: exact.radial(torch.cat([basis(r), ends.expand(len(r), -1)], dim=1))

        kinds = [(i, j) for i in range(len(elements)) for j in range(len(elements))]
        self.convolution.freeze([tabulate(weights(*kind), cutoff) for kind in kinds])

    def forward(self, features: Sequence[Tensor], edges: Edges) -> tuple[list[Tensor], list[Tensor]]:
        """The message and what is added to the product of it."""
        narrow = self.up(features)
        root = len(self.source) ** -0.5
        source = (self.source * root)[edges.element].index_select(0, edges.hood.neighbors)
        target = edges.hood.of_centers((self.target * root)[edges.element])
        inputs = torch.cat([edges.to_slots(edges.radial), source, target], dim=1)
        norm = self.alpha + self.beta * neighbor_density(self.density(inputs), edges)
        sums = convolve(self.convolution, narrow, edges, lambda: self.radial(inputs))
        message = [x / norm + own for x, own in zip(self.down(sums), self.own(narrow), strict=True)]
        return self.out(self.gate(message)), self.skip(features)


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


def neighbor_density(values: Tensor, edges: Edges) -> Tensor:
    """Σ_j tanh(x_ij²) f_ij, `[slots, 1]` to `[atoms, 1, 1]`."""
    return edges.hood.sum(torch.tanh(values**2) * edges.envelope)[:, None]
