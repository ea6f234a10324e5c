"""DPA-4 (SeZM): convolutions in the frames of pairs, with attention that fades out at the cutoff.

T. Li et al., arXiv:2606.02419 (doi:10.48550/arXiv.2606.02419); program whose numbers it gives: DeePMD-kit
(doi:10.1063/5.0155600), where the model is called dpa4 or SeZM.

| paper | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| h_i | `x`, coefficients of degrees 0 to l_max | [atoms, (l_max+1)², channels], 1 |
| e_Z | `types` | [atoms, channels], 1 |
| D_ij, Wigner's matrices | `frames.rows` | [pairs, orders, (l_max+1)²], 1 |
| w(r_ij), envelope | `weight` | [pairs, 1], 1 |
| radial features of a pair, by degree | `radial` | [pairs, l_max+1, channels], 1 |
| α_ij, attention | `shares` | [pairs, heads], 1 |
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
from itertools import pairwise
from math import ceil, log
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.nn.convolution import RadialEdges
from adiabat.nn.cutoffs import BinomialCutoff
from adiabat.nn.degrees import DegreeGate, DegreeLinear, DegreeNorm
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.joined_linear import JoinedLinear
from adiabat.nn.mlp import MLP, dense
from adiabat.nn.radial import BesselBasis, DampedBasis
from adiabat.nn.rotation_grid import RotationGrid
from adiabat.nn.so2 import FrameBuilder, PairFrames, SO2Linear, orders
from adiabat.nn.wigner import order_scale
from adiabat.potential import ArchitectureConfig, AtomicPotential

EPSILON = 1e-7
FLOOR = 0.25  # of the sum of squared weights that neighborhoods are divided by the root of


class DPA4Config(ArchitectureConfig):
    """Options of DPA-4; the defaults are DeePMD-kit's."""

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
    mixing: Literal["none", "degree", "channel"] = "channel"
    """How radial features enter: times the neighbor's, or mixing degrees, alike or with factors for channels."""
    mixing_rank: int = Field(default=1, ge=0)
    """Terms of the factors for channels; 0 for mixing of each channel on its own."""
    heads: int = Field(default=1, ge=0)
    """Attention heads; 0 for plain sums over neighbors."""
    basis: int = Field(default=16, ge=1)
    """Bessel functions, whose frequencies are trained."""
    radial_hidden: tuple[int, ...] | None = None
    """Hidden layers of the radial network; one as wide as the features if not given."""
    envelopes: tuple[int, int] = (7, 5)
    """Powers of the cutoff functions of basis and messages; larger ones fall later."""
    seeded: bool = True
    """Whether the first features know the neighborhood."""
    normalized: bool = True
    """Whether what vanishes at the cutoff is divided by its size; forces then change fast just inside of it."""
    norms: tuple[bool, bool, bool, bool] = (False, True, True, False)
    """Whether there is a norm before and after the convolution, before and after the feed-forward network."""
    feed_forwards: int = Field(default=1, ge=1)
    """Feed-forward networks of a block."""
    expansion: int | None = Field(default=None, ge=1)
    """Hidden channels of feed-forward networks; 8/3 of `channels`, in steps of 32, if not given."""
    hidden: tuple[int, ...] | None = None
    """Widths of the fitting network's gated layers; one of 8/3 of `channels`, in steps of 32, if not given."""

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


