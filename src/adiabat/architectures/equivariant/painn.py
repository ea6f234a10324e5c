"""PaiNN: message passing of scalars and vectors over interatomic directions.

K. T. Schütt, O. T. Unke and M. Gastegger, ICML 2021, arXiv:2102.03150 (doi:10.48550/arXiv.2102.03150); program whose
numbers it gives: SchNetPack 2 (doi:10.1063/5.0138367).

| paper | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| s_i | `s` | [atoms, channels], 1 |
| v_i (arrow) | `v` | [atoms, 3, channels], 1 |
| r_ij / ‖r_ij‖ | `edges.directions`, from i to j | [pairs, 3], 1 |
| f_cut(‖r_ij‖) | `edges.envelope` | [halves], 1 |
| 𝒲_s, 𝒲_vs, 𝒲_vv | `w_s`, `w_vs`, `w_vv`, times f_cut | [halves, channels], 1 |
| φ_s, φ_vs, φ_vv | `phi_s`, `phi_vs`, `phi_vv` | [atoms, channels], 1 |
| U v_i, V v_i | `uv`, `vv`, from one matrix `mix` | [atoms, 3, channels], 1 |
| a_ss, a_vv, a_sv | `a_ss`, `a_vv`, `a_sv` | [atoms, channels], 1 |
| ε_i | `atomic_energies` | [atoms], model's energy unit |
| q_i, μ | `charges`, `dipole` | [atoms], e; [systems, 3], e·Å |

Departures from the paper, all as in SchNetPack 2: distances are expanded in Gaussians from 0 to the cutoff with their
spacing as width instead of sin(nπr/r_c)/r; ‖V v_i‖ is √(|V v_i|² + epsilon), which is smooth where vectors vanish;
charges are shifted alike to add up to the system's total charge. Periodic images count as neighbors. The dipole takes
positions as they are given: of a charged system it depends on the origin, of a periodic one on the choice of images.
The vectors are zero at first, so the first message leaves 𝒲_vv out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.kernels.vector_message import VectorMessage
from adiabat.kernels.vector_update import VectorUpdate
from adiabat.nn.convolution import RadialEdges, tabulated
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.dipole import LatentDipole
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.mlp import MLP, dense
from adiabat.nn.radial import GaussianBasis
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy

Filters = Sequence[Tensor] | VectorMessage  # 𝒲_s, 𝒲_vs and 𝒲_vv of a layer, each [halves, channels]


class PaiNNConfig(ArchitectureConfig):
    """Options of PaiNN; the defaults are those of the ethanol model published with SchNetPack 2."""

    method: Literal["painn"] = "painn"
    """Name of the architecture."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    channels: int = Field(default=128, ge=2)
    """Scalars of an atom, and vectors too, F."""
    layers: int = Field(default=3, ge=1)
    """Message and update blocks."""
    basis: int = Field(default=20, ge=2)
    """Gaussians from 0 to the cutoff."""
    shared_filters: bool = False
    """Whether all layers filter with the same 𝒲."""
    epsilon: float = Field(default=1e-8, gt=0.0)
    """Added to squared lengths of the vectors V v before the root."""
    dipole: bool = False
    """Whether to predict the dipole too, from latent charges and atomic dipoles; give its loss a weight then."""


class Message(nn.Module):
    """Δs_i = Σ_j φ_s(s_j) ∘ 𝒲_s, Δv_i = Σ_j v_j ∘ φ_vv(s_j) ∘ 𝒲_vv + φ_vs(s_j) ∘ 𝒲_vs r_ij/‖r_ij‖ (eqs. 7, 8)."""

    def __init__(self, config: PaiNNConfig):
        super().__init__()
        self.channels = config.channels
        self.phi = MLP((config.channels, config.channels, 3 * config.channels), "silu")

    def forward(self, s: Tensor, v: Tensor | None, filters: Filters, edges: RadialEdges) -> tuple[Tensor, Tensor]:
        """The features after the message; `v` is None where all vectors are zero."""
        if isinstance(filters, VectorMessage):
            spread = edges.graph.spread
            r, f_cut = spread(edges.distances), spread(edges.envelope)
            return filters(self.phi(s), r, f_cut, edges.directions, s, v, edges.index)
        phi_s, phi_vs, phi_vv = self.phi(s).split(self.channels, dim=1)
        w_s, w_vs, w_vv = filters
        dv = edges.directed(phi_vs, w_vs)
        if v is not None:
            dv = v + dv + edges.filtered(v * phi_vv[:, None], w_vv)
        return s + edges.filtered(phi_s, w_s), dv


