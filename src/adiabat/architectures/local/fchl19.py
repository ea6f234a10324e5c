"""FCHL19 kernel ridge regression: atomic energies from Gaussian kernels between atoms of one element.

A. S. Christensen, L. A. Bratholm, F. A. Faber and O. A. von Lilienfeld, J. Chem. Phys. 152, 044107 (2020),
doi:10.1063/1.5126701.

| paper | here | shape, unit |
|---|---|---|
| representation q of an atom | `descriptor(graph)` | [atoms, features] |
| k(q, q') = exp(−|q − q'|² / 2σ²), 0 between elements | `GaussianProcessHead.columns` | [atoms, points] |
| U = Σ_i Σ_j α_j k(q_i, q_j), over training atoms j | `forward` | [systems], eV |
| F = −∂U/∂r | from the descriptor's slopes | [atoms, 3], eV/Å |
| α | `head.weights` | [elements, 1 + points], eV |

Energies and forces of the training frames are linear in α, and all of them together are fitted in one solve of the
linear fitter: the paper's operator quantum machine learning, where the points are atoms and the forces are learned
through derivatives of the kernel.

Departures from the paper: α has the kernel's own prior αᵀ K α, whose strength and the labels' noise make the labels
most probable, instead of a strength that is chosen on validation frames; atoms have a constant energy of their
element beside the kernels; with `points`, only so many atoms of each element are points; of more than 1000 training
frames, every second, third ... one gives points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from adiabat.described import DescribedPotential
from adiabat.descriptors.fchl19 import FCHL19Config
from adiabat.nn.gaussian_process import GaussianProcessHead, KernelOptions, Selection
from adiabat.potential import ArchitectureConfig


class FCHL19KRRConfig(ArchitectureConfig):
    """Options of FCHL19 kernel ridge regression."""

    method: Literal["fchl19"] = "fchl19"
    """Name of the architecture."""
    descriptor: FCHL19Config = FCHL19Config()
    """Options of the representation."""
    sigma: float = Field(default=20.0, gt=0.0)
    """σ of the kernel, in units of the representation."""
    points: int | None = Field(default=None, ge=1)
    """Training atoms of each element that kernels are with; None for all of them."""
    selection: Selection = "farthest"
    """How they are chosen, if not all: cur, farthest, kmeans or random."""


class FCHL19KRR(DescribedPotential):
    """U = Σ_i Σ_j α_j k(q_i, q_j)."""

    config: FCHL19KRRConfig
    head: GaussianProcessHead

    @classmethod
    def fitters(cls) -> tuple[str, ...]:
        return ("linear",)

    @classmethod
    def fitter_for(cls, config: FCHL19KRRConfig) -> str:
        return "linear"

    def __init__(self, config: FCHL19KRRConfig, elements: Iterable[int]):
        descriptor = config.descriptor.build(elements)
        # the kernel's length is a deviation of one feature: |q − q'|² over size · length²
        kernel = KernelOptions(form="rbf", length=config.sigma / descriptor.size**0.5)
        head = GaussianProcessHead(len(descriptor.elements), descriptor.size, config.points, kernel, config.selection)
        super().__init__(config, descriptor.elements, descriptor, head)

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        self.head.resize(arrays["head.points"].shape[1])
        super().load_arrays(arrays)
