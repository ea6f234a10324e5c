"""M3GNet: message passing on bonds that feel the angles with the other bonds of their atom.

C. Chen and S. P. Ong, Nature Computational Science 2, 718 (2022), doi:10.1038/s43588-022-00349-3; programs whose
numbers it gives: matgl (doi:10.1038/s41524-025-01742-y) and MatterSim (arXiv:2405.04967).

| paper | here | shape, unit |
|---|---|---|
| v_i | `v` | [atoms, channels], 1 |
| e_ij | `e` | [pairs, channels], 1 |
| e⁰_ij, the radial basis h_m(r_ij) | `bonds.radial` | [pairs, basis or degrees·basis], 1 |
| j_l(z_ln r_ik/r_c) f_c(r_ik), or h_m(r_ik) f_c(r_ik) | `bonds.angular` | [pairs, degrees·basis], 1 |
| f_c(r_ij) | `bonds.envelope` | [pairs], 1 |
| ẽ_ij | `self.sums(...)` | [pairs, degrees·basis], 1 |
| φ_e, φ_v, φ_3 | `GatedMLP` | |
| E_i | `atomic_energies` | [atoms], model's energy unit |

Departures from the paper. No state of the whole structure. The sum over triplets is made of spherical harmonics of
pairs (`LegendreSum`), the same numbers without a list of triplets; no cosine is clamped. As in matgl, the sum is not
passed through a layer of its own before its gated network, the networks φ have `depth` layers and the last one `depth
+ 1`. `radial: bessel` (matgl's default, of the published models) takes the Bessel functions of all degrees for pairs
too: their slopes at the cutoff are not zero, so that forces jump when a neighbor crosses it; `smooth` is the paper's.
`angular: smooth` (matgl's `use_smooth` does both) gives degree l of an angle the smooth functions l·n_max + 1 to (l +
1)·n_max instead of the Bessel functions of its degree; `hidden` makes hidden layers wider than atoms and bonds are.
`messages: neighbor` gives a bond's message to its other end, which the models need that matgl published, see
`pretrained.importers.matgl`. `variant: mattersim` gates a triplet by its center instead of its third atom, has SiLU
on the radial weights of the messages to atoms, no bias for the first bond features, and a scale for each element's
energy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from adiabat.geometry import Graph
from adiabat.nn.angular_sums import LegendreSum
from adiabat.nn.cutoffs import PolynomialCutoff
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.fused_bonds import FusedBlock, FusedEdges, FusedFunctions
from adiabat.nn.gated_mlp import GatedMLP
from adiabat.nn.mlp import dense
from adiabat.nn.spherical_bessel import SmoothBesselBasis, SphericalBesselBasis
from adiabat.potential import ArchitectureConfig, AtomicPotential


class M3GNetConfig(ArchitectureConfig):
    """Options of M3GNet; the defaults are the published ones."""

    method: Literal["m3gnet"] = "m3gnet"
    """Name of the architecture."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    three_body_cutoff: float = Field(default=4.0, gt=0.0)
    """Longest bonds between which angles count, Å; at most `cutoff`."""
    channels: int = Field(default=64, ge=1)
    """Features of an atom and of a bond."""
    layers: int = Field(default=3, ge=0)
    """Blocks of a three-body and a pair step."""
    hidden: int | None = Field(default=None, ge=1)
    """Nodes of the hidden layers of a pair step's networks and of the last one; None: `channels`."""
    basis: int = Field(default=3, ge=1)
    """Radial functions, n_max (of each degree where they have one)."""
    degrees: int = Field(default=3, ge=1)
    """Legendre polynomials of an angle, l = 0..degrees − 1; l_max of the paper."""
    depth: int = Field(default=3, ge=1)
    """Layers of the gated networks of a pair step; the last network has one more."""
    radial: Literal["smooth", "bessel"] = "smooth"
    """Radial basis of pairs: with vanishing slopes at the cutoff, or spherical Bessel functions of all degrees."""
    angular: Literal["bessel", "smooth"] = "bessel"
    """Functions of the distance to an angle's third atom, `basis` for each degree: Bessel functions of the degree, or
    the first `degrees` · `basis` smooth ones (with `radial: smooth` alone)."""
    messages: Literal["center", "neighbor"] = "center"
    """Which end of the bond ij gets its message φ_v: atom i, whose other bonds it has felt, or atom j."""
    variant: Literal["matgl", "mattersim"] = "matgl"
    """Whose details the blocks follow."""

    @model_validator(mode="after")
    def _check_options(self) -> M3GNetConfig:
        if self.three_body_cutoff > self.cutoff:
            raise ValueError(
                f"three_body_cutoff {self.three_body_cutoff} Å is longer than the cutoff, {self.cutoff} Å: pairs"
                " beyond the cutoff are not known."
            )
        if self.angular == "smooth" and self.radial != "smooth":
            raise ValueError(
                f"angular smooth needs radial smooth, which is {self.radial} here: give both or neither."
            )
        return self


