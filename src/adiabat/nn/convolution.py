"""Convolutions over neighbors."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.radial_sum import radial_sum
from adiabat.kernels.tables import Table, tabulate
from adiabat.nn.mlp import MLP


@dataclass(frozen=True)
class RadialEdges:
    """What every layer of a distance-based model knows about the pairs; made when first asked for.

    Attributes:
        graph: the pairs.
        distances: `[pairs]`, Å.
        envelope: cutoff function f_c of each pair `[pairs]`.
        basis: radial basis, a module of distances.
    """

    graph: Graph
    distances: Tensor
    envelope: Tensor
    basis: nn.Module

    @classmethod
    def of(cls, graph: Graph, basis: nn.Module, envelope: nn.Module) -> RadialEdges:
        """From a graph, its radial basis and its cutoff function."""
        distances = graph.vectors().norm(dim=1)
        return cls(graph, distances, envelope(distances), basis)

    @cached_property
    def expansion(self) -> Tensor:
        """The radial basis of each pair `[pairs, basis]`."""
        return self.basis(self.distances)

    @cached_property
    def index(self) -> PairIndex:
        """Both orders of the pairs."""
        return PairIndex.of_graph(self.graph)


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
        self.table: Table | None = None

    def freeze(self, basis: nn.Module, cutoff: float) -> None:
        """Replaces W for good by a table up to `cutoff` (Å); the sum then takes the fast kernel."""
        exact_basis, exact_filters = copy.deepcopy(basis).double(), copy.deepcopy(self.filters).double()
        dtype = self.filters.layers[0].weight.dtype
        self.table = tabulate(lambda r: exact_filters(exact_basis(r)), cutoff).to(dtype)  # type: ignore[arg-type]

    def forward(self, features: Tensor, edges: RadialEdges) -> Tensor:
        """`features [atoms, filters]` to sums over neighbors of the same shape."""
        if self.table is not None:
            return radial_sum(features, edges.distances, edges.envelope, self.table, edges.index)
        weights = self.filters(edges.expansion) * edges.envelope[:, None]
        return edges.graph.sum_over_neighbors(edges.graph.of_neighbors(features) * weights)