class Update(nn.Module):
    """Δs_i = a_ss + a_sv ⟨U v_i, V v_i⟩ and Δv_i = a_vv U v_i with a(s_i, ‖V v_i‖) (eqs. 9 and 10)."""

    def __init__(self, config: PaiNNConfig):
        super().__init__()
        self.channels, self.epsilon = config.channels, config.epsilon
        self.mix = dense(config.channels, 2 * config.channels, bias=False)
        self.gates = MLP((2 * config.channels, config.channels, 3 * config.channels), "silu")
        self.kernel: VectorUpdate | None = None

    def freeze(self) -> None:
        """Takes the fast kernel for good."""
        self.kernel = VectorUpdate(self.mix, *self.gates.layers, self.epsilon)  # type: ignore[arg-type]

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The features after the update."""
        if self.kernel is not None:
            return self.kernel(s, v)
        vv, uv = self.mix(v).split(self.channels, dim=2)
        lengths = (vv.square().sum(dim=1) + self.epsilon).sqrt()
        a_ss, a_vv, a_sv = self.gates(torch.cat((s, lengths), dim=1)).split(self.channels, dim=1)
        return s + a_ss + a_sv * (uv * vv).sum(dim=1), v + a_vv[:, None] * uv


class PaiNN(AtomicPotential):
    """Embedding, message and update blocks by turns, output network, sum over atoms (fig. 2)."""

    config: PaiNNConfig
    radial = True

    def __init__(self, config: PaiNNConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        self.embedding = ElementEmbedding(self.elements, config.channels)
        self.basis = GaussianBasis(config.basis, 0.0, config.cutoff)
        self.envelope = CosineCutoff(config.cutoff)
        sets = 1 if config.shared_filters else config.layers
        self.filters = dense(config.basis, sets * 3 * config.channels)
        self.messages = nn.ModuleList(Message(config) for _ in range(config.layers))
        self.updates = nn.ModuleList(Update(config) for _ in range(config.layers))
        self.head = MLP((config.channels, config.channels // 2, 1), "silu")
        self.dipole = LatentDipole(config.channels) if config.dipole else None
        self.frozen_filters: list[VectorMessage] = []

    def freeze(self) -> None:
        every = tabulated(self.filters, self.basis, self.cutoff)
        self.frozen_filters = [VectorMessage(table) for table in every.split(3 * self.config.channels)]
        for part in (*self.updates, *(message.phi for message in self.messages), self.head):
            part.freeze()  # type: ignore[operator]

    def layer_filters(self, edges: RadialEdges) -> Sequence[Filters]:
        """The 𝒲_s, 𝒲_vs and 𝒲_vv of every layer from one network; tables of r where it is frozen."""
        sets = 1 if self.config.shared_filters else self.config.layers
        filters: Sequence[Filters] = self.frozen_filters
        if not filters:
            every = edges.filters(self.filters, 3 * sets)
            filters = [every[3 * k : 3 * k + 3] for k in range(sets)]
        return [*filters] * (self.config.layers // sets)

    def features(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Scalars `[atoms, channels]` and vectors `[atoms, 3, channels]` after the last update."""
        edges = RadialEdges.of(graph, self.basis, self.envelope)
        s, v = self.embedding(graph.system.numbers), None
        for message, update, filters in zip(self.messages, self.updates, self.layer_filters(edges), strict=True):
            s, v = message(s, v, filters, edges)
            s, v = update(s, v)
        assert v is not None  # there is at least one layer
        return s, v

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.head(self.features(graph)[0])[:, 0]

    def forward(self, graph: Graph) -> Prediction:
        if self.dipole is None or graph.owned is not None:  # with ghosts the whole system's charge is not known
            return super().forward(graph)
        s, v = self.features(graph)
        atomic = self.head(s)[:, 0]
        charges, dipole = self.dipole(s, v, graph.system)
        return Prediction(total_energy(atomic, graph), atomic_energies=atomic, charges=charges, dipole=dipole)
