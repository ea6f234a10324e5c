"""SNAP: energies linear or quadratic in bispectrum components, above a screened nuclear repulsion.

A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015), doi:10.1016/j.jcp.2014.12.018; quadratic: M. A. Wood and
A. P. Thompson, J. Chem. Phys. 148, 241721 (2018), doi:10.1063/1.5017641; a density for each element: M. A. Cusentino
et al., J. Phys. Chem. A 124, 5456 (2020), doi:10.1021/acs.jpca.0c02450. Programs whose numbers it gives: LAMMPS,
FitSNAP.

| paper | here | shape, unit |
|---|---|---|
| B^i_k | `descriptor(graph)` | [atoms, size], 1 |
| β_0, β_k, α_kl | `head.weights` | [elements, columns], eV |
| E^i_SNAP = β_0 + β · B^i + ½ B^i · α · B^i | `head` | [atoms], eV |
| E_ref | `fixed` | [atoms], eV |
| ∂E/∂u^j (Y) | in the kernel `LinearBispectrum` | [atoms, channels, half], eV |

Departures from the paper: the linear fitter weighs its training data and regularizes on its own terms (see
docs/snap.md for FitSNAP's); the reference potential is the universal screened repulsion or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from torch import Tensor

from adiabat.described import DescribedPotential
from adiabat.descriptors.snap import SNAPBispectrum, SNAPDescriptorConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.heads import LinearHead, QuadraticHead
from adiabat.nn.smoothed_repulsion import SmoothedRepulsion
from adiabat.potential import ArchitectureConfig, AtomicPotential


class SNAPConfig(ArchitectureConfig):
    """Options of SNAP."""

    method: Literal["snap"] = "snap"
    """Name of the architecture."""
    descriptor: SNAPDescriptorConfig = SNAPDescriptorConfig()
    """The bispectrum."""
    quadratic: bool = False
    """Whether products of components enter (`quadraticflag` of LAMMPS)."""
    constant: bool = True
    """Whether a constant energy of each element is fitted; FitSNAP leaves it out where lone atoms are subtracted."""
    repulsion: tuple[float, float] | None = None
    """Radii between which a screened nuclear repulsion ends (pair_style zbl of LAMMPS), Å; null for none."""


class Repulsion(AtomicPotential):
    """The screened nuclear repulsion beneath SNAP (E_ref).

    Args:
        config: of SNAP, with `repulsion`.
        elements: atomic numbers.
        cutoff: of the graphs it is given, Å.
    """

    config: SNAPConfig

    def __init__(self, config: SNAPConfig, elements: Iterable[int], cutoff: float):
        super().__init__(config, elements, cutoff)
        inner, outer = config.repulsion or (0.0, 0.0)
        if not 0.0 < inner < outer:
            raise ConfigError(f"repulsion {config.repulsion}: the inner radius must lie between 0 and the outer one.")
        self.pair = SmoothedRepulsion(inner, outer)

    def atomic_energies(self, graph: Graph) -> Tensor:
        numbers, vectors = graph.system.numbers, graph.vectors()
        first, second = (numbers.index_select(0, ends) for ends in (graph.centers, graph.neighbors))
        shares = self.pair(vectors.norm(dim=1), first, second)
        return shares.new_zeros(graph.system.atoms).index_add(0, graph.centers, shares)


class SNAP(DescribedPotential):
    """E = Σ_i E_ref^i + β_0 + β · B^i + ½ B^i · α · B^i, with β and α of the atom's element."""

    config: SNAPConfig
    descriptor: SNAPBispectrum
    physical: ClassVar[bool] = True

    @classmethod
    def fitter_for(cls, config: SNAPConfig) -> str:
        return "linear"

    def __init__(self, config: SNAPConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        descriptor = config.descriptor.build(elements)
        kind = QuadraticHead if config.quadratic else LinearHead
        super().__init__(config, elements, descriptor, kind(len(elements), descriptor.size, config.constant))
        if config.repulsion is not None:
            self.cutoff = max(self.cutoff, config.repulsion[1])
            self.fixed = Repulsion(config, elements, self.cutoff)