@dataclass(frozen=True)
class Bonds:
    """What every block knows about the pairs.

    Attributes:
        graph: the pairs.
        radial: radial basis `[pairs, functions]`.
        angular: j_l(z_ln r/r_c) f_c(r) or h_m(r) f_c(r) `[pairs, degrees · basis]`.
        envelope: f_c, zero from the three-body cutoff on `[pairs, 1]`.
        harmonics: of the direction `[pairs, degrees²]`.
    """

    graph: Graph
    radial: Tensor
    angular: Tensor
    envelope: Tensor
    harmonics: Tensor


class ThreeBody(nn.Module):
    """e ← e + φ(Σ_k j_l Y_l0(θ_jik) σ(W v_k + b) f_c(r_ij) f_c(r_ik)): bonds feel angles (many-body computation)."""

    def __init__(self, config: M3GNetConfig):
        super().__init__()
        size = config.degrees * config.basis
        self.of_centers = config.variant == "mattersim"
        self.gate = dense(config.channels, size)
        self.update = GatedMLP((size, config.channels), bias=False)

    def forward(self, v: Tensor, e: Tensor, bonds: Bonds, sums: LegendreSum) -> Tensor:
        """New bond features `[pairs, channels]`."""
        gate = torch.sigmoid(self.gate(v))
        gate = bonds.graph.of_centers(gate) if self.of_centers else bonds.graph.of_neighbors(gate)
        found = sums(bonds.graph, bonds.harmonics, bonds.angular * gate)
        return e + self.update(found * bonds.envelope)


class Convolution(nn.Module):
    """e ← e + φ_e([v_i, v_j, e]) W_e e⁰, then v_i ← v_i + Σ_j φ_v([v_i, v_j, e]) W_v e⁰ (graph convolution)."""

    def __init__(self, config: M3GNetConfig, functions: int):
        super().__init__()
        hidden = config.hidden or config.channels
        widths = (3 * config.channels, *(hidden,) * (config.depth - 1), config.channels)
        self.bonds = GatedMLP(widths)
        self.atoms = GatedMLP(widths)
        self.bond_weights = dense(functions, config.channels, bias=False)
        self.atom_weights = dense(functions, config.channels, bias=False)
        self.activated = config.variant == "mattersim"
        self.to_neighbors = config.messages == "neighbor"

    def forward(self, v: Tensor, e: Tensor, bonds: Bonds) -> tuple[Tensor, Tensor]:
        """New atom features `[atoms, channels]` and bond features `[pairs, channels]`."""
        graph = bonds.graph
        e = e + self.bonds.of_pairs(graph, v, e) * self.bond_weights(bonds.radial)
        weights = self.atom_weights(bonds.radial)
        weights = functional.silu(weights) if self.activated else weights
        messages = self.atoms.of_pairs(graph, v, e) * weights
        return v + (graph.sum_over_centers if self.to_neighbors else graph.sum_over_neighbors)(messages), e

    def fused(self, three_body: ThreeBody, sums: LegendreSum) -> FusedBlock:
        """This and the step before it by kernels, with the present weights."""
        radial = self.bond_weights, self.atom_weights
        return FusedBlock(
            three_body.gate, three_body.update, self.bonds, self.atoms, radial, self.activated, sums,
            three_body.of_centers, self.to_neighbors,
        )  # fmt: skip


