"""SchNet: continuous-filter convolutions over interatomic distances.

K. T. Schütt, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Müller, J. Chem. Phys. 148, 241722 (2018),
doi:10.1063/1.5019779; programs whose numbers it gives: SchNetPack 2 (doi:10.1063/5.0138367) and PyTorch Geometric.

| paper | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| x_i^l | `x` | [atoms, channels], 1 |
| d_ij | `edges.distances` | [halves], Å |
| e_k(d_ij) | `edges.expansion` | [halves, basis], 1 |
| f_cut(d_ij) | `edges.envelope` | [halves], 1 |
| W^l | `convolution.filters(edges.expansion)` | [halves, filters], 1 |
| v_i^l | `interaction(x, edges)` | [atoms, channels], 1 |
| E_i | `atomic_energies` | [atoms], model's energy unit |

Departures from the paper, all as in SchNetPack 2: the filter network has an activation after its first layer only;
the Gaussians spread from 0 to the cutoff with their spacing as width, instead of every 0.1 Å; every filter, its bias
included, is multiplied by a cosine cutoff, which makes the energy continuous; the output network's activation is
SiLU (`head_activation`; PyTorch Geometric keeps the paper's shifted softplus). Periodic images count as neighbors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.nn.convolution import ContinuousFilterConvolution, RadialEdges
from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.mlp import MLP, dense
from adiabat.nn.radial import GaussianBasis
from adiabat.potential import ArchitectureConfig, AtomicPotential


class SchNetConfig(ArchitectureConfig):
    """Options of SchNet; the defaults are those of the ethanol model published with SchNetPack 2."""

    method: Literal["schnet"] = "schnet"
    """Name of the architecture."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    channels: int = Field(default=128, ge=2)
    """Features of an atom, F."""
    layers: int = Field(default=6, ge=0)
    """Interaction blocks, T."""
    basis: int = Field(default=20, ge=2)
    """Gaussians from 0 to the cutoff."""
    filters: int | None = Field(default=None, ge=1)
    """Channels of the convolution; as many as `channels` if not given."""
    head_activation: Literal["silu", "shifted-softplus"] = "silu"
    """Activation of the output network."""


class Interaction(nn.Module):
    """v = atomwise(ssp(atomwise(cfconv(atomwise(x))))): one interaction block (fig. 2, middle)."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        filters = config.filters or config.channels
        self.inward = dense(config.channels, filters, bias=False)
        self.convolution = ContinuousFilterConvolution(config.basis, filters, "shifted-softplus")
        self.outward = MLP((filters, config.channels, config.channels), "shifted-softplus")

    def forward(self, x: Tensor, edges: RadialEdges) -> Tensor:
        """Update of the features `[atoms, channels]`."""
        return self.outward(self.convolution(self.inward(x), edges))


class SchNet(AtomicPotential):
    """Embedding, T interaction blocks with residual connections, output network, sum over atoms (fig. 2, left)."""

    radial = True

    def __init__(self, config: SchNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        self.embedding = ElementEmbedding(self.elements, config.channels)
        self.basis = GaussianBasis(config.basis, 0.0, config.cutoff)
        self.envelope = CosineCutoff(config.cutoff)
        self.interactions = nn.ModuleList(Interaction(config) for _ in range(config.layers))
        self.head = MLP((config.channels, config.channels // 2, 1), config.head_activation)

    def freeze(self) -> None:
        for interaction in self.interactions:
            interaction.convolution.freeze(self.basis, self.cutoff)  # type: ignore[union-attr, operator]

    def features(self, graph: Graph) -> Tensor:
        """Atoms in their neighborhoods, x_i^T `[atoms, channels]`."""
        edges = RadialEdges.of(graph, self.basis, self.envelope)
        x = self.embedding(graph.system.numbers)
        for interaction in self.interactions:
            x = x + interaction(x, edges)
        return x

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.head(self.features(graph))[:, 0]
