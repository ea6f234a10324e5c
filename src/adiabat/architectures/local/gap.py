"""GAP: a sum of sparse Gaussian processes of pairs, angles and environments.

A. P. Bartók, M. C. Payne, R. Kondor and G. Csányi, Phys. Rev. Lett. 104, 136403 (2010),
doi:10.1103/PhysRevLett.104.136403; V. L. Deringer and G. Csányi, Phys. Rev. B 95, 094203 (2017),
doi:10.1103/PhysRevB.95.094203.

| paper | here | shape, unit |
|---|---|---|
| E = Σ_d Σ_i Σ_s α_ds δ_d² K_d(q_i, q_s) (2017, eq. 5) | `GAP.atomic_energies`, summed | [systems], eV |
| descriptors d | `config.terms` | – |
| K_MM | `ProcessHead.penalty` gives its upper Cholesky factor | [columns, columns] |
| α | `head.weights` | [1, columns], eV⁻¹ |

All weights are found in one solve of the linear fitter, whose prior they are: with `fit.errors` and the strength 1 it
minimizes Σ (residual / σ)² + αᵀ K_MM α (2010, eq. 3). Weights of frames (`fit.group_weights`) stand for
σ of their own.

Departures from the paper: energies are fitted per atom; θ of a term that names none is the standard deviation of
its data; of SOAP's compressions only the sum over elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.described import DescribedPotential
from adiabat.descriptors.kernel_terms import KernelTerms
from adiabat.descriptors.sparse_terms import AnyTerm, Distance2BConfig, SOAPTermConfig
from adiabat.geometry import Graph
from adiabat.nn.heads import LinearInWeights
from adiabat.potential import ArchitectureConfig


class GAPConfig(ArchitectureConfig):
    """The processes that are added up."""

    method: Literal["gap"] = "gap"
    """Name of the architecture."""
    terms: tuple[AnyTerm, ...] = Field(
        default=(Distance2BConfig(delta=1.0, points=15), SOAPTermConfig(delta=0.2)), min_length=1
    )
    """Processes: distance_2b, angle_3b, coordination, soap, soap_turbo; one that names no elements stands for all."""


class ProcessHead(LinearInWeights):
    """The columns are kernels already: E_i = Σ_c w_c column_c, the same weights for atoms of all elements.

    Args:
        terms: the processes, for their prior.
    """

    def __init__(self, terms: KernelTerms):
        super().__init__(1, terms.size)
        self._terms = (terms,)  # in a tuple, for they are parameters of the potential already

    def columns(self, values: Tensor, place: int) -> Tensor:
        return values

    def slopes(self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int) -> Tensor:
        return jacobian

    def penalty(self) -> Tensor:
        blocks = [torch.linalg.cholesky(term.covariance()).T for term in self._terms[0].members]
        return torch.block_diag(*blocks)

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        return values @ self.weights[0]


class GAP(DescribedPotential):
    """E = Σ_i Σ_c w_c column_c, columns of all processes side by side."""

    config: GAPConfig
    physical = True  # δ is in eV

    @classmethod
    def fitters(cls) -> tuple[str, ...]:
        return ("linear",)

    @classmethod
    def fitter_for(cls, config: GAPConfig) -> str:
        return "linear"

    def __init__(self, config: GAPConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        every = [one.build(elements) for term in config.terms for one in term.terms(elements)]
        terms = KernelTerms(every, elements)
        super().__init__(config, elements, terms, ProcessHead(terms))
        self.element.clamp_(max=0)  # one set of weights: which elements a column is of, its term knows

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph).replace(triplets=self.descriptor.prepare(graph).triplets)

    @property
    def terms(self) -> KernelTerms:
        """The processes."""
        assert isinstance(self.descriptor, KernelTerms)
        return self.descriptor
