"""TensorNet: message passing of 3×3 matrices.

G. Simeon and G. De Fabritiis, NeurIPS 2023, arXiv:2306.06482 (doi:10.48550/arXiv.2306.06482); programs whose numbers
it gives: TorchMD-Net (doi:10.1021/acs.jctc.4c00253) and matgl (doi:10.1038/s41524-025-01742-y).

| paper | here | shape, unit |
|---|---|---|
| Z_i | `x`, the element's features | [atoms, channels], 1 |
| Z_ij | `pair` of both ends' features | [slots, channels], 1 |
| I_0, A, S of r̂_ij | `edges.matrices`, side by side | [pairs, 9], 1 |
| e_k^RBF(r_ij) | `edges.radial.expansion` | [halves, basis], 1 |
| φ(r_ij) | `edges.radial.envelope` | [halves], 1 |
| f_I, f_A, f_S times φ | `filters` | [halves, 3·channels], 1 |
| I, A, S of X_i | `parts` of X | [atoms, 1 or 3 or 5, channels], 1 |
| ‖X‖ (its square) | `squared(parts)` | [atoms, channels], 1 |
| W_I, W_A, W_S | `Mixing` | [channels, channels], 1 |
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
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from adiabat.geometry import Graph
from adiabat.nn.bilinear_product import BilinearProduct
from adiabat.nn.convolution import RadialEdges
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.gated_mlp import GatedMLP
from adiabat.nn.matrix_parts import SIZES, DirectionMatrices, multiplication
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


@dataclass(frozen=True)
class MatrixEdges:
    """What every layer knows about the pairs and the systems.

    Attributes:
        radial: distances, envelope and radial basis.
        at_zero: the radial basis of an atom's distance to itself `[1, basis]`, or None where that is no neighbor.
        matrices_of: components of a direction's matrices.
        growth: 1 + charge_scale · q of each atom's system `[atoms, 1, 1]`.
    """

    radial: RadialEdges
    at_zero: Tensor | None
    matrices_of: DirectionMatrices
    growth: Tensor

    @cached_property
    def matrices(self) -> Tensor:
        """`[pairs, 9]`."""
        return self.matrices_of(self.radial.directions)


class Mixing(nn.ModuleList):
    """W_I I + W_A A + W_S S: every part's channels mixed, no bias."""

    def __init__(self, channels: int):
        super().__init__(MLP((channels, channels), "silu", bias=False, initialization="torch") for _ in SIZES)

    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Parts to parts."""
        return [mix(part) for mix, part in zip(self, parts, strict=True)]


def squared(parts: Sequence[Tensor]) -> Tensor:
    """‖X‖² of each channel `[atoms, channels]`."""
    return sum((part.square().sum(dim=1) for part in parts[1:]), start=parts[0].square().sum(dim=1))


def normalized(parts: Sequence[Tensor]) -> list[Tensor]:
    """X / (‖X‖² + 1)."""
    factor = 1.0 / (squared(parts)[:, None] + 1.0)
    return [part * factor for part in parts]


class TensorEmbedding(nn.Module):
    """X_i = Σ_j φ Z_ij (f_I I_0 + f_A A_ij + f_S S_ij), its parts mixed and scaled by its norm (sec. 3.2)."""

    def __init__(self, config: TensorNetConfig):
        super().__init__()
        channels = config.channels
        self.channels = channels
        self.pair = nn.Linear(2 * channels, channels)
        self.filters = nn.Linear(config.basis, 3 * channels)
        self.norm = nn.LayerNorm(channels)
        self.gates = MLP((channels, 2 * channels, 3 * channels), "silu", initialization="torch")
        self.mix = Mixing(channels)

    def forward(self, x: Tensor, edges: MatrixEdges) -> list[Tensor]:
        """`x [atoms, channels]` to the parts of X."""
        of_center, of_neighbor = self.pair.weight.chunk(2, dim=1)
        center, neighbor = functional.linear(x, of_center, self.pair.bias), x @ of_neighbor.T
        parts = self.sums(center, neighbor, edges)
        if edges.at_zero is not None:  # a direction of zero length has no matrices but the unit matrix
            weights = self.filters(edges.at_zero)[:, : self.channels]
            parts[0] = parts[0] + 3**0.5 * ((center + neighbor) * weights)[:, None]
        gates = functional.silu(self.gates(self.norm(squared(parts)))).chunk(3, dim=1)
        return [gate[:, None] * part for gate, part in zip(gates, self.mix(parts), strict=True)]

    def sums(self, center: Tensor, neighbor: Tensor, edges: MatrixEdges) -> list[Tensor]:
        """Σ_j φ Z_ij f ∘ (I_0, A_ij, S_ij) with Z_ij = center_i + neighbor_j."""
        graph, hood = edges.radial.graph, edges.radial.graph.rows()
        weights = edges.radial.filters(self.filters, 3)
        between = hood.of_centers(center) + neighbor.index_select(0, hood.neighbors)
        matrices = hood.pad(edges.matrices).split(SIZES, dim=1)
        return [
            hood.contract(matrix[:, None], (between * hood.pad(graph.spread(weight)))[:, None])
            for matrix, weight in zip(matrices, weights, strict=True)
        ]


class Interaction(nn.Module):
    """X + ΔX + ΔX², ΔX from Y M + M Y with M_i = Σ_j φ (f_I I_j + f_A A_j + f_S S_j) of Y (sec. 3.3)."""

    def __init__(self, config: TensorNetConfig, product: BilinearProduct):
        super().__init__()
        channels = config.channels
        self.filters = MLP((config.basis, channels, 2 * channels, 3 * channels), "silu", initialization="torch")
        self.inward, self.outward = Mixing(channels), Mixing(channels)
        self.product, self.grows = product, config.group == "O(3)"

    def forward(self, parts: Sequence[Tensor], edges: MatrixEdges) -> list[Tensor]:
        """Parts of X to parts of X after the interaction."""
        parts = normalized(parts)
        y = self.inward(parts)
        m = self.message(y, edges)
        c = self.product(torch.cat(m, dim=1), torch.cat(y, dim=1))
        c = c * edges.growth if self.grows else c
        change = self.outward(normalized(c.split(SIZES, dim=1)))
        joined = torch.cat(change, dim=1)
        square = (0.5 * edges.growth * self.product(joined, joined)).split(SIZES, dim=1)
        return [x + dx + dx2 for x, dx, dx2 in zip(parts, change, square, strict=True)]

    def message(self, y: Sequence[Tensor], edges: MatrixEdges) -> list[Tensor]:
        """The parts of M."""
        radial = edges.radial
        filters = functional.silu(self.filters(radial.expansion)) * radial.envelope[:, None]
        sums = [radial.filtered(part, weight) for part, weight in zip(y, filters.chunk(3, dim=1), strict=True)]
        if edges.at_zero is None:
            return sums
        own = functional.silu(self.filters(edges.at_zero)).chunk(3, dim=1)
        return [total + part * weight[:, None] for total, part, weight in zip(sums, y, own, strict=True)]


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
        table = multiplication()  # of M and Y, in this order
        table = table.transpose(1, 0, 2) + (table if config.group == "O(3)" else table.transpose(1, 0, 2))
        product = BilinearProduct(table)
        self.tensors = TensorEmbedding(config)
        self.interactions = nn.ModuleList(Interaction(config, product) for _ in range(config.layers))
        self.norm = nn.LayerNorm(3 * channels)
        self.outward = nn.Linear(3 * channels, channels)
        if config.head == "dense":
            self.head = MLP((channels, channels // 2, 1), "silu")
        else:
            self.head = GatedMLP((channels, channels, channels, channels, 1), linear_end=True)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def features(self, graph: Graph) -> Tensor:
        """Invariants of each atom before the output network `[atoms, channels]`."""
        system = graph.system
        charge = system.charge.to(system.positions.dtype)[system.system]
        zero = self.basis(charge.new_zeros(1)) if self.config.self_neighbor else None
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
