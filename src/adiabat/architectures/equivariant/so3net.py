"""SO3net: message passing of spherical harmonics' coefficients with one filter per degree.

K. T. Schütt, S. S. P. Hessmann, N. W. A. Gebauer, J. Lederer, M. Gastegger, J. Chem. Phys. 158, 144801 (2023),
doi:10.1063/5.0138367, sec. II C; programs whose numbers it gives: SchNetPack 2 and matgl
(doi:10.1038/s41524-025-01742-y).

| paper | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| x_i,lm | `x` | [atoms, (l_max+1)², channels], 1 |
| Y_lm of r_ij/‖r_ij‖ | `edges.harmonics` | [slots, (l_max+1)²], 1 |
| C of l₁m₁, l₂m₂, lm | `natural_couplings` | [(l_max+1)²]·3, 1 |
| W_l(r_ij), with the cutoff | in `HarmonicConvolution` | [halves, channels] for each l, 1 |
| gates of x_i,00 | `gates` | [atoms, l_max+1, channels], 1 |
| E_i | `atomic_energies` | [atoms], model's energy unit |
| q_i, μ | `charges`, `dipole` | [atoms], e; [systems, 3], e·Å |

## Departures from the paper

As in SchNetPack: only couplings with even l₁ + l₂ + l, a filter belongs to the degree l₁ of the harmonics whatever it
is coupled to, and the three maps that mix channels are the same for all degrees. matgl has the polynomial cutoff
(`envelope`) and a gated network at the end (`head`). The first features are zero beyond l = 0 and are not multiplied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.nn.bilinear_product import BilinearProduct
from adiabat.nn.clebsch_gordan import natural_couplings
from adiabat.nn.convolution import RadialEdges
from adiabat.nn.cutoffs import CosineCutoff, PolynomialCutoff
from adiabat.nn.dipole import LatentDipole
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.gated_mlp import GatedMLP
from adiabat.nn.harmonic_convolution import HarmonicConvolution, HarmonicEdges
from adiabat.nn.mlp import MLP, dense
from adiabat.nn.radial import BesselBasis
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy


class SO3NetConfig(ArchitectureConfig):
    """Options of SO3net; the defaults are those of SchNetPack's configuration."""

    method: Literal["so3net"] = "so3net"
    """Name of the architecture."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    channels: int = Field(default=128, ge=2)
    """Features of an atom for each l and m."""
    layers: int = Field(default=3, ge=1)
    """Interactions."""
    l_max: int = Field(default=2, ge=0)
    """Highest degree of features and harmonics."""
    basis: int = Field(default=20, ge=1)
    """Bessel functions."""
    envelope: Literal["cosine", "polynomial"] = "cosine"
    """Cutoff function; the polynomial is 1 − 10u³ + 15u⁴ − 6u⁵."""
    head: Literal["dense", "gated"] = "dense"
    """Last network: dense with one hidden layer, or gated with three."""
    dipole: bool = False
    """Whether to predict the dipole too, from latent charges and atomic dipoles; give its loss a weight then."""

    @model_validator(mode="after")
    def _has_vectors(self) -> Self:
        if self.dipole and self.l_max == 0:
            raise ValueError("dipole needs vectors, and l_max is 0: set l_max to 1 or more")
        return self


class Interaction(nn.Module):
    """x_i + Δx_i: Σ_j Σ C Y_l₁m₁ W_l₁ ∘ x_j,l₂m₂, its product with itself, gates, and three maps of channels."""

    def __init__(self, config: SO3NetConfig, first: bool):
        super().__init__()
        channels = config.channels
        self.degrees = config.l_max + 1
        self.convolution = HarmonicConvolution(config.basis, channels, config.l_max, 1 if first else self.degrees)
        self.product = BilinearProduct(natural_couplings(config.l_max))
        self.mix1, self.mix2, self.mix3 = (dense(channels, channels, bias=False) for _ in range(3))
        self.gates = dense(channels, self.degrees * channels)

    def forward(self, x: Tensor, edges: HarmonicEdges) -> Tensor:
        """`[atoms, (l_max+1)² or 1, channels]` to `[atoms, (l_max+1)², channels]`."""
        dx = self.convolution(x, edges)
        dx = self.mix2(dx + self.product(dx, self.mix1(dx)))
        gates = torch.sigmoid(self.gates(dx[:, 0])).unflatten(1, (self.degrees, -1))
        dx = self.mix3(
            torch.cat([gates[:, l, None] * dx[:, l**2 : (l + 1) ** 2] for l in range(self.degrees)], dim=1)
        )
        if x.shape[1] == dx.shape[1]:
            return x + dx
        return torch.cat([x + dx[:, :1], dx[:, 1:]], dim=1)


class SO3Net(AtomicPotential):
    """Embedding, interactions, output network of the scalars, sum over atoms."""

    config: SO3NetConfig
    radial = True

    def __init__(self, config: SO3NetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        channels = config.channels
        self.embedding = ElementEmbedding(self.elements, channels)
        self.basis = BesselBasis(config.basis, config.cutoff)
        cosine = config.envelope == "cosine"
        self.envelope = CosineCutoff(config.cutoff) if cosine else PolynomialCutoff(config.cutoff, 3)
        self.harmonics = SphericalHarmonics(config.l_max, "integral", normalize=False)
        self.interactions = nn.ModuleList(Interaction(config, k == 0) for k in range(config.layers))
        if config.head == "dense":
            self.head = MLP((channels, channels // 2, 1), "silu")
        else:
            self.head = GatedMLP((channels, channels, channels, channels, 1), linear_end=True)
        self.dipole = LatentDipole(channels) if config.dipole else None

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def freeze(self) -> None:
        for layer in self.interactions:
            layer.product.freeze()  # type: ignore[operator, union-attr]
            layer.convolution.freeze(self.basis, self.envelope, self.cutoff)  # type: ignore[operator, union-attr]
        if isinstance(self.head, MLP):
            self.head.freeze()

    def features(self, graph: Graph) -> Tensor:
        """Features after the last interaction `[atoms, (l_max+1)², channels]`; l = 1 is (x, y, z)."""
        radial = RadialEdges.of(graph, self.basis, self.envelope)
        edges = HarmonicEdges(radial, graph.rows().pad(self.harmonics(radial.directions)))
        x = self.embedding(graph.system.numbers)[:, None]
        for interaction in self.interactions:
            x = interaction(x, edges)
        return x

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.head(self.features(graph)[:, 0])[:, 0]

    def forward(self, graph: Graph) -> Prediction:
        if self.dipole is None or graph.owned is not None:  # with ghosts the whole system's charge is not known
            return super().forward(graph)
        x = self.features(graph)
        atomic = self.head(x[:, 0])[:, 0]
        charges, dipole = self.dipole(x[:, 0], x[:, 1:4], graph.system)
        return Prediction(total_energy(atomic, graph), atomic_energies=atomic, charges=charges, dipole=dipole)
