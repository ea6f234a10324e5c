"""ACE: energies that are functions of a few densities, each linear in invariants of the atomic cluster expansion.

R. Drautz, Phys. Rev. B 99, 014104 (2019), doi:10.1103/PhysRevB.99.014104; Y. Lysogorskiy et al., npj Comput. Mater.
7, 97 (2021), doi:10.1038/s41524-021-00559-9. Program whose numbers it gives: python-ace (PACE), also with FitSNAP's
files for it.

| paper | here | shape, unit |
|---|---|---|
| B_i | `descriptor(graph)` | [atoms, size], 1 |
| c^(p) | `weights` | [elements, densities, size] |
| ρ_i^(p) = c^(p) · B_i (2021, eq. 4) | `DensityHead.densities` | [atoms, densities], eV^(1/m) |
| F(ρ) = Σ_p a_p \\|ρ^(p)\\|^m_p (2021, eq. 3) | `embedded` | [atoms], eV |
| core repulsion | `fixed` | [atoms], eV |
| f_cut(ρ_core) | `switch` | [atoms], 1 |

Departures from the paper: two forms of the power that are smooth at ρ = 0 (`Embedding.kind`), python-ace's; with the
embedding a_1 = m_1 = 1 alone the model is linear and fitted in closed form, and the fit takes f_cut for 1, which it
is unless atoms nearly coincide.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.described import DescribedPotential
from adiabat.descriptors.ace import ACE as ACEDescriptor
from adiabat.descriptors.ace import ACEDescriptorConfig
from adiabat.descriptors.base import element_index
from adiabat.elements import symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.constants import ConstantModule
from adiabat.nn.heads import Head, LinearHead
from adiabat.nn.pair_radial import PairRadial
from adiabat.potential import ArchitectureConfig, AtomicPotential
from adiabat.settings import Settings

SHARP = 1e6  # inverse of the density below which FinnisSinclair is linear, python-ace's


class Embedding(Settings):
    """F(ρ) of one element's atoms."""

    kind: Literal["FinnisSinclair", "FinnisSinclairShiftedScaled"] = "FinnisSinclairShiftedScaled"
    """How powers are made smooth at ρ = 0: linear within 1e-6 of it, or shifted and scaled with e^(−|ρ|)."""
    parameters: tuple[float, ...] = (1.0, 1.0)
    """a_1, m_1, a_2, m_2 ...: factor, eV, and power of each density."""
    core_cutoff: float = Field(default=100000.0, gt=0.0)
    """Core repulsion of an atom above which F vanishes, eV."""
    core_width: float = Field(default=250.0, gt=0.0)
    """Range below `core_cutoff` over which it does so, eV."""

    @property
    def densities(self) -> int:
        """How many there are."""
        return len(self.parameters) // 2

    @property
    def linear(self) -> bool:
        """Whether F(ρ) = ρ."""
        return self.parameters == (1.0, 1.0)


class ACEConfig(ArchitectureConfig):
    """Options of ACE."""

    method: Literal["ace"] = "ace"
    """Name of the architecture."""
    descriptor: ACEDescriptorConfig = ACEDescriptorConfig()
    """The cluster expansion."""
    embedding: Embedding = Embedding()
    """F(ρ) of all elements that `embeddings` does not name; (1, 1, 1, 0.5) is Finnis-Sinclair's."""
    embeddings: dict[str, Embedding] = {}
    """F(ρ) of single elements."""

    def embeddings_of(self, elements: Iterable[int]) -> list[Embedding]:
        """F(ρ) of each element."""
        return [self.embeddings.get(symbol(z), self.embedding) for z in elements]


class Core(AtomicPotential):
    """Repulsion of near atoms beneath the expansion, a exp(−b r²)/r.

    Args:
        config: of ACE.
        elements: atomic numbers.
        descriptor: whose pairs of elements say what it is.
    """

    config: ACEConfig

    def __init__(self, config: ACEConfig, elements: Iterable[int], descriptor: ACEDescriptor):
        super().__init__(config, elements, descriptor.cutoff)
        self.functions = PairRadial(descriptor.radial.bonds)
        self.register_buffer("element", element_index(self.elements), persistent=False)

    def atomic_energies(self, graph: Graph) -> Tensor:
        kinds = self.element[graph.system.numbers]  # type: ignore[index]
        bond = kinds.index_select(0, graph.centers) * len(self.elements) + kinds.index_select(0, graph.neighbors)
        shares = self.functions.core(graph.vectors().norm(dim=1), bond)
        return shares.new_zeros(graph.system.atoms).index_add(0, graph.centers, shares)


