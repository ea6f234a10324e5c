"""MACE's interaction blocks: from the features of the neighbors to the message each atom's product is made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adiabat.kernels.tables import tabulate
from adiabat.nn.edges import EdgeFeatures, Edges, convolve
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irreps
from adiabat.nn.normalized import Gate, LayerNormMLP, NormalizedMLP
from adiabat.nn.tensor_product import NeighborTensorProduct


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
        self.convolution.freeze(edges.tables(self.radial, elements, cutoff))

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


def neighbor_density(values: Tensor, edges: Edges) -> Tensor:
    """Σ_j tanh(x_ij²) f_ij, `[slots, 1]` to `[atoms, 1, 1]`."""
    return edges.hood.sum(torch.tanh(values**2) * edges.envelope)[:, None]
