"""NEP: one-layer networks on trained Chebyshev expansions of an atom's surroundings (neuroevolution potential).

Z. Fan et al., Phys. Rev. B 104, 104309 (2021), doi:10.1103/PhysRevB.104.104309; third version: Z. Fan et al.,
J. Chem. Phys. 157, 114801 (2022), doi:10.1063/5.0106617; fourth version, a network for each element: K. Song et al.,
Nat. Commun. 15, 10208 (2024), doi:10.1038/s41467-024-54554-x; charges (qNEP): as in GPUMD. Programs whose numbers it
gives: GPUMD and calorine.

| paper | here | shape, unit |
|---|---|---|
| r_ij | `vectors`, from center to neighbor | [pairs, 3], Å |
| q_n, q_nl, q_nl₁l₂l₃, q_n1111 | `descriptor(graph)`, see `descriptors.nep` | [atoms, size], 1 |
| q scaler | `factor` | [size], 1 |
| U_i = w¹ tanh(w⁰ q − b⁰) − b¹ | `atomic_energies` | [atoms], eV |
| charges of qNEP | `charges` | [atoms], e |

Departures from the paper: the gradient fitter trains it instead of the evolution strategy that gave it its name; the
output has a bias for each element, as in the fifth version (in a file of the third or fourth they are all equal);
signs of biases are those of torch; the scaler is the inverse range of each feature over the training data before
training, and stays as it is. Charges add up to the system's total charge instead of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import element_index
from adiabat.descriptors.nep import NEPDescriptor, NEPOptions
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.density_network import DensityNetwork
from adiabat.kernels.pairs import PairIndex
from adiabat.nn.element_networks import ElementNetworks
from adiabat.nn.ewald import EwaldSum, balanced
from adiabat.nn.switched_repulsion import SwitchedRepulsion
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy

FLAT = 1e-5  # range below which a feature stays unscaled


class NEPConfig(NEPOptions, ArchitectureConfig):
    """Options of the neuroevolution potential; the defaults are GPUMD's."""

    method: Literal["nep"] = "nep"
    """Name of the architecture."""
    hidden: int = Field(default=30, ge=1)
    """Nodes of the hidden layer."""
    networks: Literal["element", "shared"] = "element"
    """One network for each element (NEP4), or one for all (NEP3)."""
    repulsion: tuple[float, float] | None = None
    """Inner and outer radius (Å) between which a screened nuclear repulsion is switched off; null for none."""
    charges: Literal["none", "reciprocal", "full"] = "none"
    """Whether a second output is a charge: their Ewald sum, or the part of it in reciprocal space alone (qNEP)."""


class NEP(AtomicPotential):
    """U = Σ_i U_{Z_i}(q_i): scaled features into a network of one hidden layer (2021, sec. II)."""

    element: Tensor
    factor: Tensor
    index: Tensor

    def __init__(self, config: NEPConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        descriptor = NEPDescriptor(config, elements)
        _check(config, config.radii(elements))
        super().__init__(config, elements, descriptor.cutoff)
        self.descriptor = descriptor
        sizes = (self.descriptor.size,) * (len(elements) if config.networks == "element" else 1)
        self.charged = config.charges != "none"
        self.networks = ElementNetworks(sizes, (config.hidden,), ("tanh",), 1 + self.charged, last_bias=False)
        self.bias = nn.Parameter(torch.zeros(len(sizes)))
        self.ewald = EwaldSum(self.cutoff, config.charges == "full") if self.charged else None
        self.repulsion = SwitchedRepulsion(elements, *config.repulsion) if config.repulsion is not None else None
        self.register_buffer("element", element_index(elements), persistent=False)
        self.register_buffer("factor", torch.ones(self.descriptor.size))
        if self.charged:  # √ε of the electrons, for Born effective charges in other programs; energies have none
            self.register_buffer("index", torch.ones(()))
        self.kernel: DensityNetwork | None = None

    def prepare(self, graph: Graph) -> Graph:
        graph = super().prepare(graph if self.is_frozen else self.descriptor.prepare(graph))
        return graph if self.ewald is None else graph.with_waves(self.ewald.reciprocal.reach)

    def check(self, graph: Graph) -> None:
        super().check(graph)
        if self.ewald is not None and (graph.owned is not None or not bool(graph.system.pbc.all())):
            raise CapabilityError(
                "a NEP with charges needs whole systems that are periodic in three directions: put a molecule into a"
                " large cell, or fit one without charges."
            )

    def features(self, graph: Graph) -> Tensor:
        """Unscaled features of each atom `[atoms, size]`."""
        return self.descriptor(graph)

    def outputs(self, graph: Graph, vectors: Tensor) -> Tensor:
        """The networks' outputs, with repulsion in the energies: `[atoms]`, or energies and charges `[atoms, 2]`."""
        element = self.element.index_select(0, graph.system.numbers)
        if self.kernel is not None:
            found = self.kernel(vectors, element, PairIndex.of_graph(graph))
            return found if self.charged else found.squeeze(1)
        network = element if len(self.networks.sizes) > 1 else torch.zeros_like(element)
        q = self.descriptor.from_vectors(vectors, graph) * self.factor
        found = self.networks.everywhere(q, network)
        energies = (found[:, 0] if self.charged else found) + self.bias.index_select(0, network)
        if self.repulsion is not None:
            pairs = self.repulsion(vectors.norm(dim=1), self.descriptor.kinds(graph))
            energies = energies + graph.sum_over_neighbors(pairs)
        return torch.stack((energies, found[:, 1]), dim=1) if self.charged else energies

    def atomic_energies(self, graph: Graph) -> Tensor:
        found = self.forward(graph).atomic_energies
        assert found is not None
        return found

    def forward(self, graph: Graph) -> Prediction:
        vectors = graph.vectors()
        found = self.outputs(graph, vectors)
        if self.ewald is None:
            return Prediction(total_energy(found, graph), atomic_energies=found)
        energies, latent = found.unbind(1)
        charges = balanced(latent, graph.system)
        energies = energies + self.ewald(graph, vectors, charges)
        return Prediction(total_energy(energies, graph), atomic_energies=energies, charges=charges)

    def freeze(self) -> None:
        inner, last = zip(*self.networks.layers, strict=True)  # type: ignore[arg-type]
        biases = nn.functional.pad(self.bias[:, None], (0, int(self.charged)))  # charges have none
        layers = [torch.stack([layer.weight for layer in inner]), torch.stack([layer.bias for layer in inner])]
        layers += [torch.stack([layer.weight for layer in last]), biases]
        layers = [layer.expand(len(self.elements), *layer.shape[1:]) for layer in layers]
        repulsion = None if self.repulsion is None else self.repulsion.table()
        self.kernel = DensityNetwork(self.descriptor.of_kernel(self.factor), layers, repulsion)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Scales every feature by the inverse of its range over the training graphs."""
        with torch.no_grad():
            rows = torch.cat([self.features(graph.to(dtype=self.dtype)) for graph in graphs])
            spread = rows.amax(dim=0) - rows.amin(dim=0)
            self.factor.copy_(torch.where(spread > FLAT, 1.0 / spread.clamp(min=FLAT), torch.ones_like(spread)))


def _check(config: NEPConfig, radii: np.ndarray) -> None:
    if config.repulsion is not None and not 0.0 <= config.repulsion[0] < config.repulsion[1] <= radii.min():
        raise ConfigError(f"repulsion {config.repulsion} needs 0 ≤ inner < outer ≤ {radii.min()} Å, the cutoff.")
