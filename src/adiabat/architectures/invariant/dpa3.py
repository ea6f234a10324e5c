"""DPA-3: message passing on atoms, pairs and angles, each the edges of a line graph of the one before.

D. Zhang et al., arXiv:2506.01686; program whose numbers it gives: DeePMD-kit (doi:10.1063/5.0155600).

| paper | here | shape, unit |
|---|---|---|
| T_i, vectors of the elements | `types` | [elements, channels], 1 |
| v⁽¹⁾, vertices of the graph: atoms | `x` | [atoms, channels], 1 |
| e⁽¹⁾ = v⁽²⁾, edges, vertices of the line graph | `e` | [pairs, edge_channels], 1 |
| e⁽²⁾, edges of the line graph: angles | `a` | [angles, angle_channels], 1 |
| w(r_ij), envelope | `weight`, `angle_weight` | [pairs, 1], [angles, 1], 1 |
| h_ij, weighted directions | `h` | [pairs, 3], 1 |
| layer of updates | `RepFlow` | |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper. Sums are divided by fixed numbers (`neighbors`, `angles`), no neighbor is dropped. The
exponential envelope is cut off where it is not quite 0 (exp(−14) with the defaults), as in the program. A layer whose
inputs lie side by side multiplies each where it lives (`JoinedLinear`), the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import pi
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.descriptors.base import element_index
from adiabat.geometry import Graph, Neighborhood, PairList
from adiabat.nn.activations import activation
from adiabat.nn.directional_sums import directional_products
from adiabat.nn.environment_matrix import EnvironmentMatrix, ExponentialSwitch
from adiabat.nn.grouped_networks import GroupedNetworks
from adiabat.nn.inner_cutoffs import InnerCutoff
from adiabat.nn.joined_linear import JoinedLinear
from adiabat.nn.mlp import dense
from adiabat.nn.residual_updates import ResidualUpdates, UpdateStyle
from adiabat.potential import ArchitectureConfig, AtomicPotential


class DPA3Config(ArchitectureConfig):
    """Options of DPA-3; the defaults are those of DeePMD-kit's example of the six-layer model."""

    method: Literal["dpa3"] = "dpa3"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    onset: float = Field(default=5.3, ge=0.0)
    """Where the weight of a neighbor falls, Å."""
    angle_cutoff: float = Field(default=4.0, gt=0.0)
    """Longest pairs between which angles count, Å; at most `cutoff`."""
    angle_onset: float = Field(default=3.5, ge=0.0)
    """Where the weight of their pairs falls, Å."""
    envelope: Literal["exponential", "polynomial"] = "exponential"
    """How the weights fall."""
    layers: int = Field(default=6, ge=1)
    """Number of layers."""
    channels: int = Field(default=128, ge=1)
    """Features of an atom."""
    edge_channels: int = Field(default=64, ge=1)
    """Features of a pair."""
    angle_channels: int = Field(default=32, ge=1)
    """Features of an angle."""
    with_angles: bool = True
    """Whether pairs and angles learn of each other."""
    angle_inputs: Literal["all", "first", "linear"] = "first"
    """What angles read of atoms and pairs: all features, the first ones, or linear functions of them."""
    angle_node_inputs: int = Field(default=32, ge=1)
    """How many they read of an atom, if not all."""
    angle_edge_inputs: int = Field(default=32, ge=1)
    """How many they read of a pair, if not all."""
    axis: int = Field(default=4, ge=1)
    """Vectors of an atom taken as the second factor of products."""
    messages: int = Field(default=1, ge=1)
    """How many messages a pair sends."""
    neighbors: float = Field(default=120.0, gt=0.0)
    """What sums over neighbors are divided by."""
    angles: float = Field(default=30.0, gt=0.0)
    """What sums over angles are divided by the root of."""
    start: Literal["distance", "inverse"] = "distance"
    """What pairs are made of at first: a linear function of the distance, or an activated one of w(r)/r."""
    deviation: float = Field(default=0.3, gt=0.0)
    """What w(r)/r and its products with directions are divided by."""
    updates: UpdateStyle = "trained"
    """How updates are added: with trained weights, as an average over their number's root, or as a sum over it."""
    update_size: float = 0.1
    """The trained weights at first."""
    marked: bool = False
    """Whether the element's vector stands among the features of the fitting network."""
    activation: str = "silut:10"
    """Activation function of the layers."""
    hidden: tuple[int, ...] = Field(default=(240, 240, 240), min_length=1)
    """Widths of the fitting network's layers."""
    hidden_activation: str = "silut:10"
    """Activation function of the fitting network."""
    steps: bool = True
    """Whether its layers that add their input have trained factors."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.angle_cutoff > self.cutoff:
            raise ValueError(f"angle_cutoff {self.angle_cutoff} Å is longer than the cutoff, {self.cutoff} Å")
        if self.angle_inputs == "first" and (
            self.angle_node_inputs > self.channels or self.angle_edge_inputs > self.edge_channels
        ):
            raise ValueError("angles cannot read more features than atoms or pairs have: make angle_*_inputs smaller")
        return self

    @property
    def angle_widths(self) -> tuple[int, int]:
        """How many features angles read of an atom and of a pair."""
        if self.angle_inputs == "all":
            return self.channels, self.edge_channels
        return self.angle_node_inputs, self.angle_edge_inputs


@dataclass(frozen=True)
class Edges:
    """What every layer knows about pairs and angles.

    Attributes:
        graph: the pairs.
        hood: their layout.
        h: weighted directions `[pairs, 3]`, in slots of the layout.
        weight: of pairs `[pairs, 1]`.
        first, second: the pairs of each angle `[angles]`.
        angle_weight: `[angles, 1]`.
    """

    graph: Graph
    hood: Neighborhood | PairList
    h: Tensor
    weight: Tensor
    first: Tensor
    second: Tensor
    angle_weight: Tensor


class RepFlow(nn.Module):
    """One layer: new features of atoms, pairs and angles from the present ones."""

    def __init__(self, config: DPA3Config):
        super().__init__()
        self.config, self.act = config, activation(config.activation)
        x, e, a = config.channels, config.edge_channels, config.angle_channels
        style = config.updates, config.update_size, False
        self.alone = dense(x, x)
        self.products = dense(config.axis * (x + e), x)
        self.message = JoinedLinear((x, x, e), config.messages * x)
        self.edge = JoinedLinear((x, x, e), e)
        self.updated = ResidualUpdates(x, 2 + config.messages, *style)
        self.edge_updated = ResidualUpdates(e, 1 + config.with_angles, *style)
        if config.with_angles:
            of_node, of_edge = config.angle_widths
            linear = config.angle_inputs == "linear"
            self.node_input = dense(x, of_node, bias=False) if linear else None
            self.edge_input = dense(e, of_edge, bias=False) if linear else None
            self.angle_message = JoinedLinear((a, of_node, of_edge, of_edge), e)
            self.angle_sum = dense(e, e)
            self.angle = JoinedLinear((a, of_node, of_edge, of_edge), a)
            self.angle_updated = ResidualUpdates(a, 1, *style)

    def forward(self, x: Tensor, e: Tensor, a: Tensor, edges: Edges) -> tuple[Tensor, Tensor, Tensor]:
        """New x `[atoms, channels]`, e `[pairs, edge_channels]` and a `[angles, angle_channels]`."""
        ends = (x, edges.graph.centers), (x, edges.graph.neighbors), (e, None)
        new = self.updated(x, self._of_atoms(x, e, ends, edges))
        updates = [self.act(self.edge(*ends))]
        if self.config.with_angles:
            corners = self._corners(x, e, a, edges)
            found = self.act(self.angle_message(*corners)) * edges.angle_weight
            sums = torch.zeros_like(e).index_add(0, edges.first, found) * self.config.angles**-0.5
            updates.append(self.act(self.angle_sum(sums)))
            a = self.angle_updated(a, [self.act(self.angle(*corners))])
        return new, self.edge_updated(e, updates), a

    def _of_atoms(
        self, x: Tensor, e: Tensor, ends: tuple[tuple[Tensor, Tensor | None], ...], edges: Edges
    ) -> list[Tensor]:
        """Updates of the atoms: alone, of products of vectors, and of messages."""
        config, scale = self.config, self.config.neighbors**-0.5
        values = torch.cat((e, edges.graph.of_neighbors(x)), dim=1) * edges.weight
        pairs, around = edges.hood.pad(values).split((config.edge_channels, config.channels), dim=1)
        products = [directional_products(edges.h, part, edges.hood, config.axis, scale) for part in (pairs, around)]
        messages = self.act(self.message(*ends)) * edges.weight
        messages = edges.graph.sum_over_neighbors(messages) / config.neighbors
        symmetric = self.act(self.products(torch.cat(products, dim=1)))
        return [self.act(self.alone(x)), symmetric, *messages.split(config.channels, dim=1)]

    def _corners(self, x: Tensor, e: Tensor, a: Tensor, edges: Edges) -> tuple[tuple[Tensor, Tensor | None], ...]:
        """What angles read: themselves, their atom, the pair that they do not belong to, and the one they do."""
        of_node, of_edge = self.config.angle_widths
        x = x[:, :of_node] if self.node_input is None else self.node_input(x)
        e = e[:, :of_edge] if self.edge_input is None else self.edge_input(e)
        centers = edges.graph.centers.index_select(0, edges.first)
        return (a, None), (x, centers), (e, edges.second), (e, edges.first)


class DPA3(AtomicPotential):
    """Vectors of the elements, layers, and one fitting network for all elements (fig. 1)."""

    element: Tensor

    def __init__(self, config: DPA3Config, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        kinds, exponential = len(self.elements), config.envelope == "exponential"
        self.types = nn.Parameter(torch.randn(kinds, config.channels) / kinds**0.5)
        self.environment = EnvironmentMatrix(config.cutoff, config.onset, kinds)
        self.environment.deviation.fill_(config.deviation)
        reach = config.angle_cutoff
        self.fade: ExponentialSwitch | InnerCutoff = InnerCutoff("poly2", reach, config.angle_onset / reach)
        if exponential:
            self.environment.switch = ExponentialSwitch(config.cutoff, config.onset)
            self.fade = ExponentialSwitch(reach, config.angle_onset)
        self.act = activation(config.activation)
        self.first_edge = dense(1, config.edge_channels)
        self.first_angle = dense(1, config.angle_channels, bias=False)
        self.layers = nn.ModuleList(RepFlow(config) for _ in range(config.layers))
        widths = (config.channels * (2 if config.marked else 1), *config.hidden)
        self.networks = GroupedNetworks(1, widths, config.hidden_activation, config.steps, 1)
        self.register_buffer("element", element_index(self.elements), persistent=False)

    def prepare(self, graph: Graph) -> Graph:
        graph = super().prepare(graph.replace(layout=graph.rows()))
        return graph.replace(triplets=graph.triplets_within(self.fade.cutoff))

    def features(self, graph: Graph) -> Tensor:
        """What the fitting network reads of the atoms `[atoms, channels]`."""
        element = self.element[graph.system.numbers]
        types, vectors = self.types.index_select(0, element), graph.vectors()
        r = vectors.norm(dim=1)
        s, h = self.environment(vectors, graph.of_centers(element)).split((1, 3), dim=1)
        x = self.act(types)
        inverse = self.config.start == "inverse"  # type: ignore[attr-defined]
        e = self.act(self.first_edge(s)) if inverse else self.first_edge(r[:, None])
        first, second = self._angles(graph)
        directions = vectors / (r + 1e-6)[:, None]
        cosines = (directions.index_select(0, first) * directions.index_select(0, second)).sum(dim=1)
        a = self.first_angle(cosines[:, None] * ((1.0 - 1e-6) * pi**-0.5))
        hood, fade = graph.rows(), self.fade(r)
        weights = fade.index_select(0, first) * fade.index_select(0, second)
        weight = self.environment.switch(r)[:, None]
        edges = Edges(graph, hood, hood.pad(h), weight, first, second, weights[:, None])
        for layer in self.layers:
            x, e, a = layer(x, e, a, edges)
        return torch.cat((x, types), dim=1) if self.config.marked else x  # type: ignore[attr-defined]

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.networks(self.features(graph), torch.zeros_like(graph.system.numbers))[:, 0]

    def _angles(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Ordered pairs of pairs with one center, each pair with itself among them `[angles]`."""
        one, other = (graph.triplets_within(self.fade.cutoff) if graph.triplets is None else graph.triplets).unbind(0)
        same = torch.arange(graph.centers.shape[0], device=graph.centers.device)
        return torch.cat((one, other, same)), torch.cat((other, one, same))
