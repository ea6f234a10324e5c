"""Potential, the one interface of every model, and Prediction, what it gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from adiabat.elements import MAX_NUMBER
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph
from adiabat.geometry.records import replace
from adiabat.geometry.system import check_elements
from adiabat.kernels.pairs import PairIndex
from adiabat.settings import Settings

if TYPE_CHECKING:
    from adiabat.compile import CompiledPotential


@dataclass(frozen=True)
class Prediction:
    """What a potential gives for a batch. Everything but the energy may be absent.

    Attributes:
        energy: `[systems]`, eV, float64; NaN of models that give none.
        atomic_energies: `[atoms]`, eV.
        forces: `[atoms, 3]`, eV/Å.
        stress: `[systems, 3, 3]`, eV/Å³, ASE's sign (tension positive); NaN for systems without periodicity.
        magnetic_forces: −dE/dm of moments that are held `[atoms, 3]`, eV/μB.
        hessian: `[3·atoms, 3·atoms]`, eV/Å², of a single system.
        charges: `[atoms]`, e.
        dipole: `[systems, 3]`, e·Å.
        polarizability: `[systems, 3, 3]`, e·Å²/V.
        magnetic_moments: `[atoms]`, μB.
        property: `[systems, n]`, what models of some other property give, in its unit.
        uncertainty: `[systems]`, eV, one standard deviation.
        properties: further named per-atom tensors that later terms of a Sum may read.
    """

    energy: Tensor
    atomic_energies: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    magnetic_forces: Tensor | None = None
    hessian: Tensor | None = None
    charges: Tensor | None = None
    dipole: Tensor | None = None
    polarizability: Tensor | None = None
    magnetic_moments: Tensor | None = None
    property: Tensor | None = None
    uncertainty: Tensor | None = None
    properties: Mapping[str, Tensor] = field(default_factory=dict)

    def replace(self, **changes: Any) -> Prediction:
        """A copy with some fields changed."""
        return replace(self, **changes)


class ArchitectureConfig(Settings):
    """Base of every architecture's configuration; `method` names the page."""

    method: str
    """Name of the architecture."""


