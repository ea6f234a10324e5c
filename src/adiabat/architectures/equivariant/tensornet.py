"""TensorNet: message passing of 3×3 matrices.

G. Simeon and G. De Fabritiis, NeurIPS 2023, arXiv:2306.06482 (doi:10.48550/arXiv.2306.06482); programs whose numbers
it gives: TorchMD-Net (doi:10.1021/acs.jctc.4c00253) and matgl (doi:10.1038/s41524-025-01742-y).

| paper | here | shape, unit |
|---|---|---|
| Z_i | `z`, the element's features | [atoms, channels], 1 |
| Z_ij | `pair` of both ends' features, in `DirectionSum` | [slots, channels], 1 |
| I_0, A, S of r̂_ij | `edges.matrices`, side by side | [pairs, 9], 1 |
| e_k^RBF(r_ij) | `edges.radial.expansion` | [halves, basis], 1 |
| φ(r_ij) | `edges.radial.envelope` | [halves], 1 |
| f_I, f_A, f_S times φ | `filters` | [halves, 3·channels], 1 |
| I, A, S of X_i | the parts of `x` | [atoms, 1 or 3 or 5, channels], 1 |
| ‖X‖ (its square) | `squared(parts)` | [atoms, channels], 1 |
| W_I, W_A, W_S | `PartMixing` | [channels, channels], 1 |
| Y_i, M_i | `y`, `m` | parts, 1 |
| U_i | `atomic_energies` | [atoms], model's energy unit |

A matrix is kept as the nine coordinates of its parts in an orthonormal basis (`adiabat.nn.matrix_parts`).

## Departures from the paper

As in both programs, "norms" are squared norms. As in TorchMD-Net: an atom is its own neighbor at distance zero
(`self_neighbor`), the radial functions carry the cutoff once more (`damped_basis`), and a total charge q scales
Y M + M Y and ΔX² by 1 + `charge_scale` · q. matgl leaves all three out and ends in a gated network (`head: gated`).
`group: SO(3)` takes 2 Y M instead of Y M + M Y, which tells mirror images apart; a charge does not scale it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from adiabat.geometry import Graph
from adiabat.nn.convolution import RadialEdges
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.gated_mlp import GatedMLP
from adiabat.nn.matrix_layers import DirectionSum, MatrixEdges, MatrixProducts, PartMessage, PartMixing, squared
from adiabat.nn.matrix_parts import DirectionMatrices
from adiabat.nn.mlp import MLP
from adiabat.nn.radial import DampedBasis, ExpNormalBasis, GaussianBasis
from adiabat.nn.spherical_bessel import SmoothBesselBasis
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction


class TensorNetConfig(ArchitectureConfig):
    """Options of TensorNet; the defaults are those of TorchMD-Net's models of rMD17 molecules."""

    method: Literal["tensornet"] = "tensornet"
    """Name of the architecture."""
    cutoff: float = Field(default=4.5, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    channels: int = Field(default=128, ge=2)
    """Matrices of an atom."""
    layers: int = Field(default=2, ge=0)
    """Interactions."""
    basis: int = Field(default=32, ge=2)
    """Radial functions."""
    radial: Literal["exp-normal", "gaussian", "smooth-bessel"] = "exp-normal"
    """Kind of radial functions; those of matgl's published models are smooth-bessel."""
    damped_basis: bool = True
    """Whether the radial functions are multiplied by the cutoff before they enter the networks too."""
    self_neighbor: bool = True
    """Whether an atom gets messages from itself, at distance zero."""
    charge_scale: float = 0.1
    """How much products of matrices grow per elementary charge of the whole system, 1/e."""
    group: Literal["O(3)", "SO(3)"] = "O(3)"
    """Whether mirror images have the same energy."""
    head: Literal["dense", "gated"] = "dense"
    """Last network: SiLU and a dense network with one hidden layer, or a gated network with three."""
    structure_energy: float = 0.0
    """Constant added to the energy of every structure, whatever its size, in the model's energy unit."""

    @model_validator(mode="after")
    def _finite_at_zero(self) -> Self:
        if self.self_neighbor and self.radial == "smooth-bessel":
            raise ValueError("radial smooth-bessel is for atoms apart: set self_neighbor to false with it")
        return self


class TensorEmbedding(nn.Module):
    """X_i = Σ_j φ Z_ij (f_I I_0 + f_A A_ij + f_S S_ij), its parts mixed and scaled by its norm (sec. 3.2)."""

    def __init__(self, config: TensorNetConfig):
        super().__init__()
        channels = config.channels
        self.pair = nn.Linear(2 * channels, channels)
        self.sum = DirectionSum(config.basis, channels)
        self.norm = nn.LayerNorm(channels)
        self.gates = MLP((channels, 2 * channels, 3 * channels), "silu", initialization="torch")
        self.mix = PartMixing(channels)

    def forward(self, z: Tensor, edges: MatrixEdges) -> Sequence[Tensor]:
        """`z [atoms, channels]` to the parts of X."""
        of_center, of_neighbor = self.pair.weight.chunk(2, dim=1)  # Z_ij is linear in both ends' features
        parts = self.sum(functional.linear(z, of_center, self.pair.bias), z @ of_neighbor.T, edges)
        gates = functional.silu(self.gates(self.norm(squared(parts)))).chunk(3, dim=1)
        return [gate[:, None] * part for gate, part in zip(gates, self.mix(parts), strict=True)]


class Interaction(nn.Module):
    """X + ΔX + ΔX², ΔX from Y M + M Y with M_i = Σ_j φ (f_I I_j + f_A A_j + f_S S_j) of Y (sec. 3.3)."""

    def __init__(self, config: TensorNetConfig):
        super().__init__()
        self.message = PartMessage(config.basis, config.channels)
        self.inward, self.outward = PartMixing(config.channels), PartMixing(config.channels)
        self.products = MatrixProducts(config.group == "O(3)")

    def forward(self, x: Sequence[Tensor], edges: MatrixEdges) -> Sequence[Tensor]:
        """Parts of X to parts of X after the interaction."""
        x = self.products.normalize(x)
        y = self.inward(x)
        m = self.message(y, edges)
        dx = self.outward(self.products.combine(m, y, edges.growth))
        return self.products.renew(x, dx, edges.growth)


class TensorNet(AtomicPotential):
    """Embedding, interactions, norms of the parts, output network, sum over atoms (fig. 1)."""

    config: TensorNetConfig
    radial = True

    def __init__(self, config: TensorNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        channels = config.channels
        self.embedding = ElementEmbedding(self.elements, channels)
        self.envelope = CosineCutoff(config.cutoff)
        basis = _basis(config)
        self.basis = DampedBasis(basis, self.envelope) if config.damped_basis else basis
        self.matrices = DirectionMatrices()
        self.tensors = TensorEmbedding(config)
        self.interactions = nn.ModuleList(Interaction(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(3 * channels)
        self.outward = nn.Linear(3 * channels, channels)
        if config.head == "dense":
            self.head = MLP((channels, channels // 2, 1), "silu")
        else:
            self.head = GatedMLP((channels, channels, channels, channels, 1), linear_end=True)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def freeze(self) -> None:
        self.tensors.sum.freeze(self.basis, self.envelope, self.cutoff)
        for part in (self.tensors.gates, self.tensors.mix):
            part.freeze()
        for layer in self.interactions:
            layer.message.freeze(self.basis, self.cutoff)  # type: ignore[operator, union-attr]
            layer.products.freeze()  # type: ignore[operator, union-attr]
            layer.inward.freeze()  # type: ignore[operator, union-attr]
            layer.outward.freeze()  # type: ignore[operator, union-attr]
        if isinstance(self.head, MLP):
            self.head.freeze()

    def features(self, graph: Graph) -> Tensor:
        """Invariants of each atom before the output network `[atoms, channels]`."""
        system = graph.system
        charge = system.charge.to(system.positions.dtype)[system.system]
        zero = self.basis(self.embedding.table.new_zeros(1)) if self.config.self_neighbor else None
        edges = MatrixEdges(
            RadialEdges.of(graph, self.basis, self.envelope),
            zero,
            self.matrices,
            (1.0 + self.config.charge_scale * charge)[:, None, None],
        )
        parts = self.tensors(self.embedding(system.numbers), edges)
        for interaction in self.interactions:
            parts = interaction(parts, edges)
        norms = torch.cat([squared([part]) for part in parts], dim=1)
        invariants = self.outward(self.norm(norms))
        return functional.silu(invariants) if self.config.head == "dense" else invariants

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.head(self.features(graph))[:, 0]

    def forward(self, graph: Graph) -> Prediction:
        found = super().forward(graph)
        return found.replace(energy=found.energy + self.config.structure_energy)


def _basis(config: TensorNetConfig) -> nn.Module:
    if config.radial == "smooth-bessel":
        return SmoothBesselBasis(config.basis, config.cutoff)
    if config.radial == "gaussian":
        return GaussianBasis(config.basis, 0.0, config.cutoff + 1.0)
    return ExpNormalBasis(config.basis, config.cutoff)