class M3GNet(AtomicPotential):
    """Embedding, blocks of a three-body step and a convolution, gated network, sum over atoms (fig. 1)."""

    radial = True
    scales: Tensor

    def __init__(self, config: M3GNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        width, mattersim = config.channels, config.variant == "mattersim"
        self.embedding = ElementEmbedding(self.elements, width)
        if config.angular == "smooth":
            self.angular = SmoothBesselBasis(config.degrees * config.basis, config.cutoff)
        else:
            self.angular = SphericalBesselBasis(config.degrees, config.basis, config.cutoff)
        self.smooth = SmoothBesselBasis(config.basis, config.cutoff) if config.radial == "smooth" else None
        self.envelope = PolynomialCutoff(config.three_body_cutoff, 3)
        self.sums = LegendreSum(config.degrees, config.basis)
        functions = config.basis if self.smooth is not None else config.degrees * config.basis
        self.first = dense(functions, width, bias=not mattersim)
        self.three_body = nn.ModuleList(ThreeBody(config) for _ in range(config.layers))
        self.convolutions = nn.ModuleList(Convolution(config, functions) for _ in range(config.layers))
        hidden = config.hidden or width
        self.head = GatedMLP((width, width, *(hidden,) * (config.depth - 1), 1), linear_end=True)
        self.fused: tuple[FusedFunctions, list[FusedBlock]] | None = None
        if mattersim:
            self.register_buffer("scales", torch.ones(len(self.elements)))

    def freeze(self) -> None:
        config: M3GNetConfig = self.config  # type: ignore[assignment]
        layers = zip(self.three_body, self.convolutions, strict=True)
        blocks = [convolution.fused(three_body, self.sums) for three_body, convolution in layers]  # type: ignore[operator]
        width = blocks[0].update.width if blocks else config.channels
        radial = self.angular if self.smooth is None else self.smooth
        functions = FusedFunctions(
            self.sums.harmonics, radial.exact, self.angular.exact, self.envelope, self.first, width, config.cutoff,
            config.three_body_cutoff,
        )  # fmt: skip
        self.fused = functions, blocks

    def features(self, graph: Graph) -> Tensor:
        """Atoms in their neighborhoods, v_i `[atoms, channels]`."""
        v = self.embedding(graph.system.numbers)
        if self.fused is not None:
            functions, blocks = self.fused
            edges = FusedEdges(graph, functions)
            e = edges.start
            for block in blocks:
                v, e = block(v, e, edges)
            return v
        bonds = self._bonds(graph)
        e = functional.silu(self.first(bonds.radial))
        for three_body, convolution in zip(self.three_body, self.convolutions, strict=True):
            e = three_body(v, e, bonds, self.sums)
            v, e = convolution(v, e, bonds)
        return v

    def atomic_energies(self, graph: Graph) -> Tensor:
        energies = self.head(self.features(graph))[:, 0]
        if self.config.variant == "mattersim":  # type: ignore[attr-defined]
            energies = energies * self.scales[self.embedding.row[graph.system.numbers]]
        return energies

    def _bonds(self, graph: Graph) -> Bonds:
        vectors = graph.vectors()
        r = graph.once(vectors).norm(dim=1)
        angular, envelope = self.angular(r), self.envelope(r)[:, None]
        radial = angular if self.smooth is None else self.smooth(r)
        directions = vectors / graph.spread(r)[:, None]
        angular, envelope = graph.spread(angular * envelope), graph.spread(envelope)
        return Bonds(graph, graph.spread(radial), angular, envelope, self.sums.harmonics(directions))
