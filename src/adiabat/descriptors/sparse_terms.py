"""The processes of a GAP: pairs, angles, coordination numbers and SOAP (QUIP's descriptors of these names).

| kind | q | f | source |
|---|---|---|---|
| distance_2b | r_ij | f_c(r_ij) | doi:10.1103/PhysRevB.95.094203, eq. 2 |
| angle_3b | r_ij + r_ik, (r_ij − r_ik)², r_jk | f_c(r_ij) f_c(r_ik) | eq. 3 |
| coordination | Σ_j f_c(r_ij) | 1 | doi:10.1103/PhysRevB.90.104108 |
| soap | power spectrum | 1 | doi:10.1103/PhysRevB.87.184115 |
| soap_turbo | power spectrum of separable densities | 1 | doi:10.1103/PhysRevB.100.024112 |

As in QUIP, a pair counts once from either end, and an angle once for each order of its two neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations_with_replacement
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from adiabat.descriptors.density_expansion import shifted_cosine
from adiabat.descriptors.density_spectrum import SpectrumDescriptor
from adiabat.descriptors.kernel_terms import Instances, KernelTerm, KernelTermConfig, LocalKernelTerm
from adiabat.descriptors.soap import SOAPConfig
from adiabat.descriptors.soap_turbo import SOAPTurboConfig
from adiabat.elements import number
from adiabat.geometry import Graph
from adiabat.geometry.graph import triplets
from adiabat.settings import of_kind


class ExponentialConfig(KernelTermConfig):
    """Options of a process with the kernel exp(−Σ (q − q')² / 2θ²)."""

    cutoff: float = Field(default=4.5, gt=0.0)
    """Å."""
    width: float = Field(default=0.5, gt=0.0)
    """Width of the cosine that ends the neighborhood, Å."""
    theta: float | None = Field(default=None, gt=0.0)
    """Length scale of every component; None: from the spread of the training data."""
    theta_factor: float = Field(default=1.0, gt=0.0)
    """θ over the standard deviation of the training data, where `theta` is None."""


class Distance2BConfig(ExponentialConfig):
    """A process of distances."""

    kind: Literal["distance_2b"] = "distance_2b"
    """Name of the term."""
    elements: tuple[int | str, ...] = Field(default=(), max_length=2)
    """The two elements; none: a term for every two."""
    theta: float | None = Field(default=1.0, gt=0.0)
    """Length scale, Å; None: from the spread of the training data."""
    selection: Literal["cur", "uniform", "random"] = "uniform"
    """How sparse points are chosen: uniform, on a grid over the range; cur; random."""

    def terms(self, elements: Sequence[int]) -> list[KernelTermConfig]:
        if self.elements:
            return [self]
        every = combinations_with_replacement(sorted(elements), 2)
        return [self.model_copy(update={"elements": both}) for both in every]

    def build(self, elements: Sequence[int]) -> KernelTerm:
        return Distance2B(self, elements)


class Angle3BConfig(ExponentialConfig):
    """A process of triangles."""

    kind: Literal["angle_3b"] = "angle_3b"
    """Name of the term."""
    cutoff: float = Field(default=3.3, gt=0.0)
    """Å, of the two sides at the center."""
    center: int | str = 0
    """Element in the middle; 0: a term for every element."""
    elements: tuple[int | str, ...] = Field(default=(), max_length=2)
    """The two outer elements; none: a term for every two."""

    def terms(self, elements: Sequence[int]) -> list[KernelTermConfig]:
        centers = [self.center] if self.center else sorted(elements)
        outer = [self.elements] if self.elements else list(combinations_with_replacement(sorted(elements), 2))
        return [self.model_copy(update={"center": c, "elements": both}) for c in centers for both in outer]

    def build(self, elements: Sequence[int]) -> KernelTerm:
        return Angle3B(self, elements)


class CoordinationConfig(ExponentialConfig):
    """A process of numbers of neighbors."""

    kind: Literal["coordination"] = "coordination"
    """Name of the term."""
    cutoff: float = Field(default=3.0, gt=0.0)
    """Å."""
    center: int | str = 0
    """Element whose neighbors are counted; 0: a term for every element."""
    anywhere: bool = False
    """One term for all elements in the middle; `center` is not used."""
    neighbors: int | str = 0
    """Element of the neighbors; 0: all."""

    def terms(self, elements: Sequence[int]) -> list[KernelTermConfig]:
        centers = [self.center] if self.center or self.anywhere else sorted(elements)
        return [self.model_copy(update={"center": c}) for c in centers]

    def build(self, elements: Sequence[int]) -> KernelTerm:
        return Coordination(self, elements)


class EnvironmentTermConfig(KernelTermConfig):
    """A process of the power spectra of atoms with the kernel (q · q')^ζ."""

    center: int | str = 0
    """Element in the middle; 0: a term for every element."""
    anywhere: bool = False
    """One term for all elements in the middle; `center` is not used."""
    zeta: float = Field(default=4.0, ge=1.0)
    """ζ."""
    points: int = Field(default=200, ge=1)
    """Sparse points."""

    def terms(self, elements: Sequence[int]) -> list[KernelTermConfig]:
        centers = [self.center] if self.center or self.anywhere else sorted(elements)
        return [self.model_copy(update={"center": c}) for c in centers]


class SOAPTermConfig(EnvironmentTermConfig):
    """A process of SOAP power spectra."""

    kind: Literal["soap"] = "soap"
    """Name of the term."""
    soap: SOAPConfig = SOAPConfig()
    """The power spectrum."""

    def build(self, elements: Sequence[int]) -> KernelTerm:
        return EnvironmentTerm(self, elements, self.soap.build(elements))


class SOAPTurboTermConfig(EnvironmentTermConfig):
    """A process of soap_turbo's power spectra."""

    kind: Literal["soap_turbo"] = "soap_turbo"
    """Name of the term."""
    soap: SOAPTurboConfig = SOAPTurboConfig()
    """The power spectrum."""

    def build(self, elements: Sequence[int]) -> KernelTerm:
        return EnvironmentTerm(self, elements, self.soap.build(elements))


TERMS: dict[str, type[KernelTermConfig]] = {
    "distance_2b": Distance2BConfig,
    "angle_3b": Angle3BConfig,
    "coordination": CoordinationConfig,
    "soap": SOAPTermConfig,
    "soap_turbo": SOAPTurboTermConfig,
}


AnyTerm = Annotated[SerializeAsAny[KernelTermConfig], BeforeValidator(partial(of_kind, TERMS, "term"))]


def is_element(numbers: Tensor, element: int | str) -> Tensor:
    """Which atomic numbers are an element's `[n]`; 0 is any."""
    z = number(element) if element else 0
    return numbers == z if z else torch.ones_like(numbers, dtype=torch.bool)


def _either(first: Tensor, second: Tensor, elements: Sequence[int | str]) -> Tensor:
    """Which atoms are of two elements, in either order."""
    one, two = elements or (0, 0)
    straight = is_element(first, one) & is_element(second, two)
    return straight | (is_element(first, two) & is_element(second, one))


class _Exponential(LocalKernelTerm):
    """Length scales from the options."""

    config: ExponentialConfig

    def length_scales(self, rows: Tensor) -> Tensor:
        if self.config.theta is not None:
            return torch.full_like(self.theta, self.config.theta)
        spread = rows.std(dim=0, correction=0) * self.config.theta_factor
        return torch.where(spread > 1e-8, spread, torch.ones_like(spread)).to(self.theta)

    def cut(self, distances: Tensor) -> Tensor:
        """f_c."""
        return shifted_cosine(distances, self.config.cutoff, self.config.width)


class Distance2B(_Exponential):
    """A process of the distances of two elements' atoms."""

    config: Distance2BConfig

    def __init__(self, config: Distance2BConfig, elements: Sequence[int]):
        super().__init__(config, elements, config.cutoff, 1)

    def ends(self, graph: Graph) -> tuple[Tensor, ...]:
        return (torch.arange(graph.centers.shape[0], device=graph.centers.device),)

    def measure(self, *vectors: Tensor) -> tuple[Tensor, Tensor]:
        distances = vectors[0].norm(dim=1)
        return distances[:, None], self.cut(distances)

    def counts(self, graph: Graph, *ends: Tensor) -> Tensor:
        numbers = graph.system.numbers
        return _either(numbers[graph.centers], numbers[graph.neighbors], self.config.elements)


class Angle3B(_Exponential):
    """A process of the triangles of an atom and two neighbors."""

    config: Angle3BConfig

    def __init__(self, config: Angle3BConfig, elements: Sequence[int]):
        super().__init__(config, elements, config.cutoff, 3)

    def prepare(self, graph: Graph) -> Graph:
        if graph.triplets is not None:
            return graph
        r = graph.vectors().detach().norm(dim=1)
        close = (r < self.cutoff).nonzero()[:, 0]
        first, second = triplets(graph.centers[close], graph.system.atoms)
        return graph.replace(triplets=torch.stack([close[first], close[second]]))

    def ends(self, graph: Graph) -> tuple[Tensor, ...]:
        found = self.prepare(graph).triplets
        assert found is not None
        return tuple(found.unbind(0))

    def measure(self, *vectors: Tensor) -> tuple[Tensor, Tensor]:
        near, far = (v.norm(dim=1) for v in vectors)
        across = (vectors[1] - vectors[0]).norm(dim=1)
        values = torch.stack([near + far, (near - far).square(), across], dim=1)
        return values, self.cut(near) * self.cut(far)

    def counts(self, graph: Graph, *ends: Tensor) -> Tensor:
        numbers = graph.system.numbers
        outer = [numbers[graph.neighbors[end]] for end in ends]
        found = _either(outer[0], outer[1], self.config.elements)
        return 2 * (found & is_element(numbers[graph.centers[ends[0]]], self.config.center))


class Coordination(_Exponential):
    """A process of an atom's number of neighbors."""

    config: CoordinationConfig

    def __init__(self, config: CoordinationConfig, elements: Sequence[int]):
        super().__init__(config, elements, config.cutoff, 1)

    def freeze(self) -> None:
        """Nothing, like the other terms of few numbers."""

    def instances(self, vectors: Tensor, graph: Graph) -> Instances:
        numbers = graph.system.numbers
        counted = is_element(numbers[graph.neighbors], self.config.neighbors)
        found = graph.sum_over_neighbors(self.cut(vectors.norm(dim=1)) * counted)
        center = 0 if self.config.anywhere else self.config.center
        weights = is_element(numbers, center).to(found.dtype)
        return Instances(found[:, None], weights, torch.arange(numbers.shape[0], device=numbers.device))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            vectors = graph.vectors().detach().requires_grad_()
            made = self.instances(vectors, graph)
            along = torch.autograd.grad(made.values.sum(), vectors)[0]
        values, scale = made.values.detach(), self.config.delta**2 * self.cutoffs
        found, a, b = self.kernel(values, self.points, self.theta)
        by_value = (a * self.points[:, 0] + b * values) / self.theta.square() * scale * made.weights[:, None]
        slopes = by_value[graph.centers][:, :, None] * along[:, None, :]
        return found * made.weights[:, None] * scale, slopes


class EnvironmentTerm(KernelTerm):
    """A process of one element's environments."""

    config: EnvironmentTermConfig

    def __init__(self, config: EnvironmentTermConfig, elements: Sequence[int], spectrum: SpectrumDescriptor):
        super().__init__(config, elements, spectrum.cutoff, spectrum.size)
        self.spectrum = spectrum

    def freeze(self) -> None:
        self.spectrum.freeze()

    def instances(self, vectors: Tensor, graph: Graph) -> Instances:
        return self._of(self.spectrum.from_vectors(vectors, graph), graph)

    def _of(self, values: Tensor, graph: Graph) -> Instances:
        numbers = graph.system.numbers
        center = 0 if self.config.anywhere else self.config.center
        weights = is_element(numbers, center).to(values.dtype)
        return Instances(values, weights, torch.arange(numbers.shape[0], device=numbers.device))

    def kernel(self, values: Tensor, points: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cosine, zeta = values @ points.T, self.config.zeta
        if zeta != int(zeta):
            cosine = cosine.clamp(min=0.0)
        below = cosine ** (zeta - 1.0)
        return cosine * below, zeta * below, torch.zeros_like(cosine)

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        rows, slopes = self.spectrum.jacobian(graph)
        made = self._of(rows, graph)
        found, a, _ = self.kernel(made.values, self.points, self.theta)
        scale = self.config.delta**2 * self.cutoffs * made.weights[:, None]
        along = torch.matmul(self.points, slopes) * (a * scale)[graph.centers][:, :, None]
        return found * scale, along
