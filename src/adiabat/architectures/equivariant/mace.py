"""MACE: higher-order equivariant message passing.

Batatia, Kovács, Simm, Ortner, Csányi, arXiv:2206.07697 (doi:10.48550/arXiv.2206.07697); the invariant, density and
Agnesi variants are those of the MACE-OFF and MACE-MP models (arXiv:2312.15211, arXiv:2401.00096).

| paper | here | shape, unit |
|---|---|---|
| z_i | `element` | [atoms] |
| r_ji, its length | `graph.vectors()`, `distances` | [pairs, 3], [pairs], Å |
| Y_lm | `edges.harmonics` | [slots, (l_max+1)²] |
| j_0^n f_cut, eq. 7 of the paper's SI | `edges.radial` | [slots, radial_functions] |
| h_i, eq. 13 | `features` | one [atoms, 2l+1, channels] per irrep |
| A_i, eqs. 8, 9 | `message` | one [atoms, 2l+1, channels] per irrep |
| B_i and m_i, eqs. 10, 11 | `SymmetricContraction` | one [atoms, 2L+1, channels] per irrep |
| readout R_t, eq. 14 | `readouts` | [atoms], model units |

Slots are pairs laid out in one row per atom (`adiabat.geometry.Neighborhood`).

## Departures from the paper

As in mace-torch: messages are divided by the average number of neighbors (or a learned density); the first layer may
apply its element-wise skip map to the message instead of adding it (`first_residual`); atomic energies are
`scale · (readouts + repulsion) + shift`, the repulsion within the scale. Reference energies are not part of the
page: `Referenced` adds them. Couplings are applied as polynomials of independent monomials, which changes nothing
in the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.cutoffs import PolynomialCutoff
from adiabat.nn.distance_transforms import AgnesiTransform
from adiabat.nn.edges import EdgeFeatures
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.equivariant_linear import EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irreps
from adiabat.nn.mace_interactions import Interaction, NonlinearInteraction, Shapes
from adiabat.nn.normalized import DeepReadout, NormalizedMLP
from adiabat.nn.radial import BesselBasis
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.nn.symmetric_contraction import SymmetricContraction
from adiabat.nn.zbl import ZBLRepulsion
from adiabat.potential import ArchitectureConfig, AtomicPotential


class MACEConfig(ArchitectureConfig):
    """Hyperparameters of MACE."""

    method: Literal["mace"] = "mace"
    cutoff: float = Field(default=5.0, gt=0.0)
    """Å."""
    layers: int = Field(default=2, ge=1)
    """Number of interactions."""
    hidden_irreps: str = "128x0e+128x1o"
    """Features between layers, all with the same multiplicity (the channels); the last layer keeps the first only."""
    l_max: int = Field(default=3, ge=0)
    """Highest degree of the spherical harmonics."""
    correlation: int = Field(default=3, ge=1)
    """Body order of the messages minus one, ν."""
    radial_functions: int = Field(default=8, ge=1)
    """Number of Bessel functions."""
    cutoff_power: int = Field(default=5, ge=2)
    """p of the polynomial cutoff."""
    radial_network: tuple[int, ...] = (64, 64, 64)
    """Widths of the hidden layers of the radial network."""
    readout_channels: int = Field(default=16, ge=1)
    """Width of the last readout's hidden layer."""
    average_neighbors: float | None = Field(default=None, gt=0.0)
    """Average number of neighbors, which sums over neighbors are divided by; None: taken from the training data."""
    interaction: Literal["linear", "density", "nonlinear"] = "linear"
    """Kind of interaction: as in the paper, normalized by a density, or that of the 2025 foundation models."""
    first_residual: bool = True
    """Whether the first layer adds a skip connection; otherwise its skip map acts on the message."""
    edge_irreps: str | None = None
    """Features before the product with harmonics, from the second layer on; None: as they are."""
    distance_transform: Literal["none", "agnesi"] = "none"
    """Coordinate of the radial basis."""
    cutoff_on: Literal["basis", "messages"] = "basis"
    """Whether the cutoff multiplies the radial basis before or after the radial network."""
    repulsion: bool = False
    """Whether to add the ZBL repulsion of close pairs."""
    agnostic_product: bool = False
    """Whether all elements share the weights of the symmetric contraction."""
    last_readout_only: bool = False
    """Whether only the last layer has a readout."""
    deep_readout: bool = False
    """Whether the last readout has a second hidden layer, with biases."""
    couplings: Literal["reduced", "full"] = "reduced"
    """Coupling basis: independent polynomials, or one for each coupling tree."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        later = [n for n in ("last_readout_only", "deep_readout", "edge_irreps") if getattr(self, n)]
        if self.layers == 1 and later:
            raise ValueError(f"{later[0]} has no effect on a single layer: leave it out, or use more layers")
        if self.interaction == "nonlinear" and not self.first_residual:
            raise ValueError("first_residual: the nonlinear interaction is always residual, leave it out")
        return self


class Product(nn.Module):
    """h_i = W Σ_ν U_ν w_ν A_i^ν + skip (eqs. 10, 11 and 13)."""

    def __init__(self, config: MACEConfig, irreps_in: Irreps, irreps_out: Irreps, elements: int):
        super().__init__()
        sets = 1 if config.agnostic_product else elements
        self.contraction = SymmetricContraction(irreps_in, irreps_out, config.correlation, sets, config.couplings)
        self.linear = EquivariantLinear(irreps_out, irreps_out)

    def forward(self, message: Sequence[Tensor], skip: Sequence[Tensor] | None, element: Tensor) -> list[Tensor]:
        """The next features."""
        features = self.linear(self.contraction(message, element))
        return features if skip is None else [x + s for x, s in zip(features, skip, strict=True)]


class MACE(AtomicPotential):
    """E_i = scale · Σ_t R_t(h_i^(t)) + shift with features h from many-body messages."""

    config: MACEConfig
    average: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, config: MACEConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        hidden = Irreps.parse(config.hidden_irreps)
        channels, count = hidden.channels, len(self.elements)
        self.radial = config.interaction != "nonlinear" and config.distance_transform == "none"
        if hidden.terms[0][1] != SCALAR:
            raise ConfigError(f"hidden_irreps '{hidden}' do not begin with scalars: write for example 64x0e+64x1o.")
        self.embedding = ElementEmbedding(self.elements, channels)
        self.edges = EdgeFeatures(
            SphericalHarmonics(config.l_max, normalize=False),
            BesselBasis(config.radial_functions, config.cutoff),
            PolynomialCutoff(config.cutoff, config.cutoff_power),
            AgnesiTransform() if config.distance_transform == "agnesi" else None,
            cutoff_on_basis=config.cutoff_on == "basis",
        )
        self.repulsion = ZBLRepulsion(config.cutoff_power) if config.repulsion else None
        self.interactions, self.products, self.readouts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        scalars = Irreps(hidden.terms[:1])
        before = scalars
        for layer in range(config.layers):
            last = layer == config.layers - 1
            after = scalars if last else hidden
            edge = Irreps.parse(config.edge_irreps) if config.edge_irreps and layer > 0 else before
            # without pseudotensors in the features there are none in the messages
            natural = all(ir.natural for _, ir in edge)
            message = (Irreps.spherical if natural else Irreps.both_parities)(config.l_max, channels)
            radial = (config.radial_functions, *config.radial_network)
            shapes = Shapes(before, edge, Irreps.spherical(config.l_max), message, after, count, radial)
            if config.interaction == "nonlinear":
                self.interactions.append(NonlinearInteraction(shapes))
            else:
                residual = config.first_residual or layer > 0
                self.interactions.append(Interaction(shapes, residual, config.interaction == "density"))
            self.products.append(Product(config, message, after, count))
            self.readouts.append(self._readout(last, channels))
            before = after
        self.register_buffer("average", torch.tensor(config.average_neighbors or 1.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("shift", torch.tensor(0.0))

    def _readout(self, last: bool, channels: int) -> nn.Module:
        if last and self.config.layers > 1:
            widths = (channels, self.config.readout_channels)
            return DeepReadout(*widths) if self.config.deep_readout else NormalizedMLP((*widths, 1))
        return nn.Identity() if self.config.last_readout_only else NormalizedMLP((channels, 1))

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the average number of neighbors of the atoms that have any, unless the configuration gives it."""
        if self.config.average_neighbors is None:
            counts = torch.cat([torch.bincount(g.centers) for g in graphs])
            self.average.fill_(counts[counts > 0].double().mean() if bool((counts > 0).any()) else 1.0)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def freeze(self) -> None:
        for interaction, product in zip(self.interactions, self.products, strict=True):
            interaction.freeze(self.edges, self.elements, self.cutoff)  # type: ignore[operator]
            product.contraction.freeze()  # type: ignore[union-attr, operator]

    def atomic_energies(self, graph: Graph) -> Tensor:
        graph = super().prepare(graph) if self.is_frozen else graph.replace(layout=graph.rows())
        vectors, numbers, atoms = graph.vectors(), graph.system.numbers, graph.system.atoms
        edges = self.edges(vectors, graph, self.embedding.row[numbers], self.average)
        features = [self.embedding(numbers)[:, None] * len(self.elements) ** -0.5]
        energies = features[0].new_zeros(atoms)
        if self.repulsion is not None:
            energies = self.repulsion(vectors.norm(dim=1), numbers, graph.pairs)
        for layer, (interaction, product) in enumerate(zip(self.interactions, self.products, strict=True)):
            message, skip = interaction(features, edges)
            features = product(message, skip, edges.element)
            if layer == self.config.layers - 1 or not self.config.last_readout_only:
                energies = energies + self.readouts[layer](features[0][:, 0])[:, 0]
        return self.scale * energies + self.shift
