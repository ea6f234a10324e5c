"""CHGNet: message passing over atoms, bonds and angles, with magnetic moments.

B. Deng, P. Zhong, K. Jun, J. Riebesell, K. Han, C. J. Bartel and G. Ceder, Nat. Mach. Intell. 5, 1031 (2023),
doi:10.1038/s42256-023-00716-3; programs whose numbers it gives: chgnet 0.4 and, with `conventions: matgl`, matgl
(doi:10.1038/s41524-025-01742-y).

| paper | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| v_i^t | `v` | [atoms, channels], 1 |
| e_ij^0 | `start` of the radial basis | [halves, channels], 1 |
| e_ij^t − e_ij^0 | `e`, zero for pairs that are no bonds | [bonds, channels], 1 |
| a_ijk^t | `a`, both orders of a couple of bonds | [2·angles, channels], 1 |
| ẽ_ij^a, ẽ_ij^b | `edges.weights`, `edges.bond_weights` | [halves or bonds, channels], 1 |
| φ | `NormalizedGatedMLP` | |
| L | `outward` | |
| (none) | `PairUpdate`, `normalize_updates`: matgl's published models | |
| m_i | `magnetic_moments` | [atoms], μB |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper, all as in the program's version 0.3: the pairs have a cutoff of 6 Å and the bonds one of
3 Å; energies of atoms are a network of normalized features; frequencies of both bases are trained. Pairs are the
same both ways and bonds too: an angle's message goes to a bond from either of its ends. Features of the
last angle update, which nothing reads, are left out. Composition energies are the reference of `Referenced`.
matgl's published models besides update the features of all pairs from their atoms, and normalize the features of
atoms and pairs after each update of the atoms; then e_ij is kept for every directed pair `[pairs, channels]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Bonds, Graph
from adiabat.kernels.dense import Network
from adiabat.nn.bond_edges import BondEdges
from adiabat.nn.cutoffs import PolynomialCutoff
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.fourier import FourierBasis
from adiabat.nn.mlp import MLP, dense
from adiabat.nn.normalized_gated import NormalizedGatedMLP
from adiabat.nn.radial import BesselBasis
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy

INSIDE = 1.0 - 1e-6  # cosines are multiplied by it, so that the angle's slope stays finite where bonds are in line
CLAMPED = 1.0 - 1e-7  # matgl's way: cosines end there


class CHGNetConfig(ArchitectureConfig):
    """Options of CHGNet; the defaults are those of the published version 0.3.0."""

    method: Literal["chgnet"] = "chgnet"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    bond_cutoff: float = Field(default=3.0, gt=0.0)
    """Length below which a pair is a bond, with features of its own and angles, Å; at most `cutoff`."""
    channels: int = Field(default=64, ge=2)
    """Features of an atom, a bond and an angle."""
    layers: int = Field(default=4, ge=2)
    """Updates of the atoms."""
    basis: int = Field(default=31, ge=1)
    """Radial functions of either cutoff."""
    angular: int = Field(default=15, ge=1)
    """Frequencies of the angular basis."""
    power: int = Field(default=8, ge=1)
    """Exponent of the cutoff polynomial."""
    hidden: int = Field(default=64, ge=1)
    """Hidden nodes of the networks that update atoms and bonds."""
    head: tuple[int, ...] = (64, 64, 64)
    """Nodes of the energy network's hidden layers."""
    normalize: bool = True
    """Whether networks normalize what their activations see (false in version 0.2.0)."""
    normalize_updates: bool = False
    """Whether features of atoms and pairs are normalized after each update of the atoms, and not once more before
    the energy network (matgl's `normalization: layer`); needs its conventions."""
    pair_hidden: int = Field(default=0, ge=0)
    """Hidden nodes of the networks that update the features of all pairs before those of the atoms, 0 for none
    (matgl's `bond_update_hidden_dims`); needs its conventions."""
    train_basis: bool = True
    """Whether the frequencies of the radial and angular bases are trained."""
    conventions: Literal["chgnet", "matgl"] = "chgnet"
    """Whose model it is. In matgl's, a bond has features of its own in either direction, the cutoff polynomial is
    taken of the basis functions' values, the constant of the angular basis has a frequency, moments have a sign."""
    bias: bool = False
    """Whether the last linear map L of an update has a bias (true in version 0.2.0). The energy of bonds then depends
    on whether their system has an angle anywhere."""


