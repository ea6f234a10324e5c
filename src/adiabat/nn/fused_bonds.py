"""M3GNet's blocks by kernels: everything that depends on distances from tables, and each block in two passes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.geometry import Graph
from adiabat.kernels.bond_update import BondUpdate
from adiabat.kernels.dense import Network, network
from adiabat.kernels.legendre_sum import LegendreSum
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.radial_values import RadialValues
from adiabat.kernels.tables import tabulate
from adiabat.nn import angular_sums
from adiabat.nn.gated_mlp import GatedMLP


class FusedBlock:
    """A three-body step and the graph convolution after it, with fixed weights.

    Args:
        gate: layer of the atoms' gates.
        angles: network of the angular sums.
        bonds, atoms: networks of the convolution.
        radial: layers of their weights.
        activated: whether the weights of `atoms` go through SiLU.
        sums: of the angles.
        of_centers: whether gates are those of the centers.
        to_neighbors: whether a message goes to the neighbor of its pair.
    """

    def __init__(
        self,
        gate: nn.Linear,
        angles: GatedMLP,
        bonds: GatedMLP,
        atoms: GatedMLP,
        radial: tuple[nn.Linear, nn.Linear],
        activated: bool,
        sums: angular_sums.LegendreSum,
        of_centers: bool,
        to_neighbors: bool,
    ):
        (value,), (other,) = angles.values, angles.gates
        nets = [(list(phi.values), list(phi.gates)) for phi in (bonds, atoms)]
        self.update = BondUpdate((value, other), *nets, radial, activated)  # type: ignore[arg-type]
        self.sums = LegendreSum(sums.degrees, sums.count, sums.sizes, of_centers)
        self.gate: Network = network(gate.weight.detach(), gate.bias.detach())
        self.to_neighbors = to_neighbors

    def __call__(self, v: Tensor, e: Tensor, edges: FusedEdges) -> tuple[Tensor, Tensor]:
        """New atom features `[atoms, channels]` and bond features `[pairs, width]`."""
        pairs = edges.pairs
        found = self.sums(edges.harmonics, (edges.r, *edges.angular), torch.sigmoid(self.gate(v)), pairs)
        target = pairs.neighbors if self.to_neighbors else pairs.centers
        radial = edges.r, *edges.radial
        e, messages = self.update(v, e, found, radial, (pairs.centers, pairs.neighbors, target))
        return v + messages, e


class FusedEdges:
    """What the blocks know about the pairs.

    Attributes:
        pairs: sorted both ways.
        r: Å `[pairs]`.
        harmonics: of the directions `[pairs, degrees²]`.
        radial, angular: functions and their slopes.
        start: e⁰ `[pairs, width]`.
    """

    def __init__(self, graph: Graph, functions: FusedFunctions):
        vectors = graph.vectors()
        self.pairs = PairIndex.of_graph(graph)
        self.r = vectors.norm(dim=1)
        self.harmonics = functions.harmonics(vectors / self.r[:, None])
        self.radial, self.angular = functions.radial(self.r.detach()), functions.angular(self.r.detach())
        (self.start,) = functions.start(self.r)


class FusedFunctions:
    """Everything of a model that depends on distances or directions alone.

    Args:
        harmonics: of directions.
        radial: radial basis of pairs, a function of distances `[n]` in float64.
        angular: that of the angular sums.
        envelope: f_c of the three-body cutoff.
        first: layer of the first bond features.
        width: of the bonds, filled up.
        cutoff: of the pairs, Å.
        kink: the three-body cutoff, Å.
    """

    def __init__(
        self,
        harmonics: Callable[[Tensor], Tensor],
        radial: Callable[[Tensor], Tensor],
        angular: Callable[[Tensor], Tensor],
        envelope: nn.Module,
        first: nn.Linear,
        width: int,
        cutoff: float,
        kink: float,
    ):
        self.harmonics = harmonics
        dtype = first.weight.dtype
        near, layer = copy.deepcopy(envelope).double(), copy.deepcopy(first).double()

        def cut(r: Tensor) -> Tensor:
            f = near(r)[:, None]
            return torch.cat([angular(r) * f, f], dim=1)

        def start(r: Tensor) -> Tensor:
            return functional.pad(functional.silu(layer(radial(r))), (0, width - layer.out_features))

        self.radial = RadialValues(tabulate(radial, cutoff).to(dtype), slopes=True)
        table = tabulate(cut, cutoff, kink=kink if kink < cutoff else None)
        self.angular = RadialValues(table.to(dtype), slopes=True)
        self.start = RadialValues(tabulate(start, cutoff).to(dtype))