class EnvironmentSeed(nn.Module):
    """Scale and shift of e_Z from the environment matrix: tanh of a linear map of D = AᵀA_<, A = Σ_j (s, s r̂) g_j."""

    def __init__(self, config: DPA4Config, elements: Iterable[int]):
        super().__init__()
        channels = config.channels
        width, types = min(channels, 128), min(32, max(8, channels // 4))
        self.axis = min(4 if width < 64 else 8, width - 1)
        rows = max(32, width - 2 * types)
        hidden = min(256, max(2 * width, rows + 2 * types))
        self.types = ElementEmbedding(elements, types)
        self.radial = MLP((config.basis, rows, rows), "silu", bias=False)
        self.inward = JoinedLinear((rows, types, types), hidden, bias=False)
        self.outward = dense(hidden, width, bias=False)
        self.project = dense(width * self.axis, 2 * channels, bias=False)
        self.norms = nn.ModuleList(_norm(channels) if config.normalized else nn.Identity() for _ in range(2))
        self.strengths = nn.Parameter(torch.full((2,), log(0.01)))

    def forward(self, x: Tensor, edges: RadialEdges, weight: Tensor, density: Tensor) -> Tensor:
        """New `[atoms, channels]` from e_Z."""
        graph, types = edges.graph, self.types(edges.graph.system.numbers)
        radial = graph.spread(self.radial(edges.expansion))
        g = self.outward(silu(self.inward((radial, None), (types, graph.neighbors), (types, graph.centers))))
        s = weight / graph.spread(edges.distances)[:, None]
        matrix, hood = torch.cat((s, s * edges.directions), dim=1), graph.rows()
        sums = hood.contract(hood.pad(matrix)[:, None], hood.pad(g)[:, None]) * density
        found = self.project((sums.transpose(1, 2) @ sums[:, :, : self.axis]).flatten(1))
        parts = zip(self.norms, found.chunk(2, dim=1), self.strengths.exp(), strict=True)
        scale, shift = (strength * torch.tanh(norm(part)) for norm, part, strength in parts)
        return x * (1.0 + scale) + shift


class RadialMixing(nn.Module):
    """y_lm = Σ_l' K_ll'^|m| x_l'm, with K, for all channels or each, linear in the radial features of the pair."""

    def __init__(self, config: DPA4Config):
        super().__init__()
        self.degrees = [config.l_max + 1 - m for m in range(config.m_max + 1)]
        terms = 1 if config.mixing == "degree" else config.mixing_rank or config.channels
        self.weight = dense((config.l_max + 1) * config.channels, sum(n * n for n in self.degrees) * terms, False)
        by_rank = config.mixing == "channel" and config.mixing_rank
        self.factors = nn.Parameter(torch.randn(terms, config.channels)) if by_rank else None
        self.terms = terms

    def forward(self, y: Tensor, radial: Tensor) -> Tensor:
        """`[pairs, orders, channels]` to the same."""
        kernels = self.weight(radial.flatten(1)).unflatten(1, (-1, self.terms))
        kernels = kernels.split([n * n for n in self.degrees], dim=1)
        parts = y.split([n * (2 if m else 1) for m, n in enumerate(self.degrees)], dim=1)
        return torch.cat([self._of_order(*pair) for pair in zip(parts, kernels, self.degrees, strict=True)], dim=1)

    def _of_order(self, y: Tensor, kernel: Tensor, degrees: int) -> Tensor:
        kernel = kernel.unflatten(1, (degrees, degrees))  # [pairs, from, to, terms]
        y = y.unflatten(1, (-1, degrees))
        if self.factors is None and self.terms > 1:
            return torch.einsum("psic,pioc->psoc", y, kernel).flatten(1, 2)
        mixed = torch.einsum("psic,piot->psotc", y, kernel)
        return (mixed[:, :, :, 0] if self.factors is None else (mixed * self.factors).sum(dim=3)).flatten(1, 2)


class Attention(nn.Module):
    """α_ij = w² exp(s_ij) / (ζ + Σ_k w² exp(s_ik)), s_ij = q_i · k_j/√d + b · radial_ij, and gates of the sums."""

    def __init__(self, config: DPA4Config):
        super().__init__()
        channels, self.heads = config.channels, config.heads
        self.norm, self.gate_norm = _norm(channels), _norm(channels)
        self.query, self.key = dense(channels, channels, bias=False), dense(channels, channels, bias=False)
        self.bias = nn.Parameter(0.01 * torch.randn(channels, config.heads))
        self.gate = nn.Parameter(0.01 * torch.randn(channels, config.heads))
        self.vacancy = nn.Parameter(torch.full((config.heads,), 0.5413))  # ζ = 1 at first

    def shares(self, scalars: Tensor, edges: Edges) -> Tensor:
        """α `[pairs, heads]` of the atoms' scalars `[atoms, channels]`."""
        graph, hood = edges.frames.graph, edges.frames.hood
        x = self.norm(scalars)
        query, key = (part(x).unflatten(1, (self.heads, -1)) for part in (self.query, self.key))
        scores = (graph.of_centers(query) * graph.of_neighbors(key)).sum(dim=2) * key.shape[2] ** -0.5
        scores = scores + edges.radial[:, 0] @ self.bias
        largest = hood.largest(hood.pad(scores.detach()), 0.0)
        parts = edges.weight.square() * torch.exp(scores - graph.of_centers(largest))
        vacant = (softplus(self.vacancy) + EPSILON) * torch.exp(-largest)
        return parts / graph.of_centers(graph.sum_over_neighbors(parts) + vacant)

    def gates(self, scalars: Tensor) -> Tensor:
        """Of each atom's sum `[atoms, heads]`."""
        return torch.sigmoid(self.gate_norm(scalars) @ self.gate)


class Convolution(ConstantModule):
    """Neighbors' features to the frames of the pairs, mixed there with radial ones, and back, summed (fig. 2)."""

    scale: Tensor
    degree: Tensor

    def __init__(self, config: DPA4Config):
        super().__init__()
        l_max, m_max, channels = config.l_max, config.m_max, config.channels
        self.inward, self.outward = (
            DegreeLinear(l_max, channels, channels),
            DegreeLinear(l_max, channels, channels, True),
        )
        self.mixing = RadialMixing(config) if config.mixing != "none" else None
        self.linears = nn.ModuleList(SO2Linear(l_max, m_max, channels, channels) for _ in range(config.mixing_layers))
        degrees = [l for l, _ in orders(l_max, m_max)]
        self.gates = nn.ModuleList(DegreeGate(degrees, channels) for _ in range(config.mixing_layers - 1))
        self.attention = Attention(config) if config.heads else None
        self.register_buffer("degree", torch.tensor(degrees), persistent=False)
        self.register_constant("scale", order_scale(l_max, m_max)[:, None])

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        x = self.inward(x)
        y = edges.frames.of_neighbors(x)
        y = y * edges.radial.index_select(1, self.degree) if self.mixing is None else self.mixing(y, edges.radial)
        for k, linear in enumerate(self.linears):
            new = linear(y)
            y = y + (self.gates[k](new) if k < len(self.gates) else new)
        if self.attention is None:
            return self.outward(edges.frames.sum(y * edges.weight[:, None]) * edges.density * self.scale)
        shares, gates = self.attention.shares(x[:, 0], edges), self.attention.gates(x[:, 0])
        repeats = x.shape[2] // gates.shape[1]
        shares, gates = (part.repeat_interleave(repeats, dim=1)[:, None] for part in (shares, gates))
        return self.outward(edges.frames.sum(y * shares) * gates * self.scale)


class FeedForward(nn.Module):
    """Two linear maps of the features multiplied as functions on the sphere, gated by scalars, and a third map."""

    def __init__(self, config: DPA4Config):
        super().__init__()
        hidden, l_max = config.expansion or config.expanded, config.l_max
        self.hidden, self.factor = hidden, (l_max + 1) ** -0.5
        self.inward = DegreeLinear(l_max, config.channels, 2 * hidden)
        self.gate = nn.Parameter(0.01 * torch.randn(2 * hidden, hidden))
        self.grid = RotationGrid(l_max)
        self.outward = DegreeLinear(l_max, hidden, config.channels, silent=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        x = self.inward(x)
        left, right = self.grid(x).split(self.hidden, dim=1)
        gates = torch.sigmoid(x[:, 0] @ self.gate)[:, None]
        product = self.grid.coefficients(left * right) * (self.factor * gates)
        first, second = x[:, :1].split(self.hidden, dim=2)
        return self.outward(torch.cat((product[:, :1] + silu(first) * second, product[:, 1:]), dim=1))


class Block(nn.Module):
    """x + convolution, then x + feed-forward network, as often as there are any."""

    def __init__(self, config: DPA4Config):
        super().__init__()
        before, after, second_before, second_after = config.norms
        epsilon = 1e-5 if config.normalized else 1.0
        self.before, self.after = _degree_norm(config, before), _degree_norm(config, after, epsilon)
        self.convolution = Convolution(config)
        count = config.feed_forwards
        self.forwards_before = nn.ModuleList(_degree_norm(config, second_before) for _ in range(count))
        self.forwards = nn.ModuleList(FeedForward(config) for _ in range(count))
        self.forwards_after = nn.ModuleList(_degree_norm(config, second_after) for _ in range(count))

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """`[atoms, (l_max+1)², channels]` to the same."""
        x = x + self.after(self.convolution(self.before(x), edges))
        for before, forward, after in zip(self.forwards_before, self.forwards, self.forwards_after, strict=True):
            x = x + after(forward(before(x)))
        return x


class GatedNetwork(nn.Module):
    """Layers a ∘ silu(b) with (a, b) = W x + c, and a linear layer without bias."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, bias: bool = True):
        super().__init__()
        widths = [inputs, *hidden]
        self.layers = nn.ModuleList(dense(a, 2 * b, bias) for a, b in zip(widths[:-1], hidden, strict=True))
        self.last = dense(widths[-1], outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[atoms, inputs]` to `[atoms, outputs]`."""
        for layer in self.layers:
            value, gate = layer(x).chunk(2, dim=1)
            x = value * silu(gate)
        return self.last(x)


class DPA4(AtomicPotential):
    """First features, blocks, a network of the scalars, and one fitting network for all elements (fig. 1)."""

    config: DPA4Config
    radial = True
    mirrored = False

    def __init__(self, config: DPA4Config, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        channels, degrees = config.channels, config.l_max + 1
        self.types = ElementEmbedding(self.elements, channels)
        inner, outer = config.envelopes
        bessel = BesselBasis(config.basis, config.cutoff, trainable=True)
        self.basis = DampedBasis(bessel, BinomialCutoff(config.cutoff, inner))
        self.envelope = BinomialCutoff(config.cutoff, outer)
        self.distance = RadialNetwork(config, degrees * channels)
        self.seed = EnvironmentSeed(config, self.elements) if config.seeded else None
        self.frames = FrameBuilder(config.l_max, config.m_max)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        expansion = config.expansion or config.expanded
        self.readout = GatedNetwork(channels, (expansion,), channels, bias=False)
        self.fitting = GatedNetwork(channels, config.hidden or (config.expanded,), 1)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph.replace(layout=graph.rows()))

    def features(self, graph: Graph) -> Tensor:
        """What the fitting network reads of the atoms `[atoms, channels]`."""
        pairs = RadialEdges.of(graph, self.basis, self.envelope)
        frames = self.frames(-pairs.directions, graph)
        weight = graph.spread(pairs.envelope)[:, None]
        density = torch.rsqrt(graph.sum_over_neighbors(weight.square()) + FLOOR)[:, None]
        types = self.types(graph.system.numbers)
        distance = (self.distance(pairs.expansion) * pairs.envelope[:, None]).unflatten(1, (-1, types.shape[1]))
        radial = graph.spread(distance)
        x = types
        higher = types.new_zeros((types.shape[0], frames.rows.shape[2] - 1, types.shape[1]))
        if self.seed is not None:
            x = self.seed(x, pairs, weight, density)
            higher = (frames.sum_of_axes(radial) * density)[:, 1:]
        x = torch.cat((x[:, None], higher), dim=1)
        radial = radial + (graph.of_neighbors(types) + graph.of_centers(types))[:, None]
        edges = Edges(frames, weight, radial, density)
        for block in self.blocks:
            x = block(x, edges)
        return x[:, 0] + self.readout(x[:, 0])

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.fitting(self.features(graph))[:, 0]


class RadialNetwork(nn.Module):
    """Radial features of all degrees from the basis: dense layers without bias, normalized or not, and silu."""

    def __init__(self, config: DPA4Config, outputs: int):
        super().__init__()
        hidden = (config.channels,) if config.radial_hidden is None else config.radial_hidden
        widths = [config.basis, *hidden, outputs]
        self.layers = nn.ModuleList(dense(a, b, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(_norm(width) if config.normalized else nn.Identity() for width in hidden)

    def forward(self, expansion: Tensor) -> Tensor:
        """`[halves, basis]` to `[halves, (l_max+1) · channels]`."""
        *inner, last = self.layers
        for layer, norm in zip(inner, self.norms, strict=True):
            expansion = silu(norm(layer(expansion)))
        return last(expansion)


def _norm(channels: int) -> nn.Module:
    return nn.RMSNorm(channels, eps=EPSILON)


def _degree_norm(config: DPA4Config, wanted: bool, epsilon: float = 1e-5) -> nn.Module:
    return DegreeNorm(config.l_max, config.channels, epsilon) if wanted else nn.Identity()
