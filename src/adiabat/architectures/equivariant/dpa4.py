"""DPA-4 (SeZM): convolutions in the frames of pairs, with attention that fades out at the cutoff.

T. Li et al., arXiv:2606.02419 (doi:10.48550/arXiv.2606.02419): EMFA convolutions, edge-conditioned (`DegreeMixing`),
multi-focus (`Focus`, `Competition`), with attention (`EnvelopeAttention`). Program whose numbers it gives: DeePMD-kit
(doi:10.1063/5.0155600), where the model is called dpa4 or SeZM; symbols are those of its documentation.

| symbol | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| h_i | `x`, coefficients of degrees 0 to l_max | [atoms, (l_max+1)², channels], 1 |
| e_Z | `types` | [atoms, channels], 1 |
| D_ij, Wigner's matrices | `frames.rows` | [pairs, orders, (l_max+1)²], 1 |
| w(r_ij), envelope | `weight` | [pairs, 1], 1 |
| radial features of a pair, by degree | `radial` | [pairs, l_max+1, channels], 1 |
| α_ij, attention | `shares` | [pairs, channels], the same for all channels of a head, 1 |
| 𝒟_i, descriptor | `features`, l = 0 of the last x | [atoms, channels], 1 |
| E_i | `atomic_energies` | [atoms], eV |

## Departures from the paper

As in DeePMD-kit 3.2. The energy may differ between mirror images, because rotations about a pair leave the
convolution free to mix cosines and sines. Here the frame of a pair is the shortest rotation, without a random turn
about the pair in training: nothing depends on that turn. Functions on the sphere are multiplied on a grid that is
exact for them, so that it does not matter which one. Sums of squared weights have FLOOR added under the root, so that
features start to rise from 0 where the first neighbor comes in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.nn.convolution import RadialEdges
from adiabat.nn.cutoffs import BinomialCutoff
from adiabat.nn.degree_mixing import DegreeMixing, Mixing
from adiabat.nn.degrees import DegreeGate, DegreeLinear, DegreeNorm
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.envelope_attention import Competition, EnvelopeAttention
from adiabat.nn.environment_seed import EnvironmentSeed
from adiabat.nn.gated_layers import GatedLayers
from adiabat.nn.grid_layers import GridFeedForward, MessageProduct
from adiabat.nn.grid_product import GridOptions
from adiabat.nn.mlp import dense
from adiabat.nn.normalized import RMSNormMLP
from adiabat.nn.radial import BesselBasis, DampedBasis
from adiabat.nn.so2 import FrameBuilder, PairFrames, SO2Linear, orders
from adiabat.nn.wigner import order_scale
from adiabat.potential import ArchitectureConfig, AtomicPotential

FLOOR = 0.25  # of the sum of squared weights that neighborhoods are divided by the root of


class DPA4Config(ArchitectureConfig):
    """Options of DPA-4; the defaults are DeePMD-kit's, but for `normalized`, which its examples turn off too."""

    method: Literal["dpa4"] = "dpa4"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    channels: int = Field(default=64, ge=2)
    """Features of an atom for each l and m."""
    l_max: int = Field(default=3, ge=1)
    """Highest degree of the features."""
    m_max: int = Field(default=1, ge=0)
    """Highest order kept in the frame of a pair."""
    layers: int = Field(default=3, ge=1)
    """Blocks of convolution and feed-forward network."""
    mixing_layers: int = Field(default=4, ge=1)
    """Linear layers in the frame of a pair, with gates between them."""
    mixing: Mixing = "channel"
    """How radial features enter: as factors (none), or mixing degrees, for all channels alike or not (channel)."""
    mixing_rank: int = Field(default=1, ge=0)
    """Terms of the mixing by channel; 0 for mixing of each channel on its own."""
    focuses: int = Field(default=1, ge=1)
    """Convolutions side by side that compete for each pair, F."""
    focus_channels: int | None = Field(default=None, ge=1)
    """Channels of each of them; `channels` if not given."""
    heads: int = Field(default=1, ge=0)
    """Attention heads of each of them, which divide its channels; 0 for plain sums over neighbors."""
    basis: int = Field(default=16, ge=1)
    """Bessel functions, whose frequencies are trained."""
    radial_hidden: tuple[int, ...] | None = None
    """Hidden layers of the radial network; one as wide as the features if not given."""
    envelopes: tuple[int, int] = (7, 5)
    """Powers of the cutoff functions of basis and messages; larger ones fall later."""
    seeded: bool = True
    """Whether the first features know the neighborhood."""
    normalized: bool = False
    """Whether what vanishes at the cutoff is divided by its size; forces then change fast just inside of it."""
    norms: tuple[bool, bool, bool, bool] = (False, True, True, False)
    """Whether there is a norm before and after the convolution, before and after the feed-forward network."""
    feed_forwards: int = Field(default=1, ge=1)
    """Feed-forward networks of a block."""
    feed_forward: GridOptions = GridOptions()
    """What they multiply."""
    message: GridOptions | None = None
    """How sums over neighbors are multiplied with the atom's features, if they are."""
    readout: GridOptions | None = None
    """What the networks after the blocks multiply; they read scalars alone if not given."""
    readouts: int = Field(default=1, ge=1)
    """Networks after the blocks."""
    expansion: int | None = Field(default=None, ge=1)
    """Hidden channels of feed-forward networks; 8/3 of `channels`, in steps of 32, if not given."""
    hidden: tuple[int, ...] | None = None
    """Widths of the fitting network's gated layers; one of 8/3 of `channels`, in steps of 32, if not given."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.m_max > self.l_max:
            raise ValueError(f"m_max {self.m_max} is above l_max, {self.l_max}: orders end at the degree")
        if self.heads and self.focus_width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide {self.focus_width} channels")
        for options in (self.feed_forward, self.message, self.readout):
            if options is not None and options.domain == "rotations" and options.k_max > self.l_max:
                raise ValueError(f"k_max {options.k_max} is above l_max, {self.l_max}: orders end at the degree")
        return self

    @property
    def focus_width(self) -> int:
        """Channels of a focus."""
        return self.focus_channels or self.channels

    @property
    def expanded(self) -> int:
        """The width of 8/3 of `channels`."""
        return 32 * ceil(8 * self.channels / 96)


@dataclass(frozen=True)
class Edges:
    """What every layer knows about the pairs.

    Attributes:
        frames: with the polar axis from the neighbor to the center.
        weight: that falls to 0 at the cutoff `[pairs, 1]`.
        radial: features by degree `[pairs, l_max+1, channels]`.
        density: 1/√(Σ_j w² + floor) of each atom `[atoms, 1, 1]`.
    """

    frames: PairFrames
    weight: Tensor
    radial: Tensor
    density: Tensor


class Focus(nn.Module):
    """Linear layers in the frames of the pairs, gates between them, and attention: one of several side by side."""

    def __init__(self, config: DPA4Config):
        super().__init__()
        l_max, m_max, width = config.l_max, config.m_max, config.focus_width
        self.linears = nn.ModuleList(SO2Linear(l_max, m_max, width, width) for _ in range(config.mixing_layers))
        degrees = [l for l, _ in orders(l_max, m_max)]
        self.gates = nn.ModuleList(DegreeGate(degrees, width) for _ in range(config.mixing_layers - 1))
        self.attention = EnvelopeAttention(width, config.heads) if config.heads else None

    def forward(self, y: Tensor, scalars: Tensor, radial: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """Messages `[pairs, orders, channels]`, and what their sums are multiplied by `[atoms, channels]`.

        Args:
            y: features in the frames `[pairs, orders, channels]`.
            scalars: of the atoms `[atoms, channels]`.
            radial: of the pairs `[pairs, channels]`.
            edges: the pairs.
        """
        for k, linear in enumerate(self.linears):
            new = linear(y)
            y = y + (self.gates[k](new) if k < len(self.gates) else new)
        if self.attention is None:
            return y * edges.weight[:, None], edges.density[:, 0].expand(-1, y.shape[2])
        shares = self.attention(scalars, radial, edges.weight, edges.frames.graph)
        return y * shares[:, None], self.attention.gates(scalars)


class Convolution(ConstantModule):
    """Neighbors' features to the frames of the pairs, mixed there with radial ones, and back, summed."""

    scale: Tensor

    def __init__(self, config: DPA4Config):
        super().__init__()
        l_max, m_max, channels, self.width = config.l_max, config.m_max, config.channels, config.focus_width
        hidden = config.focuses * self.width
        self.inward = DegreeLinear(l_max, channels, hidden)
        self.radial = dense(channels, hidden, bias=False) if hidden != channels else nn.Identity()
        self.mixing = DegreeMixing(l_max, m_max, hidden, config.mixing, config.mixing_rank)
        self.focuses = nn.ModuleList(Focus(config) for _ in range(config.focuses))
        self.competition = None
        if config.focuses > 1:
            self.competition = Competition(config.focuses, self.width, config.normalized)
        self.register_constant("scale", order_scale(l_max, m_max)[:, None])
        self.message = None
        if config.message is not None:
            self.message = MessageProduct(l_max, self.width, config.focuses, config.message)
        self.outward = DegreeLinear(l_max, hidden, channels, silent=True)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        x, radial = self.inward(x), self.radial(edges.radial)
        y = self.mixing(edges.frames.of_neighbors(x), radial)
        inputs = zip(*(part.split(self.width, dim=-1) for part in (y, x[:, 0], radial[:, 0])), strict=True)
        found = [focus(*own, edges) for focus, own in zip(self.focuses, inputs, strict=True)]
        messages, factors = (torch.cat(part, dim=-1) for part in zip(*found, strict=True))
        if self.competition is not None:
            messages = messages * self.competition(y[:, 0])[:, None]
        sums = edges.frames.sum(messages) * factors[:, None] * self.scale
        return self.outward(sums if self.message is None else sums + self.message(sums, x))


