"""Behler-Parrinello element networks on symmetry functions.

J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401;
program whose numbers it gives: n2p2, doi:10.1021/acs.jctc.8b00770.

| paper | here | shape, unit |
|---|---|---|
| R_ij | `graph.vectors()` | [pairs, 3], Å |
| G_i^μ | `features` | [atoms, size], 1 |
| scaled G | `self.scaling` | [atoms, size], 1 |
| E_i (eq. 1) | `atomic_energies` | [atoms], eV |
| dE/dG | `slopes` | [atoms, size], eV |
| dG/dR | `Features.jacobian` | [pairs, size, 3], Å⁻¹ |

Departures from the paper: two hidden layers of 25 nodes and the scaling rules follow n2p2; the default symmetry
functions are one compact recipe for every combination of elements instead of a hand-picked list; on request the
networks see principal components of the scaled functions, which trains faster; energies are in units of the data's
scale and relative to reference energies when wrapped in `Referenced`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.described import predict_from
from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.features import Features, describe
from adiabat.descriptors.scaling import FeatureScaling, Rule
from adiabat.descriptors.selected import Selected
from adiabat.descriptors.selection import SelectConfig
from adiabat.descriptors.symmetry_functions import WEIGHTED, Recipe, SymmetryFunction
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.symmetry_functions import SymmetryFunctions
from adiabat.nn.element_networks import ACTIVATIONS, ElementNetworks
from adiabat.nn.inner_cutoffs import CutoffKind
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction


class BPNNConfig(ArchitectureConfig):
    """Options of the element networks and their symmetry functions."""

    method: Literal["bpnn"] = "bpnn"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """R_c of the recipe, Å."""
    cutoff_function: CutoffKind = "cosine"
    """f_c: hard, cosine, tanh3, tanh3-normalized, exponential or poly1 to poly4."""
    inner: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Radius up to which f_c is 1, fraction of the cutoff."""
    recipe: Recipe = Recipe()
    """Symmetry functions for every combination of elements."""
    functions: tuple[SymmetryFunction, ...] = ()
    """Symmetry functions one by one; if given, `recipe` and `cutoff` are not used."""
    select: SelectConfig | None = None
    """Functions of each element that are used, chosen from the training data: `method` (cur, farthest, pearson,
    random), `count` and their options; null for all of them."""
    hidden: tuple[int, ...] = (25, 25)
    """Nodes of each hidden layer."""
    activations: tuple[str, ...] = ("tanh", "tanh")
    """Activation function of each hidden layer."""
    scaling: Rule = "sigma"
    """none; range: G − min over the range; center: G − mean; range-center: both; sigma: by standard deviation."""
    components: int | None = Field(default=None, ge=1)
    """Principal components of the scaled features that the networks see; null for the features themselves."""


class WACSFNNConfig(BPNNConfig):
    """Options of element networks on weighted symmetry functions (doi:10.1063/1.5019667)."""

    method: Literal["wacsf_nn"] = "wacsf_nn"  # type: ignore[assignment]
    """Name of the architecture."""
    cutoff: float = Field(default=8.0, gt=0.0)
    """R_c of the recipe, Å."""
    recipe: Recipe = WEIGHTED
    """Symmetry functions of all neighbors, weighted by their elements."""


class BPNN(AtomicPotential):
    """E = Σ_i E_{Z_i}(G_i): symmetry functions, scaled by the training data, into one network per element (eq. 1)."""

    precompute: ClassVar[bool] = True

    def __init__(self, config: BPNNConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        functions = config.functions or config.recipe.functions(elements, config.cutoff)
        super().__init__(config, elements, max(f.cutoff for f in functions))
        if len(config.activations) != len(config.hidden) or set(config.activations) - set(ACTIVATIONS):
            raise ConfigError(
                f"activations {config.activations} do not fit {len(config.hidden)} hidden layers:"
                f" give one of {', '.join(ACTIVATIONS)} for each."
            )
        whole = ACSF(functions, self.elements, config.cutoff_function, config.inner)
        self.descriptor = whole if config.select is None else Selected(whole, config.select)
        kinds, size = len(self.elements), self.descriptor.size
        if config.components is not None and config.components > size:
            raise ConfigError(
                f"components is {config.components} of {size} features: ask for fewer, or leave it out."
            )
        self.scaling = FeatureScaling(kinds, size, config.scaling, config.components)
        widths = self.descriptor.sizes if config.components is None else (config.components,) * kinds
        self.networks = ElementNetworks(widths, config.hidden, config.activations)
        self.kernel: SymmetryFunctions | None = None

    @property
    def functions(self) -> ACSF:
        """The symmetry functions that are computed."""
        used = self.descriptor.evaluated if isinstance(self.descriptor, Selected) else self.descriptor
        assert isinstance(used, ACSF)
        return used

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph) if self.is_frozen else self.descriptor.prepare(graph)

    def atomic_energies(self, graph: Graph) -> Tensor:
        element = self.descriptor.element[graph.system.numbers]
        if self.kernel is None:
            return self.networks.everywhere(self.scaling(self.descriptor(graph), element), element)
        scaled = self.kernel(graph.vectors(), element, PairIndex.of_graph(graph))
        return self.networks.everywhere(scaled, element)

    def freeze(self) -> None:
        self.kernel = self.functions.kernel().scaled(self.scaling.shift, self.scaling.factor)
        self.networks.freeze(self.scaling.mixing)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the scaling from the features of the training graphs, element by element."""
        graphs = [graph.to(dtype=torch.float64) for graph in graphs]
        self.descriptor.adapt(graphs)
        rows = torch.cat([self.functions.values(graph) for graph in graphs])
        numbers = torch.cat([g.system.numbers for g in graphs])
        self.scaling.adapt(rows, self.descriptor.element[numbers])

    def features(self, graph: Graph) -> Features:
        found = describe(self.descriptor, graph.to(dtype=torch.float64))
        return self.scaling.scaled(found, self.descriptor.element[found.numbers]).to(dtype=self.dtype)

    def predict_from(self, features: Features, want: Collection[str] = ("energy", "forces")) -> Prediction:
        return predict_from(self.networks, features, self.descriptor.element[features.numbers], want)


class WACSFNN(BPNN):
    """The same with functions whose number does not grow with that of elements."""