class DensityHead(Head, ConstantModule):
    """E_0 + F(ρ^(1), ρ^(2), ...), with ρ^(p) linear in the features.

    Args:
        embeddings: of each element.
        size: width of the features.
    """

    factor: Tensor
    power: Tensor
    shifted: Tensor
    scale: Tensor

    def __init__(self, embeddings: Sequence[Embedding], size: int):
        super().__init__()
        most = max(e.densities for e in embeddings)
        rows = np.zeros((len(embeddings), most, 2)) + np.array([0.0, 1.0])
        for row, embedding in zip(rows, embeddings, strict=True):
            row[: embedding.densities] = np.reshape(embedding.parameters, (-1, 2))
        self.weights = nn.Parameter(0.01 * torch.randn((len(embeddings), most, size)))
        self.constants = nn.Parameter(torch.zeros(len(embeddings)))
        self.register_buffer("scale", torch.ones((len(embeddings), size)))
        self.register_constant("factor", rows[:, :, 0])
        self.register_constant("power", rows[:, :, 1])
        kinds = [float(e.kind == "FinnisSinclairShiftedScaled") for e in embeddings]
        self.register_constant("shifted", np.array(kinds)[:, None])

    def densities(self, values: Tensor, element: Tensor) -> Tensor:
        """ρ `[atoms, densities]`."""
        scaled = values * self.scale.index_select(0, element)
        return (self.weights.index_select(0, element) * scaled[:, None, :]).sum(dim=2)

    def adapt(self, values: Tensor, element: Tensor) -> None:
        """Features are divided by their size in training environments, so that gradients suit all; F stays."""
        with torch.no_grad():
            for place, scale in enumerate(self.scale):
                own = values[element == place].to(scale)
                size = own.square().mean(dim=0).sqrt() if own.shape[0] else torch.ones_like(scale)
                new = torch.where(size > 1e-12, 1.0 / size.clamp(min=1e-12), torch.ones_like(size))
                self.weights[place] *= scale / new
                scale.copy_(new)

    def embedded(self, densities: Tensor, element: Tensor) -> Tensor:
        """F(ρ) `[atoms]`, eV."""
        power, shifted = (table.index_select(0, element) for table in (self.power, self.shifted))
        values = torch.where(shifted > 0, shifted_power(densities, power), sharp_power(densities, power))
        return (self.factor.index_select(0, element) * values).sum(dim=1)

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        return self.constants.index_select(0, element) + self.embedded(self.densities(values, element), element)


def sharp_power(density: Tensor, power: Tensor) -> Tensor:
    """sign(ρ) |ρ|^m, within about 1e-6 of ρ = 0 linear (python-ace's FinnisSinclair)."""
    size = torch.where(density < 0, -density, density)  # abs twice differentiated fixes sizes when captured
    safe = size.clamp(min=1e-10)  # the power's slope must not be infinite where it is not used
    weight = torch.exp(-((SHARP * size) ** 3).clamp(max=700.0))
    linear = SHARP ** (1.0 - power) * density
    made = torch.sign(density) * (1.0 - weight) * safe**power + weight * linear
    return torch.where(power == 1.0, density, torch.where(size > 1e-10, made, linear))


def shifted_power(density: Tensor, power: Tensor) -> Tensor:
    """sign(ρ) ((|ρ| + x e^(−|ρ|))^m − y e^(−|ρ|)), with x and y such that it is 0 at ρ = 0, with a slope of order 1.

    x = n^(n/(1−n)) and y = n^(1/(1−n)), n = 1/m (python-ace's FinnisSinclairShiftedScaled).
    """
    exact = power == 1.0
    inverse = 1.0 / torch.where(exact, 2.0, power)
    size = torch.where(density < 0, -density, density)  # its slope at 0 is 1, that of abs would be 0
    decay = torch.exp(-size)
    x = inverse ** (inverse / (1.0 - inverse)) * decay
    y = inverse ** (1.0 / (1.0 - inverse)) * decay
    made = torch.where(density < 0, -1.0, 1.0) * ((x + size) ** power - y)
    return torch.where(exact, density, made)


