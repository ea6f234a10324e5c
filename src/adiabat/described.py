"""Potentials made of a descriptor and a head: any of the one with any of the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor, element_index
from adiabat.descriptors.features import Features, describe
from adiabat.descriptors.scaling import FeatureScaling, Rule
from adiabat.errors import ConfigError, did_you_mean
from adiabat.geometry import Graph
from adiabat.kernels.rows import AtomKernel
from adiabat.nn.activations import ACTIVATIONS
from adiabat.nn.gaussian_process import GaussianProcessHead, KernelOptions, Selection
from adiabat.nn.heads import Head, LinearHead, LinearInWeights, NetworkHead, PairEnds, QuadraticHead
from adiabat.potential import AtomicPotential, Prediction, total_energy
from adiabat.settings import Kinds, Settings, of_kind


class RegressorConfig(Settings):
    """Base of every regressor's configuration; `kind` names it."""

    kind: str
    """Name of the regressor."""

    def build(self, descriptor: Descriptor) -> Head:
        """The head for a descriptor."""
        raise NotImplementedError

    @property
    def scaling(self) -> Rule:
        """How features are scaled before they reach the head."""
        return "none"

    @property
    def fitter(self) -> str:
        """linear where the energy is linear in the weights, else gradient."""
        return "linear"


class LinearConfig(RegressorConfig):
    """Linear in the features."""

    kind: Literal["linear"] = "linear"
    """Name of the regressor."""

    def build(self, descriptor: Descriptor) -> Head:
        return LinearHead(len(descriptor.elements), descriptor.size)


class QuadraticConfig(RegressorConfig):
    """Linear in the features and their products."""

    kind: Literal["quadratic"] = "quadratic"
    """Name of the regressor."""
    features: Rule = "sigma"
    """Scaling of the features, as in `network`: products of what is not centered are nearly the features again."""

    def build(self, descriptor: Descriptor) -> Head:
        return QuadraticHead(len(descriptor.elements), descriptor.size)

    @property
    def scaling(self) -> Rule:
        return self.features


class GaussianProcessConfig(RegressorConfig):
    """Sparse Gaussian process; with as many points as environments, kernel ridge regression."""

    kind: Literal["gaussian_process"] = "gaussian_process"
    """Name of the regressor."""
    kernel: KernelOptions = KernelOptions()
    """The kernel."""
    points: int = Field(default=300, ge=1)
    """Sparse points of each element."""
    selection: Selection = "cur"
    """How they are chosen among training atoms: cur, farthest, kmeans or random."""
    features: Rule = "none"
    """Scaling of the features, as in `network`; none keeps their directions, which dot_product compares."""

    def build(self, descriptor: Descriptor) -> Head:
        kinds, size = len(descriptor.elements), descriptor.size
        return GaussianProcessHead(kinds, size, self.points, self.kernel, self.selection)

    @property
    def scaling(self) -> Rule:
        return self.features


class NetworkConfig(RegressorConfig):
    """A network for each element, or the average of a committee of them."""

    kind: Literal["network"] = "network"
    """Name of the regressor."""
    hidden: tuple[int, ...] = (25, 25)
    """Nodes of each hidden layer."""
    trunk: tuple[int, ...] = ()
    """Nodes of layers before those, the same for the atoms of all elements."""
    activation: str = "tanh"
    """Activation function of the hidden layers."""
    members: int = Field(default=1, ge=1)
    """Networks whose average is taken."""
    features: Rule = "sigma"
    """none; range: G − min over the range; center: G − mean; range-center: both; sigma: by standard deviation."""

    def build(self, descriptor: Descriptor) -> Head:
        if self.activation not in ACTIVATIONS:
            hint = did_you_mean(self.activation, ACTIVATIONS)
            raise ConfigError(f"activation '{self.activation}' is unknown.{hint}")
        activations = (self.activation,) * len(self.hidden)
        return NetworkHead(descriptor.sizes, self.hidden, activations, self.members, self.trunk, self.activation)

    @property
    def scaling(self) -> Rule:
        return self.features

    @property
    def fitter(self) -> str:
        return "gradient"


REGRESSORS: dict[str, type[RegressorConfig]] = {
    "linear": LinearConfig,
    "quadratic": QuadraticConfig,
    "gaussian_process": GaussianProcessConfig,
    "network": NetworkConfig,
}


AnyRegressor = Annotated[
    SerializeAsAny[RegressorConfig],
    BeforeValidator(partial(of_kind, REGRESSORS, "regressor")),
    Kinds(tuple(REGRESSORS)),
]


