"""GM-NN: one network for all elements on Gaussian moments.

V. Zaverkin and J. Kästner, J. Chem. Theory Comput. 16, 5410 (2020), doi:10.1021/acs.jctc.0c00347; improved
architecture and training: V. Zaverkin, D. Holzmüller, I. Steinwart and J. Kästner, J. Chem. Theory Comput. 17, 6658
(2021), doi:10.1021/acs.jctc.1c00527. The numbers are those of the program apax.

| paper | here | shape, unit |
|---|---|---|
| G_i | `descriptor(graph)` | [atoms, features], 1 |
| β of the radial functions | `descriptor.coefficients` | [elements², radial, basis], 1 |
| W, b | `head.network.weights`, `.biases` | [inputs, outputs], [outputs] |
| σ_Z, μ_Z | `head.scale`, `head.shift` | [elements], eV |
| E_i = σ_{Z_i} NN(G_i) + μ_{Z_i} | `atomic_energies` | [atoms], eV |

Departures from the paper: μ starts at 0, energies of atoms being taken off before the fit as for all methods; all
parameters share one rate of training.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.described import DescribedPotential
from adiabat.descriptors.gaussian_moments import GaussianMoments, GaussianMomentsConfig
from adiabat.nn.heads import Head
from adiabat.nn.ntk import NTKNetwork
from adiabat.potential import ArchitectureConfig


class GMNNConfig(ArchitectureConfig):
    """Options of a GM-NN; the defaults are published ones."""

    method: Literal["gm_nn"] = "gm_nn"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """Radius of the environments, Å."""
    inner: float = Field(default=0.5, ge=0.0)
    """Center of the first Gaussian, Å."""
    basis: int = Field(default=7, ge=1)
    """Gaussians in a radial function."""
    radial: int = Field(default=5, ge=1)
    """Radial functions; 5 give 360 features."""
    contractions: int = Field(default=8, ge=1, le=8)
    """How many of the eight kinds of contractions of moments are features."""
    hidden: tuple[int, ...] = (512, 512)
    """Widths of the hidden layers."""

    def descriptor(self) -> GaussianMomentsConfig:
        """The descriptor's options."""
        return GaussianMomentsConfig(
            cutoff=self.cutoff,
            inner=self.inner,
            basis=self.basis,
            radial=self.radial,
            contractions=self.contractions,
        )


class SharedNetworkHead(Head):
    """σ_Z NN(G) + μ_Z with one network for all elements.

    Args:
        kinds: number of elements.
        widths: of the features and the hidden layers.

    Attributes:
        scale: σ `[elements]`, eV.
        shift: μ `[elements]`, eV.
    """

    def __init__(self, kinds: int, widths: tuple[int, ...]):
        super().__init__()
        self.network = NTKNetwork((*widths, 1))
        self.scale = nn.Parameter(torch.ones(kinds))
        self.shift = nn.Parameter(torch.zeros(kinds))

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        found = self.network(values)[:, 0]
        return found * self.scale.index_select(0, element) + self.shift.index_select(0, element)


class GMNN(DescribedPotential):
    """E_i = σ NN(G_i) + μ."""

    config: GMNNConfig
    descriptor: GaussianMoments
    head: SharedNetworkHead

    @classmethod
    def fitters(cls) -> tuple[str, ...]:
        return ("gradient",)

    @classmethod
    def fitter_for(cls, config: GMNNConfig) -> str:
        return "gradient"

    def __init__(self, config: GMNNConfig, elements: Iterable[int]):
        descriptor = config.descriptor().build(sorted({int(z) for z in elements}))
        head = SharedNetworkHead(len(descriptor.elements), (descriptor.size, *config.hidden))
        super().__init__(config, descriptor.elements, descriptor, head)