class Block(nn.Module):
    """x + convolution, then x + feed-forward network, as often as there are any."""

    def __init__(self, config: DPA4Config):
        super().__init__()

        def norm(wanted: bool, epsilon: float = 1e-5) -> nn.Module:
            return DegreeNorm(config.l_max, config.channels, epsilon) if wanted else nn.Identity()

        before, after, forward_before, forward_after = config.norms
        self.before, self.after = norm(before), norm(after, 1e-5 if config.normalized else 1.0)
        self.convolution = Convolution(config)
        count = range(config.feed_forwards)
        sizes = config.l_max, config.channels, config.expansion or config.expanded
        self.forwards = nn.ModuleList(GridFeedForward(*sizes, config.feed_forward) for _ in count)
        self.forwards_before = nn.ModuleList(norm(forward_before) for _ in count)
        self.forwards_after = nn.ModuleList(norm(forward_after) for _ in count)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        x = x + self.after(self.convolution(self.before(x), edges))
        for before, forward, after in zip(self.forwards_before, self.forwards, self.forwards_after, strict=True):
            x = x + after(forward(before(x)))
        return x


class DPA4(AtomicPotential):
    """First features, blocks, networks after them, and one fitting network for all elements."""

    config: DPA4Config
    radial = True
    mirrored = False

    def __init__(self, config: DPA4Config, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        channels, expansion = config.channels, config.expansion or config.expanded
        self.types = ElementEmbedding(self.elements, channels)
        nn.init.normal_(self.types.table, std=(len(self.elements) + channels) ** -0.5)
        inner, outer = config.envelopes
        bessel = BesselBasis(config.basis, config.cutoff, trainable=True)
        self.basis = DampedBasis(bessel, BinomialCutoff(config.cutoff, inner))
        self.envelope = BinomialCutoff(config.cutoff, outer)
        hidden = (channels,) if config.radial_hidden is None else config.radial_hidden
        self.distance = RMSNormMLP((config.basis, *hidden, (config.l_max + 1) * channels), config.normalized)
        self.seed = None
        if config.seeded:
            self.seed = EnvironmentSeed(self.elements, channels, config.basis, config.normalized)
        self.frames = FrameBuilder(config.l_max, config.m_max)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.readouts = nn.ModuleList(
            GatedLayers(channels, (expansion,), channels, bias=False)
            if config.readout is None
            else GridFeedForward(config.l_max, channels, expansion, config.readout)
            for _ in range(config.readouts)
        )
        self.fitting = GatedLayers(channels, config.hidden or (config.expanded,), 1)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph.replace(layout=graph.rows()))

    def features(self, graph: Graph) -> Tensor:
        """What the fitting network reads of the atoms `[atoms, channels]`."""
        pairs = RadialEdges.of(graph, self.basis, self.envelope)
        frames = self.frames(-pairs.directions, graph)
        weight = graph.spread(pairs.envelope)[:, None]
        density = torch.rsqrt(graph.sum_over_neighbors(weight.square()) + FLOOR)[:, None]
        distance = (self.distance(pairs.expansion) * pairs.envelope[:, None]).unflatten(1, (-1, self.config.channels))
        radial, types = graph.spread(distance), self.types(graph.system.numbers)
        sums = frames.sum_of_axes(radial) * density
        if self.seed is None:
            x = torch.cat((types[:, None], torch.zeros_like(sums[:, 1:])), dim=1)
        else:
            x = torch.cat((self.seed(types, pairs, weight, density)[:, None], sums[:, 1:]), dim=1)
        both = graph.of_neighbors(types) + graph.of_centers(types)
        edges = Edges(frames, weight, radial + both[:, None], density)
        for block in self.blocks:
            x = block(x, edges)
        x = x[:, 0] if self.config.readout is None else x
        for readout in self.readouts:
            x = x + readout(x)
        return x if self.config.readout is None else x[:, 0]

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.fitting(self.features(graph))[:, 0]