class AtomConvolution(nn.Module):
    """v_i ← v_i + L Σ_j ẽ_ij^a ∘ φ(v_i ‖ e_ij ‖ v_j) (Methods)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 3, config.hidden, config.channels, config.normalize)
        self.outward = dense(config.channels, config.channels, config.bias)
        self.along: Network | None = None

    def freeze(self, start: nn.Linear | None) -> None:
        """Takes the fast kernel for good; `start` makes e^0 of halves, None if pairs have features of their own."""
        self.phi.freeze("pairs")
        self.along = None if start is None else self.phi.part_after(1, start)

    def forward(self, v: Tensor, e: Tensor, change: Tensor | None, edges: BondEdges) -> Tensor:
        """The features after the update.

        Args:
            v: `[atoms, channels]`.
            e: `[halves, channels]`, without the messages that bonds got; the radial basis if frozen.
            change: what bonds add to it `[bonds, channels]`; None before the first message.
            edges: the pairs.
        """
        graph, phi = edges.graph, self.phi
        along = phi.part(1, e) if self.along is None else self.along(e)
        if edges.directed:
            along = graph.spread(along)
        if change is not None:
            places = edges.bonds.both.flatten() if edges.directed else edges.bond_halves
            along = along.index_add(0, places, phi.part(1, change))
        if phi.kernel is None:
            return self.from_pairs(v, along if edges.directed else graph.spread(along), edges)
        ends = graph.centers, graph.neighbors, edges.half_of
        return v + self.outward(phi.kernel((phi.part(0, v), phi.part(2, v), along), ends, None, edges.weights))

    def from_pairs(self, v: Tensor, along: Tensor, edges: BondEdges) -> Tensor:
        """The features after the update, from φ's part of e_ij `[pairs, 2 · hidden]`."""
        graph, phi = edges.graph, self.phi
        if phi.kernel is not None:
            ends, weights = (graph.centers, graph.neighbors, edges.rows), graph.spread(edges.weights)
            return v + self.outward(phi.kernel((phi.part(0, v), phi.part(2, v), along), ends, None, weights))
        messages = edges.on_pairs(phi, v, along) * graph.spread(edges.weights)
        return v + self.outward(graph.sum_over_neighbors(messages))


class PairUpdate(nn.Module):
    """e_ij ← e_ij + ẽ_ij ∘ φ(v_i ‖ e_ij ‖ v_j) for every directed pair, with weights ẽ of its own (matgl)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 3, config.pair_hidden, config.channels, config.normalize)

    def forward(self, v: Tensor, e: Tensor, weights: Tensor, edges: BondEdges) -> Tensor:
        """The features after the update `[pairs, channels]`; `weights` are ẽ `[halves, channels]`."""
        return e + edges.on_pairs(self.phi, v, self.phi.part(1, e)) * edges.graph.spread(weights)


class BondConvolution(nn.Module):
    """e_ij ← e_ij + L Σ_k ẽ_ij^b ∘ ẽ_ik^b ∘ φ(e_ij ‖ e_ik ‖ a_jik ‖ v_i) over both ends of the bond (Methods)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 4, config.hidden, config.channels, config.normalize)
        self.outward = dense(config.channels, config.channels, config.bias)

    def forward(self, v: Tensor, e: Tensor, a: Tensor, edges: BondEdges) -> Tensor:
        """What is added to the features of the bonds, without the bias of L `[bonds, channels]`."""
        return edges.on_angles(self.phi, v, e, a, edges.bond_weights) @ self.outward.weight.T