@dataclass(frozen=True)
class Design:
    """What a frame's labels are in terms of the weights: label = row · weights.

    Attributes:
        energy: `[systems, columns]`.
        forces: `[atoms, 3, columns]`, Å⁻¹.
        stress: `[systems, 3, 3, columns]`, Å⁻³; NaN without periodicity.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor


class DescribedPotential(AtomicPotential):
    """E = Σ_i head(descriptor_i), with features scaled by the training data where the head wants it.

    Attributes:
        descriptor: makes features of environments.
        head: makes energies of features.
        kernel: makes energies of a frozen model where its descriptor and head are one kernel, else None.
        fixed: energies of atoms that no weight enters and that are added, such as a repulsion beneath, or None.
    """

    element: Tensor
    fixed: AtomicPotential | None

    def __init__(
        self, config: Settings, elements: Iterable[int], descriptor: Descriptor, head: Head, scaling: Rule = "none"
    ):
        super().__init__(config, elements, descriptor.cutoff)
        kinds = len(self.elements)
        self.descriptor, self.head, self.fixed = descriptor, head, None
        self.kernel: AtomKernel | None = None
        self.scaling = FeatureScaling(kinds, descriptor.size, scaling) if scaling != "none" else None
        self.register_buffer("element", element_index(self.elements), persistent=False)

    @classmethod
    def fitters(cls) -> tuple[str, ...]:
        return ("linear", "projection", "gradient")

    @property
    def precompute(self) -> bool:  # type: ignore[override]
        return not self.descriptor.trained and self.fixed is None

    @property
    def mirrored(self) -> bool:  # type: ignore[override]
        return self.descriptor.mirrored

    @property
    def fitter(self) -> str:  # type: ignore[override]
        if self.descriptor.trained:
            linear = isinstance(self.head, LinearHead) and self.scaling is None
            return "projection" if linear and self.descriptor.projected else "gradient"
        return "linear" if isinstance(self.head, LinearInWeights) else "gradient"

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else self.descriptor.prepare(graph))

    def check(self, graph: Graph) -> None:
        super().check(graph)
        self.descriptor.check(graph)

    def freeze(self) -> None:
        self._drop_unused()
        self.kernel = self._linear_kernel()
        if self.kernel is None:
            self.descriptor.freeze()
            self.head.freeze()

    def _linear_kernel(self) -> AtomKernel | None:
        """Energies without features on the way, for a linear head on a descriptor that knows how."""
        head = self.head
        if not isinstance(head, LinearHead) or self.scaling is not None or head.spread.numel():
            return None
        rows = head.weights.detach()[self.element[list(self.descriptor.elements)]]
        return self.descriptor.linear(rows[:, 1:], rows[:, 0])

    def _drop_unused(self) -> None:
        """Leaves out features whose weights are zero, where the descriptor then has less to do."""
        head = self.head
        if not isinstance(head, LinearHead) or self.scaling is not None or head.spread.numel():
            return
        rows = [row[1:].nonzero()[:, 0].tolist() or [0] for row in head.weights.detach()]
        if sum(map(len, rows)) >= sum(self.descriptor.sizes):
            return
        width = max(map(len, rows))
        columns = torch.tensor([row + [-1] * (width - len(row)) for row in rows])
        fewer = self.descriptor.restricted(columns)
        if fewer is not None:
            padded = torch.cat((head.weights.detach(), torch.zeros_like(head.weights[:, :1])), dim=1)
            places = torch.where(columns < 0, padded.shape[1] - 1, columns + 1)
            self.descriptor = fewer
            head.weights = nn.Parameter(torch.cat((padded[:, :1], padded.gather(1, places)), dim=1), False)

    def weight_groups(self) -> Tensor:
        """Groups of a linear head's weights, see `Descriptor.groups` `[elements, columns]`; −1 of constants."""
        if not isinstance(self.head, LinearHead):
            raise ConfigError(
                "fit.regularization group_lasso drops features of regressor linear: choose that, or lasso."
            )
        groups = self.descriptor.groups()
        return torch.cat((torch.full_like(groups[:, :1], -1), groups), dim=1)

    def atomic_energies(self, graph: Graph) -> Tensor:
        return self._with_fixed(self.regressed(graph), graph)

    def regressed(self, graph: Graph) -> Tensor:
        """Energy of each atom that the head makes of its features `[atoms]`."""
        if self.kernel is not None:
            return self.kernel(*self.descriptor.given(graph))
        element = self.element[graph.system.numbers]
        return self.head(self._scaled(self.descriptor(graph), element), element)

    def _with_fixed(self, energies: Tensor, graph: Graph) -> Tensor:
        return energies if self.fixed is None else energies + self.fixed.atomic_energies(graph)

    def forward(self, graph: Graph) -> Prediction:
        spread = self.head.spread if isinstance(self.head, LinearInWeights) else None
        if spread is None or not spread.numel():
            return super().forward(graph)
        element = self.element[graph.system.numbers]
        values = self._scaled(self.descriptor(graph), element)
        atomic = self._with_fixed(self.head(values, element), graph)
        prediction = Prediction(energy=total_energy(atomic, graph), atomic_energies=atomic)
        return prediction.replace(uncertainty=self._uncertainty(values.detach(), element, graph, spread))

    def _uncertainty(self, values: Tensor, element: Tensor, graph: Graph, spread: Tensor) -> Tensor:
        """√(φ Σ φᵀ) `[systems]` with φ the columns summed over each system's atoms and Σ the weights' covariance."""
        assert isinstance(self.head, LinearInWeights)
        parts = []
        for place in range(len(self.head.weights)):
            own = (element == place).to(values)[:, None] * self.head.columns(values, place)
            parts.append(own.new_zeros((graph.system.systems, own.shape[1])).index_add(0, graph.system.system, own))
        return (torch.cat(parts, dim=1) @ spread).norm(dim=1)

    def _scaled(self, values: Tensor, element: Tensor) -> Tensor:
        return values if self.scaling is None else self.scaling(values, element)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the descriptor's constants, the scaling and the head's from the training graphs."""
        graphs = [graph.to(dtype=torch.float64) for graph in graphs]
        self.descriptor.adapt(graphs)
        with torch.no_grad():
            dtype = self.dtype if self.descriptor.trained else torch.float64
            rows = torch.cat([self.descriptor(g.to(dtype=dtype)).to(torch.float64) for g in graphs])
            element = self.element[torch.cat([g.system.numbers for g in graphs])]
            if self.scaling is not None:
                self.scaling.adapt(rows, element)
            self.head.adapt(self._scaled(rows, element), element)

    def load_arrays(self, arrays: Any) -> None:
        spread = arrays.get("head.spread")
        if spread is not None:
            self.head.register_buffer("spread", torch.zeros_like(spread))
        super().load_arrays(arrays)

    def features(self, graph: Graph) -> Features:
        """Scaled values and slopes, in float64."""
        found = describe(self.descriptor, graph.to(dtype=torch.float64))
        if self.scaling is not None:
            found = self.scaling.scaled(found, self.element[found.numbers])
        return found.to(dtype=self.dtype)

    def predict_from(self, features: Features, want: Collection[str] = ("energy", "forces")) -> Prediction:
        return predict_from(self.head, features, self.element[features.numbers], want)

    def design(self, features: Features, stress: bool = False) -> Design:
        """Rows of the design matrix of some frames, for a head that is linear in its weights.

        Args:
            features: of the frames.
            stress: whether rows of the stress are wanted; they are zero otherwise.
        """
        head = self.head
        assert isinstance(head, LinearInWeights)
        kinds, width = head.weights.shape
        values, element = features.values, self.element[features.numbers]
        centers, neighbors = features.pairs
        energy = values.new_zeros((len(features), kinds * width))
        forces = values.new_zeros((len(values), 3, kinds * width))
        strained = values.new_zeros((len(features) if stress else 0, 3, 3, kinds * width))
        for place in range(kinds):
            block = slice(place * width, (place + 1) * width)
            atoms = (element == place).nonzero()[:, 0]
            pairs = (element[centers] == place).nonzero()[:, 0]
            owner = torch.zeros_like(element)
            owner[atoms] = torch.arange(len(atoms))
            own = values[atoms]
            ends = PairEnds(
                centers[pairs],
                neighbors[pairs],
                len(values),
                features.vectors[pairs] if stress else None,
                features.system[centers[pairs]],
                len(features),
            )
            energy[:, block] = torch.zeros_like(energy[:, block]).index_add(
                0, features.system[atoms], head.columns(own, place)
            )
            pulled, strain = head.pulls(own, features.jacobian[pairs], owner[centers[pairs]], place, ends)
            forces[:, :, block] = pulled
            if strain is not None:
                strained[..., block] = 0.5 * (strain + strain.transpose(1, 2))
        if stress:
            strained = strained / features.volume[:, None, None, None]
        return Design(energy, forces, strained)


def predict_from(head: nn.Module, features: Features, element: Tensor, want: Collection[str]) -> Prediction:
    """Energies of a head on stored features, with forces and stress from the features' slopes if wanted.

    Differentiable in the head's weights where gradients are recorded.
    """
    learning, derive = torch.is_grad_enabled(), bool({"forces", "stress"} & set(want))
    with torch.enable_grad():
        values = features.values.detach().requires_grad_()
        atomic = head(values, element)
        slopes = torch.autograd.grad(atomic.sum(), values, create_graph=learning)[0] if derive else None
    atomic = atomic if learning else atomic.detach()
    prediction = Prediction(energy=features.sum_over_atoms(atomic.double()), atomic_energies=atomic)
    if slopes is None:
        return prediction
    along = features.pair_slopes(slopes)
    stress = features.stress(along) if "stress" in want else None
    return prediction.replace(forces=features.forces(along), stress=stress)


class ElementNetworksPotential(DescribedPotential):
    """E = Σ_i of a network for each element on a descriptor without parameters, scaled by the training data.

    A page gives options with `descriptor()`, `hidden` and `activation`, see `NetworkConfig`.
    """

    head: NetworkHead

    @classmethod
    def fitters(cls) -> tuple[str, ...]:
        return ("gradient",)

    @classmethod
    def fitter_for(cls, config: Any) -> str:
        return "gradient"

    def __init__(self, config: Any, elements: Iterable[int]):
        descriptor = config.descriptor().build(sorted({int(z) for z in elements}))
        network = NetworkConfig(hidden=config.hidden, activation=config.activation)
        super().__init__(config, descriptor.elements, descriptor, network.build(descriptor), network.scaling)
