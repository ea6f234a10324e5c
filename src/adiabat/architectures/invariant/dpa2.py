"""DPA-2: embedded neighborhoods, refined by layers that pass messages among atoms, pairs and directions.

D. Zhang et al., npj Comput. Mater. 10, 293 (2024), doi:10.1038/s41524-024-01493-2; program whose numbers it gives:
DeePMD-kit (doi:10.1063/5.0155600).

| paper | here | shape, unit |
|---|---|---|
| T_i, vectors of the elements | `types` | [elements, types], 1 |
| repinit | `self.start`, `self.angles` | [atoms, embedding·axis + three-body embedding], 1 |
| f_i, single-atom representation | `x` | [atoms, channels], 1 |
| g_ij, rotationally invariant pair representation | `y` | [slots, pair_channels], 1 |
| h_ij, equivariant pair representation | `h` | [slots, 3], 1 |
| w(r_ij) | `weight` | [slots, 1], 1 |
| N_m, the largest number of neighbors | `slots` | a number |
| repformer | `Repformer` | |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper. Layers sum over the neighbors within `near_cutoff` alone, which lie in rows (`Graph.near`);
slots are never full, where the program drops the farthest neighbors, and their number comes from the training data.
The defaults are those of the medium model that DeePMD-kit gives as its example: atoms are updated by convolution and
both products, pairs by attention; directions stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.descriptors.embedded import EmbeddedDescriptor, EnvironmentSettings
from adiabat.descriptors.se_atten import SeAtten, SeAttenSettings
from adiabat.descriptors.se_e3_tebd import SeE3Tebd, SeE3TebdSettings
from adiabat.geometry import Graph, Neighborhood, PairList
from adiabat.nn.activations import activation
from adiabat.nn.directional_sums import directional_products
from adiabat.nn.fading_attention import CenterAttention, DirectionAttention, MutualAttention, MutualShares
from adiabat.nn.grouped_networks import GroupedNetworks
from adiabat.nn.mlp import dense
from adiabat.nn.residual_updates import ResidualUpdates, UpdateStyle
from adiabat.potential import ArchitectureConfig, AtomicPotential
from adiabat.settings import Settings


class ThreeBodySettings(Settings):
    """Angles in the first representation of the atoms."""

    cutoff: float = Field(default=4.0, gt=0.0)
    """Longest pairs between which angles count, Å."""
    onset: float = Field(default=3.5, ge=0.0)
    """Where their weight begins to fall, Å."""
    embedding: tuple[int, ...] = Field(default=(2, 4, 8), min_length=1)
    """Widths of the embedding network's layers."""