class Potential(nn.Module):
    """Base of every model: a graph in, a Prediction out.

    A page's constructor takes `(config, elements)`. Constants that depend on training data are buffers, set by
    `adapt` before the first fit and saved with the weights.

    Attributes:
        config: the page's frozen configuration.
        elements: atomic numbers the model knows, ascending.
        cutoff: Å, of the graph the model wants; infinite for a global model.
        conservative: False if the forces are predicted directly instead of being an energy's gradient.
        local: False for global models, which know one molecule in one order and no periodicity.
        fitter: which of the fitters serves the model: gradient, linear or kernel.
        feels: which parts of an Environment enter the model; any other is refused.
        is_frozen: True for what `frozen` returns.
        radial: True if something costly depends on distances alone, so that `prepare` makes `halves`.
        gives_energy: False for models of other properties alone, which have no forces either.
        mirrored: False for models whose energy may differ between mirror images.
        physical: True if some terms have a size of their own in eV, such as Coulomb's law; the automatic scale is 1.
        masked: True if pairs beyond the cutoff change nothing, so that a longer list of them serves as well.
        precompute: True if a fit may compute `features` once a frame and step with `predict_from` alone.
    """

    conservative: ClassVar[bool] = True
    local: ClassVar[bool] = True
    fitter: ClassVar[str] = "gradient"
    feels: ClassVar[frozenset[str]] = frozenset()
    physical: ClassVar[bool] = False
    masked: ClassVar[bool] = False
    precompute: ClassVar[bool] = False
    is_frozen = False
    radial = False
    gives_energy = True
    mirrored = True

    def __init__(self, config: Settings, elements: Iterable[int], cutoff: float):
        super().__init__()
        self.config = config
        self.elements = tuple(sorted({int(z) for z in elements}))
        self.cutoff = float(cutoff)
        if not self.elements:
            raise ConfigError("a potential needs at least one element: give atomic numbers such as [1, 6, 8].")

    def forward(self, graph: Graph) -> Prediction:
        """The model's own outputs; `adiabat.evaluate.evaluate` derives forces, stress and more from them."""
        raise NotImplementedError

    @classmethod
    def fitters(cls) -> tuple[str, ...]:
        """Fitters that can serve the page, whatever its options."""
        return (cls.fitter,)

    @classmethod
    def own_elements(cls, config: Any) -> tuple[int, ...]:
        """Atomic numbers that the options have parameters of, where they say so; none otherwise."""
        return ()

    @classmethod
    def fitter_for(cls, config: Any) -> str:
        """The fitter that serves the page with these options."""
        return cls.fitter

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets data-dependent constants from training graphs (neighbor averages, descriptor ranges)."""

    def prepare(self, graph: Graph) -> Graph:
        """The graph with everything whose size depends on the data made beforehand (`layout`, `triplets`, `halves`).

        The model gives the same without; a compiled one needs it, because only what comes as an input can vary in
        size. Pages that make such things override this.
        """
        if self.is_frozen:
            return graph.replace(layout=PairIndex.of_graph(graph))
        return graph.with_halves() if self.radial else graph

    def frozen(self) -> Self:
        """A copy for inference on this machine's CPU: tabulated radial networks and hand-written kernels.

        Its energies differ from the model's by the tables' error, about 1e-8 relative; forces are their exact
        derivatives. It keeps its dtype, cannot be trained or saved and has no Hessian.

        Raises:
            CapabilityError: the method has no kernels, or this machine no compiler for them.
        """
        made = copy.deepcopy(self).requires_grad_(False)
        made.freeze()
        for part in made.modules():
            if isinstance(part, Potential):
                part.is_frozen = True
        return made

    def freeze(self) -> None:
        """Makes the blocks of this model take their kernels, for good; for `frozen`, which hands in a copy."""
        raise CapabilityError(f"{type(self).__name__} has no fast kernels.")

    def features(self, graph: Graph) -> Any:
        """What the trained part reads of a graph, for models with `precompute`: has `batch`, `to` and `numbers`."""
        raise CapabilityError(f"{type(self).__name__} has no features that could be kept between steps.")

    def predict_from(self, features: Any, want: Collection[str] = ("energy", "forces")) -> Prediction:
        """The prediction, forces and stress included, from stored features; differentiable in the weights."""
        raise CapabilityError(f"{type(self).__name__} cannot predict from stored features.")

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """Takes over saved parameters and buffers; pages whose shapes depend on training data override this."""
        self.load_state_dict(dict(arrays), strict=True)

    def check(self, graph: Graph) -> None:
        """Refuses what the model cannot feel or does not know."""
        check_elements(graph.system.numbers, self.elements)
        environment = graph.system.environment
        if environment is not None:
            given = {name for name in ("field", "charges", "moments") if getattr(environment, name) is not None}
            if given - self.feels:
                raise CapabilityError(
                    f"{type(self).__name__} cannot feel the environment's {' and '.join(sorted(given - self.feels))}:"
                    " take a model that can, or leave the environment away."
                )

    def compiled(
        self, want: Collection[str] = ("energy", "forces", "stress"), backend: Literal["auto", "inductor"] = "auto"
    ) -> CompiledPotential:
        """A fast `graph -> Prediction` of everything in `want`; see `adiabat.compile.compiled`."""
        from adiabat.compile import compiled

        return compiled(self, want, backend)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters, which the graph must have too."""
        for tensor in chain(self.parameters(), self.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return torch.float64

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        for tensor in chain(self.parameters(), self.buffers()):
            return tensor.device
        return torch.device("cpu")


class AtomicPotential(Potential):
    """A potential whose energy is a sum over atoms."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        """Energy of each atom `[atoms]`, eV."""
        raise NotImplementedError

    def forward(self, graph: Graph) -> Prediction:
        atomic = self.atomic_energies(graph)
        return Prediction(energy=total_energy(atomic, graph), atomic_energies=atomic)


def total_energy(atomic: Tensor, graph: Graph) -> Tensor:
    """Sum of `[atoms, ...]` over the owned atoms of each system, in float64 `[systems, ...]`."""
    values = atomic.double()
    if graph.owned is not None:
        owned = graph.owned.view(-1, *(1,) * (values.dim() - 1))
        values = torch.where(owned, values, torch.zeros_like(values))
    return graph.system.sum_over_atoms(values)


class Wrapped(Potential):
    """A potential around another one, `model`, whose kind and needs it shares."""

    def __init__(self, model: Potential):
        super().__init__(model.config, model.elements, model.cutoff)
        self.model = model

    # class variables of the inner model, seen through the wrapper
    @property
    def conservative(self) -> bool:  # type: ignore[override]
        return self.model.conservative

    @property
    def local(self) -> bool:  # type: ignore[override]
        return self.model.local

    @property
    def fitter(self) -> str:  # type: ignore[override]
        return self.model.fitter

    @property
    def feels(self) -> frozenset[str]:  # type: ignore[override]
        return self.model.feels

    @property
    def precompute(self) -> bool:  # type: ignore[override]
        return self.model.precompute

    @property
    def mirrored(self) -> bool:  # type: ignore[override]
        return self.model.mirrored

    @property
    def gives_energy(self) -> bool:  # type: ignore[override]
        return self.model.gives_energy

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    def check(self, graph: Graph) -> None:
        self.model.check(graph)  # a page may refuse more than unknown elements

    def prepare(self, graph: Graph) -> Graph:
        return self.model.prepare(graph)


class Referenced(Wrapped):
    """A model in its own scale, plus one reference energy per element: E = scale · E_model + Σ_i E0(Z_i).

    Training data decide both (see `adiabat.data.statistics`), so that the model itself sees numbers of order one.
    """

    def __init__(self, model: Potential, reference: Mapping[int, float] | None = None, scale: float = 1.0):
        super().__init__(model)
        self.register_buffer("reference", torch.zeros(MAX_NUMBER + 1, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(float(scale), dtype=torch.float64))
        for number, energy in (reference or {}).items():
            self.reference[number] = energy

    def freeze(self) -> None:
        self.model.freeze()

    def features(self, graph: Graph) -> Any:
        return self.model.features(graph)

    def predict_from(self, features: Any, want: Collection[str] = ("energy", "forces")) -> Prediction:
        return self._rescaled(self.model.predict_from(features, want), features.numbers, features.sum_over_atoms)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        self.model.adapt(graphs)

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        inner = {k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")}
        self.model.load_arrays(inner)
        self.reference.copy_(arrays["reference"])
        self.scale.copy_(arrays["scale"])

    def _apply(self, fn: Any, recurse: bool = True) -> Referenced:
        # .float() reaches the model alone: total energies of 1e5 eV need float64 whatever the model's type
        super()._apply(fn, recurse)
        self.reference = self.reference.double()
        self.scale = self.scale.double()
        return self

    def forward(self, graph: Graph) -> Prediction:
        return self._rescaled(self.model(graph), graph.system.numbers, lambda e: total_energy(e, graph))

    def _rescaled(self, inner: Prediction, numbers: Tensor, total: Callable[[Tensor], Tensor]) -> Prediction:
        reference = self.reference[numbers]
        changes: dict[str, Tensor] = {"energy": self.scale * inner.energy + total(reference)}
        if inner.atomic_energies is not None:
            changes["atomic_energies"] = self.scale * inner.atomic_energies + reference
        for name in ("forces", "stress", "magnetic_forces", "hessian", "uncertainty"):
            value = getattr(inner, name)
            if value is not None:
                changes[name] = self.scale.to(value.dtype) * value
        return inner.replace(**changes)
