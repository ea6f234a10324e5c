"""CHGNet: message passing over atoms, bonds and angles, with magnetic moments.

B. Deng, P. Zhong, K. Jun, J. Riebesell, K. Han, C. J. Bartel and G. Ceder, Nat. Mach. Intell. 5, 1031 (2023),
doi:10.1038/s42256-023-00716-3; program whose numbers it gives: chgnet 0.4.

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
| m_i | `magnetic_moments` | [atoms], μB |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper, all as in the program's version 0.3: the pairs have a cutoff of 6 Å and the bonds one of
3 Å; energies of atoms are a network of normalized features; frequencies of both bases are trained. Pairs are the
same both ways and bonds too: an angle's message goes to a bond from either of its ends. Features of the
last angle update, which nothing reads, are left out. Composition energies are the reference of `Referenced`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.errors import ConfigError
from adiabat.geometry import Bonds, Graph
from adiabat.nn.cutoffs import PolynomialCutoff
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.fourier import FourierBasis
from adiabat.nn.mlp import MLP, dense
from adiabat.nn.normalized_gated import NormalizedGatedMLP
from adiabat.nn.radial import BesselBasis
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy

INSIDE = 1.0 - 1e-6  # cosines are multiplied by it, so that the angle's slope stays finite where bonds are in line


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
    bias: bool = False
    """Whether the last linear map L of an update has a bias (true in version 0.2.0). The energy of bonds then depends
    on whether their system has an angle anywhere."""


@dataclass(frozen=True)
class Edges:
    """What all layers know about pairs, bonds and angles.

    Attributes:
        graph: the pairs, with halves and bonds.
        start: e^0 `[halves, channels]`.
        weights: ẽ^a `[halves, channels]`.
        bond_weights: ẽ^b `[bonds, channels]`.
        angled: 1 for halves in systems that have angles, 0 elsewhere `[halves, 1]`; None without `config.bias`.
    """

    graph: Graph
    start: Tensor
    weights: Tensor
    bond_weights: Tensor
    angled: Tensor | None

    @property
    def bonds(self) -> Bonds:
        """Of the graph."""
        assert self.graph.bonds is not None
        return self.graph.bonds

    @cached_property
    def angle_bonds(self) -> tuple[Tensor, Tensor]:
        """The bond that an angle's message goes to, and the other `[2 · angles]`."""
        first, second = self.bonds.ordered()
        return first % self.bonds.count, second % self.bonds.count

    @cached_property
    def angle_centers(self) -> Tensor:
        """The atom in the middle `[2 · angles]`."""
        return self.bonds.centers(self.graph.centers).index_select(0, self.bonds.ordered()[0])

    def on_angles(self, phi: NormalizedGatedMLP, v: Tensor, e: Tensor, a: Tensor) -> Tensor:
        """The sum of φ's inputs e_ij, e_ik, a_jik and v_i `[2 · angles, width]`."""
        first, second = self.angle_bonds
        bonds = phi.part(0, e).index_select(0, first) + phi.part(1, e).index_select(0, second)
        return bonds + phi.part(2, a) + phi.part(3, v).index_select(0, self.angle_centers)


class AtomConvolution(nn.Module):
    """v_i ← v_i + L Σ_j ẽ_ij^a ∘ φ(v_i ‖ e_ij ‖ v_j) (eq. 4)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 3, config.hidden, config.channels, config.normalize)
        self.outward = dense(config.channels, config.channels, config.bias)

    def forward(self, v: Tensor, e: Tensor, change: Tensor | None, edges: Edges) -> Tensor:
        """The features after the update.

        Args:
            v: `[atoms, channels]`.
            e: `[halves, channels]`, without the messages that bonds got.
            change: what bonds add to it `[bonds, channels]`; None before the first message.
            edges: the pairs.
        """
        graph, phi = edges.graph, self.phi
        along = graph.spread(phi.part(1, e))
        if change is not None:
            along = along.index_add(0, edges.bonds.both.flatten(), phi.part(1, change).repeat(2, 1))
        summed = graph.of_centers(phi.part(0, v)) + along + graph.of_neighbors(phi.part(2, v))
        return v + self.outward(graph.sum_over_neighbors(phi(summed) * graph.spread(edges.weights)))


class BondConvolution(nn.Module):
    """e_ij ← e_ij + L Σ_k ẽ_ij^b ∘ ẽ_ik^b ∘ φ(e_ij ‖ e_ik ‖ a_jik ‖ v_i) over both ends of the bond (eq. 5)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 4, config.hidden, config.channels, config.normalize)
        self.outward = dense(config.channels, config.channels, config.bias)

    def forward(self, v: Tensor, e: Tensor, a: Tensor, edges: Edges) -> Tensor:
        """What is added to the features of the bonds, without the bias of L `[bonds, channels]`."""
        first, second = edges.angle_bonds
        values = self.phi(edges.on_angles(self.phi, v, e, a))
        weights = edges.bond_weights.index_select(0, first) * edges.bond_weights.index_select(0, second)
        return torch.zeros_like(e).index_add(0, first, values * weights) @ self.outward.weight.T