class ACE(DescribedPotential):
    """E = Σ_i E_0 + f_cut(ρ_core) F(ρ_i^(1), ρ_i^(2), ...) + ρ_core."""

    config: ACEConfig
    descriptor: ACEDescriptor
    head: LinearHead | DensityHead

    @classmethod
    def fitter_for(cls, config: ACEConfig) -> str:
        linear = all(e.linear for e in (config.embedding, *config.embeddings.values()))
        return "gradient" if not linear else "projection" if config.descriptor.trained else "linear"

    def __init__(self, config: ACEConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        embeddings = config.embeddings_of(elements)
        for embedding in embeddings:
            if len(embedding.parameters) % 2 or not embedding.parameters or min(embedding.parameters[1::2]) <= 0:
                raise ConfigError(
                    f"embedding {embedding.parameters}: give a factor and a positive power for each density."
                )
        descriptor = config.descriptor.build(elements)
        linear = all(e.linear for e in embeddings)
        head = LinearHead(len(elements), descriptor.size) if linear else DensityHead(embeddings, descriptor.size)
        super().__init__(config, elements, descriptor, head)
        ends = [(e.core_cutoff, e.core_width) for e in embeddings]
        self.register_buffer("core", torch.tensor(ends, dtype=torch.float64), persistent=False)
        if any(bond.core for bond in descriptor.radial.bonds):
            self.fixed = Core(config, elements, descriptor)

    @property
    def constants(self) -> Tensor:
        """Energy of a lone atom of each element `[elements]`, eV."""
        return self.head.weights[:, 0] if isinstance(self.head, LinearHead) else self.head.constants

    @property
    def weights(self) -> Tensor:
        """c `[elements, densities, size]`."""
        if isinstance(self.head, LinearHead):
            return self.head.weights[:, None, 1:]
        return self.head.weights * self.head.scale[:, None]

    def set_weights(self, constants: Tensor, weights: Tensor) -> None:
        """Takes over constants `[elements]`, eV, and c `[elements, densities, size]`."""
        with torch.no_grad():
            if isinstance(self.head, LinearHead):
                self.head.weights.copy_(torch.cat((constants[:, None], weights[:, 0]), dim=1))
            else:
                self.head.weights.copy_(weights / self.head.scale[:, None])
                self.head.constants.copy_(constants)

    def first_density(self) -> ACE:
        """A linear model above all that the other densities give, for the linear fitter; `start_from` takes it back.

        With the other densities at zero a linear solution would be a saddle point that gradients cannot leave.
        Raises ConfigError if the first density is not linear, a = m = 1.
        """
        embeddings = self.config.embeddings_of(self.elements)
        if any(e.parameters[:2] != (1.0, 1.0) for e in embeddings):
            raise ConfigError("only a first density with factor 1 and power 1 can be fitted in closed form.")
        config = self.config.model_copy(update={"embedding": Embedding(), "embeddings": {}})
        linear = ACE(config, self.elements).to(dtype=self.dtype)
        rest = copy.deepcopy(self)
        weights = rest.weights.detach().clone()
        weights[:, 0] = 0
        rest.set_weights(torch.zeros_like(rest.constants), weights)
        with torch.no_grad():
            linear.descriptor.coefficients.copy_(self.descriptor.coefficients)
        linear.fixed = rest.requires_grad_(False)
        return linear

    def start_from(self, linear: ACE) -> None:
        """Takes over a linear model as the first density; the others begin as they are, of size 0.01.

        Raises ConfigError if its functions or elements differ.
        """
        if linear.descriptor.functions != self.descriptor.functions or linear.elements != self.elements:
            raise ConfigError("the linear model to start from has other functions or elements: give both the same.")
        weights = self.weights.detach().clone()
        weights[:, 0] = linear.weights.detach()[:, 0].to(weights)
        self.set_weights(linear.constants.detach().to(weights), weights)
        with torch.no_grad():
            self.descriptor.coefficients.copy_(linear.descriptor.coefficients)

    def freeze(self) -> None:
        embeddings = self.config.embeddings_of(self.elements)
        rows = np.zeros((len(embeddings), self.weights.shape[1], 3)) + np.array([0.0, 1.0, 0.0])
        for row, e in zip(rows, embeddings, strict=True):
            row[: e.densities, :2] = np.reshape(e.parameters, (-1, 2))
            row[:, 2] = e.kind == "FinnisSinclairShiftedScaled"
        self.kernel = self.descriptor.energies(self.weights, rows, self.constants)

    def atomic_energies(self, graph: Graph) -> Tensor:
        energies = self.regressed(graph)
        if self.fixed is None:
            return energies
        core = self.fixed.atomic_energies(graph)
        element = self.element[graph.system.numbers]
        constants = self.constants.index_select(0, element)
        return constants + (energies - constants) * self.switch(core, element) + core

    def switch(self, core: Tensor, element: Tensor) -> Tensor:
        """f_cut: 1 where the core repulsion `[atoms]`, eV, is small, 0 where it is large."""
        end, width = self.core.to(core.dtype).index_select(0, element).unbind(1)  # type: ignore[operator]
        x = (1.0 - 2.0 * (1.0 + (core - end) / width)).clamp(-1.0, 1.0)
        return 0.5 + x * (0.9375 + x**2 * (0.1875 * x**2 - 0.625))
