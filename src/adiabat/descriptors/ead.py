"""Embedded atom densities: squares of sums of neighbors' Gaussian orbitals.

Y. Zhang, C. Hu and B. Jiang, J. Phys. Chem. Lett. 10, 4962 (2019), doi:10.1021/acs.jpclett.9b02037.

| paper | here | shape, unit |
|---|---|---|
| r_ij | `vectors` | [pairs, 3], Å |
| φ_{lxlylz}^{α,r_s} f_c | `density.orbitals(...)`: `radial`, `shapes` | [pairs, waves], [pairs, monomials] |
| c_j | `density.coefficients` | [elements, waves], 1 |
| α, r_s | `density.exponents`, `density.centers` | [elements, waves], Å⁻², Å |
| ρ_i | `forward` | [atoms, (l_max + 1) · waves], 1 |

Departures from the paper: f_c is the square of the cosine cutoff, as in the program; c starts with several `mixes` of
the elements, so that densities tell elements apart without training too; the training data set its size, where the
densities of each wave average one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import pi
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.embedded_density import EmbeddedDensity

CHUNK = 20_000  # pairs whose slopes are made together


class EADConfig(DescriptorConfig):
    """Options of embedded atom densities."""

    projected: ClassVar[bool] = False
    kind: Literal["ead"] = "ead"
    """Name of the descriptor."""
    waves: int = Field(default=8, ge=1)
    """Gaussians from 0 to the cutoff."""
    l_max: int = Field(default=2, ge=0, le=4)
    """Highest power of the orbitals' angular part."""
    mixes: int | None = Field(default=None, ge=1)
    """Densities of each Gaussian with different weights of the elements; null for as many as there are elements."""
    exponent: float | None = Field(default=None, gt=0.0)
    """α of all Gaussians, Å⁻²; null for 1/(2Δ²), where Δ is their distance."""
    train: bool = False
    """Whether c, α and r_s are trained with the regressor."""

    @property
    def trained(self) -> bool:  # type: ignore[override]
        """Whether the descriptor has parameters."""
        return self.train

    def build(self, elements: Iterable[int]) -> EAD:
        return EAD(self, elements)


class EAD(Descriptor):
    """ρ of each degree and wave."""

    projected: ClassVar[bool] = False

    def __init__(self, config: EADConfig, elements: Iterable[int]):
        super().__init__(elements, config.cutoff)
        kinds = len(self.elements)
        mixes = config.mixes or kinds
        if mixes > kinds:
            raise ConfigError(f"mixes is {mixes}, and there are {kinds} elements: ask for {kinds} at most.")
        waves = mixes * config.waves
        self.density = EmbeddedDensity(kinds, waves, config.l_max, config.cutoff, config.train)
        self._spread(config, mixes)
        self.sizes = ((config.l_max + 1) * waves,) * kinds

    def _spread(self, config: EADConfig, mixes: int) -> None:
        """Even centers, one width, and orthogonal weights of the elements: cos(π m (k + ½) / kinds)."""
        density, step = self.density, config.cutoff / config.waves
        places = (torch.arange(len(self.elements)) + 0.5) * (pi / len(self.elements))
        weights = torch.cos(torch.arange(mixes) * places[:, None])
        with torch.no_grad():
            density.centers.copy_((torch.arange(config.waves) * step).repeat(mixes))
            density.exponents.fill_(config.exponent or 0.5 / step**2)
            density.coefficients.copy_(weights.repeat_interleave(config.waves, dim=1))

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=graph.rows())

    def freeze(self) -> None:
        self.density.freeze()

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        kind = self.element[graph.system.numbers]
        own = self.density.of_elements(kind)
        return self.density.densities(self.density.orbitals(graph, vectors, kind).sums(own))

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the size of c: each wave's densities average one over atoms and degrees."""
        with torch.no_grad():
            self.density.rescale(torch.cat([self(graph) for graph in graphs]).mean(dim=0))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """∂ρ_l/∂r = 2 Σ_m ψ_m (φ ∂Y_m + Y_m ∂φ) over the monomials Y_m of degree l, in closed form."""
        density, vectors = self.density, graph.vectors().detach()
        with torch.no_grad():
            kind = self.element[graph.system.numbers]
            own = density.of_elements(kind)
            sums = density.orbitals(graph, vectors, kind).sums(own)
            doubled, r = 2.0 * graph.of_neighbors(own), vectors.norm(dim=1)
            radial, steep = (doubled * part for part in density.slopes(r, graph.of_neighbors(kind)))
            shapes = density.monomials(vectors)
            rules = density.monomials.derivatives().to(shapes)
            slopes = vectors.new_empty((vectors.shape[0], self.size, 3))
            for begin in range(0, vectors.shape[0], CHUNK):
                part = slice(begin, begin + CHUNK)
                at = sums.index_select(0, graph.centers[part]) * density.roots[:, None]
                turned = (shapes[part] @ rules.flatten(1)).unflatten(1, rules.shape[1:])
                outward = (vectors[part] / r[part, None])[:, None]
                for l, (a, b) in enumerate(density.degrees):
                    sideways = at[:, a:b].transpose(1, 2) @ turned[:, a:b]
                    level = (at[:, a:b] * shapes[part, a:b, None]).sum(dim=1)
                    block = slice(l * own.shape[1], (l + 1) * own.shape[1])
                    slopes[part, block] = (
                        radial[part, :, None] * sideways + (level * steep[part])[:, :, None] * outward
                    )
            return density.densities(sums), slopes
