"""ANI: networks of each element on atomic environment vectors, several of them as an ensemble.

J. S. Smith, O. Isayev and A. E. Roitberg, Chem. Sci. 8, 3192 (2017), doi:10.1039/C6SC05720A; ANI-1x:
doi:10.1063/1.5023802; ANI-2x: doi:10.1021/acs.jctc.0c00121; program whose numbers it gives: TorchANI,
doi:10.1021/acs.jcim.0c00451.

| paper | here | shape, unit |
|---|---|---|
| R_ij | `graph.vectors()` | [pairs, 3], Å |
| G_i^X (eqs. 3, 4) | `self.descriptor(graph)` | [atoms, size], 1 |
| E_T of each network (eq. 2) | `of_members` | [members, atoms], eV |
| σ of the ensemble (ANI-1x, eq. 1) | `Prediction.uncertainty` | [systems], eV |

Departures from the paper: the widths of the layers, their activation (CELU with α = 0.1 instead of a Gaussian) and
the parameters of the descriptor are those of ANI-1x; a new model has one member where the published ones have eight,
and several members that are fitted together share the data; the uncertainty is the sample standard deviation of the
members' total energies, not divided by √atoms; energies are relative to those of the elements when wrapped in
`Referenced`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.aev import AEV, Terms
from adiabat.elements import symbol
from adiabat.errors import ConfigError, did_you_mean
from adiabat.geometry import Graph
from adiabat.kernels.element_networks import PackedNetworks
from adiabat.nn.element_networks import ACTIVATIONS, ElementNetworks
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy

OTHERS = "others"


class ANIConfig(ArchitectureConfig):
    """Options of the descriptor, the networks and the ensemble; defaults are those of ANI-1x."""

    method: Literal["ani"] = "ani"
    """Name of the architecture."""
    aev: Terms = Terms()
    """Radial and angular functions of the descriptor."""
    hidden: dict[str, tuple[int, ...]] = {"H": (160, 128, 96), "C": (144, 112, 96), OTHERS: (128, 112, 96)}
    """Nodes of the hidden layers by symbol, equally many layers for all; `others` is for elements not named."""
    activation: str = "celu"
    """Activation function of the hidden layers."""
    members: int = Field(default=1, ge=1)
    """Networks whose mean is the energy."""


class ANI(AtomicPotential):
    """E = mean over members of Σ_i E_{Z_i}(G_i) (eq. 2): the descriptor into one network per element and member."""

    def __init__(self, config: ANIConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.aev.cutoff)
        if config.activation not in ACTIVATIONS:
            raise ConfigError(
                f"'{config.activation}' is not an activation.{did_you_mean(config.activation, ACTIVATIONS)}"
            )
        self.descriptor = AEV(config.aev, self.elements)
        hidden = [_widths(config.hidden, symbol(z)) for z in self.elements]
        if len({len(row) for row in hidden}) > 1:
            raise ConfigError(f"hidden {config.hidden} has rows of different lengths: give all as many layers.")
        activations = (config.activation,) * len(hidden[0])
        self.members = nn.ModuleList(
            ElementNetworks(self.descriptor.sizes, hidden, activations) for _ in range(config.members)
        )
        self.networks: PackedNetworks | None = None

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph) if self.is_frozen else self.descriptor.prepare(graph)

    def of_members(self, graph: Graph) -> Tensor:
        """Energy of each atom by each network `[members, atoms]`, eV."""
        element, rows = self.descriptor.element[graph.system.numbers], self.descriptor(graph)
        if self.networks is not None:
            return self.networks(rows, element)
        return torch.stack([member.everywhere(rows, element) for member in self.members])  # type: ignore[operator]

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self.of_members(graph).mean(dim=0)

    def forward(self, graph: Graph) -> Prediction:
        energies = self.of_members(graph)
        atomic = energies.mean(dim=0)
        prediction = Prediction(energy=total_energy(atomic, graph), atomic_energies=atomic)
        if len(self.members) == 1:
            return prediction
        totals = torch.stack([total_energy(own, graph) for own in energies.detach().unbind(0)])
        return prediction.replace(uncertainty=totals.std(dim=0))

    def freeze(self) -> None:
        members = [member.layers for member in self.members]
        self.descriptor.freeze()
        self.networks = PackedNetworks(members, self.config.activation)  # type: ignore[attr-defined, arg-type]


def _widths(hidden: dict[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    if name not in hidden and OTHERS not in hidden:
        raise ConfigError(f"hidden has no layers for {name}: add them, or '{OTHERS}' for all elements not named.")
    return hidden.get(name, hidden.get(OTHERS, ()))