class AngleUpdate(nn.Module):
    """a_jik ← a_jik + φ(e_ij ‖ e_ik ‖ a_jik ‖ v_i) (eq. 6)."""

    def __init__(self, config: CHGNetConfig):
        super().__init__()
        self.phi = NormalizedGatedMLP((config.channels,) * 4, 0, config.channels, config.normalize)

    def forward(self, v: Tensor, e: Tensor, a: Tensor, edges: Edges) -> Tensor:
        """The features after the update `[2 · angles, channels]`."""
        return a + self.phi(edges.on_angles(self.phi, v, e, a))


class CHGNet(AtomicPotential):
    """Embeddings; atoms, bonds and angles updated by turns; energies and moments of the atoms (fig. 2)."""

    config: CHGNetConfig

    def __init__(self, config: CHGNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        if config.bond_cutoff > config.cutoff:
            raise ConfigError(
                f"bond_cutoff {config.bond_cutoff} Å is beyond cutoff {config.cutoff} Å, and bonds are pairs:"
                " make it smaller."
            )
        channels, layers = config.channels, config.layers
        self.embedding = ElementEmbedding(self.elements, channels)
        self.basis = BesselBasis(config.basis, config.cutoff, trainable=True)
        self.bond_basis = BesselBasis(config.basis, config.bond_cutoff, trainable=True)
        self.envelope = PolynomialCutoff(config.cutoff, config.power)
        self.bond_envelope = PolynomialCutoff(config.bond_cutoff, config.power)
        self.angular = FourierBasis(config.angular)
        self.start = dense(config.basis, channels, bias=False)
        self.angle_start = dense(2 * config.angular + 1, channels, bias=False)
        self.weights = dense(config.basis, channels, bias=False)
        self.bond_weights = dense(config.basis, channels, bias=False)
        self.atoms = nn.ModuleList(AtomConvolution(config) for _ in range(layers))
        self.bonds = nn.ModuleList(BondConvolution(config) for _ in range(layers - 1))
        self.angles = nn.ModuleList(AngleUpdate(config) for _ in range(layers - 2))
        self.moment = dense(channels, 1)
        self.head_norm = nn.LayerNorm(channels) if config.normalize else nn.Identity()
        self.head = MLP((channels, *config.head, 1), "silu")

    def prepare(self, graph: Graph) -> Graph:
        return graph.with_bonds(self.config.bond_cutoff)

    def edges(self, graph: Graph) -> tuple[Edges, Tensor]:
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
        a = self.angle_start(self.angular(torch.acos(INSIDE * cosines)))
        radial = self.basis(r) * self.envelope(r)[:, None]
        short = self.bond_basis(lengths) * self.bond_envelope(lengths)[:, None]
        angled = self._angled(graph, bonds) if self.config.bias else None
        edges = Edges(graph, self.start(radial), self.weights(radial), self.bond_weights(short), angled)
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
        assert graph.halves is not None
        halves = graph.halves.half_of.index_select(0, edges.bonds.both[0])
        v, start = self.embedding(graph.system.numbers), edges.start
        change = torch.zeros_like(edges.bond_weights)
        for layer, bond in enumerate(self.bonds):
            v = self.atoms[layer](v, start, change if layer else None, edges)
            change = change + bond(v, start.index_select(0, halves) + change, a, edges)
            if edges.angled is not None:
                start = start + edges.angled * bond.outward.bias  # type: ignore[union-attr, operator]
            if layer < len(self.angles):
                a = self.angles[layer](v, start.index_select(0, halves) + change, a, edges)
        return self.atoms[-1](v, start, change, edges), v

    def forward(self, graph: Graph) -> Prediction:
        v, before = self.features(graph)
        atomic = self.head(self.head_norm(v))[:, 0]
        moments = self.moment(before)[:, 0].abs()
        return Prediction(total_energy(atomic, graph), atomic_energies=atomic, magnetic_moments=moments)