class DPA2Config(ArchitectureConfig):
    """Options of DPA-2."""

    method: Literal["dpa2"] = "dpa2"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of the neighborhoods that the first representation is made of, Å."""
    onset: float = Field(default=0.5, ge=0.0)
    """Where the weight of a neighbor begins to fall there, Å."""
    embedding: tuple[int, ...] = Field(default=(25, 50, 100), min_length=1)
    """Widths of the first embedding network's layers; the last is M."""
    axis: int = Field(default=12, ge=1)
    """Columns of the embedding kept in its second factor."""
    types: int = Field(default=8, ge=1)
    """Length of the elements' vectors."""
    mixing: Literal["concat", "strip"] = "concat"
    """Whether one network reads the vectors too, or its output is multiplied by 1 + a second network of them."""
    three_body: ThreeBodySettings | None = ThreeBodySettings()
    """Angles in the first representation; null for none."""
    near_cutoff: float = Field(default=4.0, gt=0.0)
    """Radius of the neighborhoods that the layers sum over, Å; at most `cutoff`."""
    near_onset: float = Field(default=3.5, ge=0.0)
    """Where the weight of a neighbor begins to fall there, Å."""
    layers: int = Field(default=6, ge=1)
    """Number of layers."""
    channels: int = Field(default=128, ge=1)
    """Features of an atom."""
    pair_channels: int = Field(default=32, ge=1)
    """Features of a pair."""
    near_axis: int = Field(default=4, ge=1)
    """Vectors of an atom taken as the second factor of products in the layers."""
    atom_updates: tuple[Literal["convolution", "pairs", "neighbors", "attention"], ...] = (
        "convolution",
        "pairs",
        "neighbors",
    )
    """What atoms learn of: neighbors weighted by pairs, products of vectors of pairs or neighbors, attention."""
    pair_updates: tuple[Literal["atoms", "attention"], ...] = ("attention",)
    """What pairs learn of: both atoms, attention among the pairs of an atom."""
    direction_updates: bool = False
    """Whether directions are mixed by attention too."""
    hidden_attention: int = Field(default=128, ge=1)
    """Length of queries and keys of atoms."""
    heads: int = Field(default=4, ge=1)
    """Heads of the atoms' attention."""
    hidden_pair_attention: int = Field(default=32, ge=1)
    """Length of queries and keys of pairs."""
    pair_heads: int = Field(default=4, ge=1)
    """Heads of the pairs' attention."""
    gated: bool = True
    """Whether the pairs' scores are multiplied by the product of directions."""
    updates: UpdateStyle = "trained"
    """How updates are added: with trained weights, as an average over their number's root, or as a sum over it."""
    update_size: float = 0.01
    """Deviation of the trained weights at first."""
    reminded: bool = False
    """Whether the elements' vectors are added to the first representation."""
    marked: bool = True
    """Whether the element's vector stands among the features of the fitting network."""
    activation: str = "tanh"
    """Activation function of embedding and layers."""
    hidden: tuple[int, ...] = Field(default=(240, 240, 240), min_length=1)
    """Widths of the fitting network's layers."""
    hidden_activation: str = "tanh"
    """Activation function of the fitting network."""
    steps: bool = True
    """Whether its layers that add their input have trained factors."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.near_cutoff > self.cutoff:
            raise ValueError(f"near_cutoff {self.near_cutoff} Å is longer than the cutoff, {self.cutoff} Å")
        if not {"pairs", "neighbors"} & set(self.atom_updates):
            raise ValueError("atom_updates needs pairs or neighbors, without which atoms see no directions")
        return self


class Repformer(nn.Module):
    """One layer: new features of atoms, pairs and directions from the present ones (fig. 2).

    Args:
        config: of the model.
        last: whether pairs and directions stay as they are.
    """

    def __init__(self, config: DPA2Config, last: bool):
        super().__init__()
        width, pair_width, axis = config.channels, config.pair_channels, config.near_axis
        self.axis, self.act = axis, activation(config.activation)
        of_atoms = set(config.atom_updates)
        of_pairs = set() if last else set(config.pair_updates)
        turned = config.direction_updates and not last
        self.of_pairs, self.of_neighbors = "pairs" in of_atoms, "neighbors" in of_atoms
        products = axis * (self.of_pairs * pair_width + self.of_neighbors * width)
        self.alone, self.mixed = dense(width, width), dense(products, width)
        self.convolution = dense(pair_width, width, bias=False) if "convolution" in of_atoms else None
        self.attention = None
        if "attention" in of_atoms:
            self.attention = CenterAttention(width, config.hidden_attention, config.heads)
        self.pair_alone = None if last else dense(pair_width, pair_width)
        self.pair_atoms = dense(width, pair_width, bias=False) if "atoms" in of_pairs else None
        self.shares, heads = None, config.pair_heads
        if "attention" in of_pairs or turned:
            self.shares = MutualShares(pair_width, config.hidden_pair_attention, heads, config.gated)
        self.pair_attention = MutualAttention(pair_width, heads) if "attention" in of_pairs else None
        self.turn = DirectionAttention(heads) if turned else None
        style = config.updates, config.update_size, True
        counts = 2 + len(of_atoms & {"convolution", "attention"}), 1 + len(of_pairs), int(turned)
        self.updated = ResidualUpdates(width, counts[0], *style)
        self.pair_updated = None if last else ResidualUpdates(pair_width, counts[1], *style)
        self.turned = ResidualUpdates(1, counts[2], *style)

    def forward(
        self, x: Tensor, y: Tensor, h: Tensor, weight: Tensor, hood: Neighborhood | PairList, slots: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """New x `[atoms, channels]`, y `[slots, pair_channels]` and h `[slots, 3]`; weights are `[slots, 1]`."""
        around = x.index_select(0, hood.neighbors) * weight
        new = self.updated(x, self._of_atoms(x, around, y, h, weight, hood, slots))
        if self.pair_updated is None or self.pair_alone is None:
            return new, y, h
        updates, turned = [self.act(self.pair_alone(y))], []
        if self.pair_atoms is not None:
            updates.append(self.pair_atoms(hood.of_centers(x) * around))
        if self.shares is not None:
            shares = self.shares(y, h, weight, hood, slots)
            if self.pair_attention is not None:
                updates.append(self.pair_attention(y, shares))
            if self.turn is not None:
                turned.append(self.turn(h, shares))
        return new, self.pair_updated(y, updates), self.turned(h, turned)

    def _of_atoms(
        self,
        x: Tensor,
        around: Tensor,
        y: Tensor,
        h: Tensor,
        weight: Tensor,
        hood: Neighborhood | PairList,
        slots: Tensor,
    ) -> list[Tensor]:
        """Updates of the atoms; `around` are their weighted neighbors `[slots, channels]`."""
        updates = [self.act(self.alone(x))]
        if self.convolution is not None:
            updates.append(hood.sum(self.convolution(y) * around) / slots)
        scale = slots.rsqrt()
        products = [directional_products(h, y * weight, hood, self.axis, scale)] if self.of_pairs else []
        if self.of_neighbors:
            products.append(directional_products(h, around, hood, self.axis, scale))
        updates.append(self.act(self.mixed(torch.cat(products, dim=1))))
        if self.attention is not None:
            updates.append(self.attention(x, weight, hood, slots))
        return updates


class DPA2(AtomicPotential):
    """Embedded neighborhoods, layers, and one fitting network for all elements (fig. 1)."""

    def __init__(self, config: DPA2Config, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        angular = config.three_body
        cutoff = config.cutoff if angular is None else max(config.cutoff, angular.cutoff)
        super().__init__(config, elements, cutoff)
        typed = {"types": config.types, "mixing": config.mixing, "marked": False, "centered": False}
        typed |= {"activation": config.activation}
        ends = {"cutoff": config.cutoff, "onset": config.onset}
        own = {"embedding": config.embedding, "axis": config.axis}
        self.start = SeAtten(SeAttenSettings.parse(typed | ends | own), elements)
        self.angles = None
        if angular is not None:
            self.angles = SeE3Tebd(SeE3TebdSettings.parse(typed | angular.model_dump()), elements)
            self.angles.embedding.types = self.start.embedding.types
        near = {"cutoff": config.near_cutoff, "onset": config.near_onset, "centered": False}
        self.near = EmbeddedDescriptor(EnvironmentSettings.parse(near), elements)
        width, started = config.channels, self.start.size + (0 if self.angles is None else self.angles.size)
        self.shape = dense(started, width, bias=False)
        self.remind = dense(config.types, width, bias=False) if config.reminded else None
        self.act, self.first_pair = activation(config.activation), dense(1, config.pair_channels)
        self.layers = nn.ModuleList(Repformer(config, k == config.layers - 1) for k in range(config.layers))
        widths = (width + (config.types if config.marked else 0), *config.hidden)
        self.networks = GroupedNetworks(1, widths, config.hidden_activation, config.steps, 1)

    @property
    def parts(self) -> tuple[EmbeddedDescriptor, ...]:
        """Everything with rows of neighbors and a number of slots."""
        return (self.start, self.near) if self.angles is None else (self.start, self.near, self.angles)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets slots and deviations from the training graphs."""
        for part in self.parts:
            part.adapt(graphs)

    def prepare(self, graph: Graph) -> Graph:
        graph = super().prepare(graph.replace(layout=graph.rows())).with_near(self.near.cutoff)
        return graph if self.angles is None else graph.replace(triplets=self.angles.triplets(graph))

    def first(self, graph: Graph, types: Tensor) -> Tensor:
        """The atoms' first representation `[atoms, channels]`, of the neighborhoods and the elements' vectors."""
        parts = [self.start(graph)] if self.angles is None else [self.start(graph), self.angles(graph)]
        x = self.shape(torch.cat(parts, dim=1))
        return self.act(x if self.remind is None else x + self.remind(types))

    def features(self, graph: Graph) -> Tensor:
        """What the fitting network reads of the atoms `[atoms, channels + types]`."""
        near = graph.with_near(self.near.cutoff).near
        assert near is not None
        own = self.near.element[graph.system.numbers]
        types = self.start.embedding.types.index_select(0, own)
        vectors = graph.vectors().index_select(0, near.index)
        centers = graph.of_centers(own).index_select(0, near.index)
        weight = self.near.environment.switch(vectors.norm(dim=1))[:, None]
        rows = torch.cat((weight, self.near.environment(vectors, centers)), dim=1)
        weight, s, h = near.rows.pad(rows).split((1, 1, 3), dim=1)
        x, y = self.first(graph, types), self.act(self.first_pair(s))
        for layer in self.layers:
            x, y, h = layer(x, y, h, weight, near.rows, self.near.slots.sum())
        return torch.cat((x, types), dim=1) if self.config.marked else x  # type: ignore[attr-defined]

    def atomic_energies(self, graph: Graph) -> Tensor:
        features = self.features(graph)
        return self.networks(features, torch.zeros_like(graph.system.numbers))[:, 0]