class AngleUpdate(nn.Module):
    """a_jik ← a_jik + φ(e_ij ‖ e_ik ‖ a_jik ‖ v_i) (Methods)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 4, 0, config.channels, config.normalize)

    def forward(self, v: Tensor, e: Tensor, a: Tensor, edges: BondEdges) -> Tensor:
        """The features after the update `[2 · angles, channels]`."""
        return a + edges.on_angles(self.phi, v, e, a)


class CHGNet(AtomicPotential):
    """Embeddings; atoms, bonds and angles updated by turns; energies and moments of the atoms (fig. 1)."""

    config: CHGNetConfig

    def __init__(self, config: CHGNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        if config.bond_cutoff > config.cutoff:
            raise ConfigError(
                f"bond_cutoff {config.bond_cutoff} Å is beyond cutoff {config.cutoff} Å, and bonds are pairs:"
                " make it smaller."
            )
        self.matgl = config.conventions == "matgl"
        self.on_pairs = config.normalize_updates or config.pair_hidden > 0
        if self.on_pairs and (config.bias or not self.matgl):
            raise ConfigError(
                f"normalize_updates {config.normalize_updates} and pair_hidden {config.pair_hidden} belong to matgl's"
                " CHGNet: set conventions to 'matgl', and bias to false."
            )
        channels, layers, trainable = config.channels, config.layers, config.train_basis
        self.embedding = ElementEmbedding(self.elements, channels)
        self.basis = BesselBasis(config.basis, config.cutoff, trainable)
        self.bond_basis = BesselBasis(config.basis, config.bond_cutoff, trainable)
        self.envelope = PolynomialCutoff(config.cutoff, config.power)
        self.bond_envelope = PolynomialCutoff(config.bond_cutoff, config.power)
        self.angular = FourierBasis(config.angular, self.matgl, trainable)
        self.start = dense(config.basis, channels, bias=False)
        self.angle_start = dense(2 * config.angular + 1, channels, bias=False)
        self.weights = dense(config.basis, channels, bias=False)
        self.bond_weights = dense(config.basis, channels, bias=False)
        self.atoms = nn.ModuleList(AtomConvolution(config) for _ in range(layers))
        self.bonds = nn.ModuleList(BondConvolution(config) for _ in range(layers - 1))
        self.angles = nn.ModuleList(AngleUpdate(config) for _ in range(layers - 2))
        updated, normalized = layers if config.pair_hidden else 0, layers if config.normalize_updates else 0
        self.pair_weights = dense(config.basis, channels, bias=False) if updated else None
        self.pairs = nn.ModuleList(PairUpdate(config) for _ in range(updated))
        self.atom_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(normalized))
        self.pair_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(normalized - 1))
        self.moment = dense(channels, 1)
        once = config.normalize and not config.normalize_updates
        self.head_norm = nn.LayerNorm(channels) if once else nn.Identity()
        self.head = MLP((channels, *config.head, 1), "silu")

    def prepare(self, graph: Graph) -> Graph:
        graph = graph.with_bonds(self.config.bond_cutoff)
        return super().prepare(graph) if self.is_frozen else graph

    def freeze(self) -> None:
        if self.config.bias or (self.matgl and not self.on_pairs):
            raise CapabilityError(
                "CHGNet with biases, or with matgl's conventions but no features of pairs, has no fast kernels."
            )
        for layer in self.atoms:
            layer.freeze(None if self.on_pairs else self.start)  # type: ignore[operator]
        for kind, layers in (("bonds", self.bonds), ("angles", self.angles), ("angles", self.pairs)):
            for layer in layers:
                layer.phi.freeze(kind)  # type: ignore[union-attr, operator]
        self.head.freeze()

    def edges(self, graph: Graph) -> tuple[BondEdges, Tensor]:
        """What the layers share, and the angles' features at first `[2 · angles, channels]`."""
        bonds = graph.bonds
        assert bonds is not None
        vectors = graph.vectors()
        r = graph.once(vectors).norm(dim=1)
        ends = vectors.index_select(0, bonds.both.flatten())
        lengths = ends[: bonds.count].norm(dim=1)
        units = ends / torch.cat((lengths, lengths))[:, None]
        first, second = bonds.angles
        cosines = (units.index_select(0, first) * units.index_select(0, second)).sum(dim=1)
        cosines = cosines.clamp(-CLAMPED, CLAMPED) if self.matgl else INSIDE * cosines
        a = self.angle_start(self.angular(torch.acos(cosines)))
        radial, short = self.basis(r), self.bond_basis(lengths)
        radial = radial * self.envelope(radial if self.matgl else r[:, None])
        short = short * self.bond_envelope(short if self.matgl else lengths[:, None])
        angled = self._angled(graph, bonds) if self.config.bias else None
        edges = BondEdges(graph, radial, self.weights(radial), self.bond_weights(short), angled, self.matgl)
        return edges, torch.cat((a, a))

    def _angled(self, graph: Graph, bonds: Bonds) -> Tensor:
        system, atoms = graph.system.system, bonds.centers(graph.centers).index_select(0, bonds.angles[0])
        found = graph.system.positions.new_zeros(graph.system.systems)
        found = found.index_fill(0, system.index_select(0, atoms), 1.0)
        return found.index_select(0, system.index_select(0, graph.once(graph.centers)))[:, None]

    def features(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Atoms in their neighborhoods `[atoms, channels]`, after the last update and before it."""
        graph = self.prepare(graph)
        edges, a = self.edges(graph)
        v = self.embedding(graph.system.numbers)
        if self.on_pairs:
            return self._features_on_pairs(v, a, edges)
        halves = edges.bond_halves
        start = edges.radial if self.is_frozen else self.start(edges.radial)
        own = self.start(edges.radial.index_select(0, halves))
        change = torch.zeros_like(own)
        for layer, bond in enumerate(self.bonds):
            v = self.atoms[layer](v, start, change if layer else None, edges)
            change = change + bond(v, own + change, a, edges)
            if edges.angled is not None:
                shift = edges.angled * bond.outward.bias  # type: ignore[union-attr, operator]
                start, own = start + shift, own + shift.index_select(0, halves)
            if layer < len(self.angles):
                a = self.angles[layer](v, own + change, a, edges)
        return self.atoms[-1](v, start, change, edges), v

    def _features_on_pairs(self, v: Tensor, a: Tensor, edges: BondEdges) -> tuple[Tensor, Tensor]:
        """As `features`, where each directed pair has features of its own from the start."""
        ends, before = edges.bonds.both.flatten(), v
        e = edges.graph.spread(self.start(edges.radial))
        weights = None if self.pair_weights is None else self.pair_weights(edges.radial)
        for layer, atoms in enumerate(self.atoms):
            before = v
            if weights is not None:
                e = self.pairs[layer](v, e, weights, edges)
            v = atoms.from_pairs(v, atoms.phi.part(1, e), edges)  # type: ignore[union-attr, operator]
            v = self.atom_norms[layer](v) if self.atom_norms else v
            if layer < len(self.bonds):
                e = self.pair_norms[layer](e) if self.pair_norms else e
                own = e.index_select(0, ends)
                change = self.bonds[layer](v, own, a, edges)
                e = e.index_add(0, ends, change)
                if layer < len(self.angles):
                    a = self.angles[layer](v, own + change, a, edges)
        return v, before

    def forward(self, graph: Graph) -> Prediction:
        v, before = self.features(graph)
        atomic = self.head(self.head_norm(v))[:, 0]
        moments = self.moment(before)[:, 0]
        moments = moments if self.matgl else moments.abs()
        return Prediction(total_energy(atomic, graph), atomic_energies=atomic, magnetic_moments=moments)
