"""Convolutions over neighbors."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.kernels.pair_forms import HalfIndex
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.radial_sum import RadialSum
from adiabat.kernels.tables import Table, tabulate
from adiabat.nn.mlp import MLP


@dataclass(frozen=True)
class RadialEdges:
    """What every layer of a distance-based model knows about the pairs; made when first asked for.

    Where the graph has `halves`, everything that depends on the distance alone is made once for both directions of a
    pair; otherwise the halves are the pairs.

    Attributes:
        graph: the pairs.
        vectors: from center to neighbor `[pairs, 3]`, Å.
        distances: `[halves]`, Å.
        envelope: cutoff function f_c `[halves]`.
        basis: radial basis, a module of distances.
    """

    graph: Graph
    vectors: Tensor
    distances: Tensor
    envelope: Tensor
    basis: nn.Module

    @classmethod
    def of(cls, graph: Graph, basis: nn.Module, envelope: nn.Module) -> RadialEdges:
        """From a graph, its radial basis and its cutoff function."""
        vectors = graph.vectors()
        distances = graph.once(vectors).norm(dim=1)
        return cls(graph, vectors, distances, envelope(distances), basis)

    @cached_property
    def directions(self) -> Tensor:
        """Unit vectors from center to neighbor `[pairs, 3]`."""
        return self.vectors / self.graph.spread(self.distances)[:, None]

    @cached_property
    def expansion(self) -> Tensor:
        """The radial basis `[halves, basis]`."""
        return self.basis(self.distances)

    @cached_property
    def index(self) -> PairIndex:
        """Both orders of the pairs."""
        return PairIndex.of_graph(self.graph)

    @cached_property
    def halves(self) -> HalfIndex | None:
        """The kernels for training, where they can be used."""
        return HalfIndex.of(self.graph)

    def filters(self, layer: nn.Linear, count: int) -> list[Tensor]:
        """f_c times a linear map with bias of the basis, in `count` parts of equal width `[halves, channels]`."""
        # the envelope goes to the basis, which is narrower than the filters
        envelope = self.envelope[:, None]
        damped = torch.cat((self.expansion * envelope, envelope), dim=1)
        weights = torch.cat((layer.weight, layer.bias[:, None]), dim=1)
        return [damped @ part.T for part in weights.chunk(count)]

    def filtered(self, features: Tensor, filters: Tensor) -> Tensor:
        """Σ_j x_j ∘ W_ij: `[atoms, channels]` or `[atoms, d, channels]` and `[halves, channels]` to sums like x."""
        if self.halves is not None:
            return self.halves.filtered(features, filters)
        weights = self.graph.spread(filters)
        weights = weights if features.dim() == 2 else weights[:, None]
        return self.graph.sum_over_neighbors(self.graph.of_neighbors(features) * weights)

    def directed(self, features: Tensor, filters: Tensor) -> Tensor:
        """Σ_j r_ij/‖r_ij‖ ⊗ (x_j ∘ W_ij): `[atoms, channels]` and `[halves, channels]` to `[atoms, 3, channels]`."""
        if self.halves is not None:
            return self.halves.directed(features, filters, self.directions)
        weights = self.graph.of_neighbors(features) * self.graph.spread(filters)
        return self.graph.sum_over_neighbors(weights[:, None] * self.directions[:, :, None])


def tabulated(network: nn.Module, basis: nn.Module, cutoff: float) -> Table:
    """A network of the radial basis as a table up to `cutoff` (Å), made in float64, with the network's dtype."""
    exact_basis, exact_network = copy.deepcopy(basis).double(), copy.deepcopy(network).double()
    dtype = next(network.parameters()).dtype
    return tabulate(lambda r: exact_network(exact_basis(r)), cutoff).to(dtype)


class ContinuousFilterConvolution(nn.Module):
    """y_i = Σ_j x_j ∘ W(r_ij) f_c(r_ij), with a network W of the radial basis (doi:10.1063/1.5019779, eq. 3).

    Args:
        basis: number of radial functions.
        filters: channels of the features and of W.
        activation: between the two layers of W.
    """

    def __init__(self, basis: int, filters: int, activation: str):
        super().__init__()
        self.filters = MLP((basis, filters, filters), activation)
        self.kernel: RadialSum | None = None

    def freeze(self, basis: nn.Module, cutoff: float) -> None:
        """Replaces W for good by a table up to `cutoff` (Å); the sum then takes the fast kernel."""
        self.kernel = RadialSum(tabulated(self.filters, basis, cutoff))

    def forward(self, features: Tensor, edges: RadialEdges) -> Tensor:
        """`features [atoms, filters]` to sums over neighbors of the same shape."""
        if self.kernel is not None:
            spread = edges.graph.spread
            return self.kernel(features, spread(edges.distances), spread(edges.envelope), edges.index)
        return edges.filtered(features, self.filters(edges.expansion) * edges.envelope[:, None])
