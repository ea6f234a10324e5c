"""aPIP: energies linear in body-ordered permutationally invariant polynomials.

C. van der Oord, G. Dusson, G. Csányi and C. Ortner, Mach. Learn.: Sci. Technol. 1, 015004 (2020),
doi:10.1088/2632-2153/ab527c; of molecules: A. E. A. Allen et al., Mach. Learn.: Sci. Technol. 2, 025017 (2021),
doi:10.1088/2632-2153/abd51e.

| paper | here | shape, unit |
|---|---|---|
| B_k, polynomials of all clusters around atom i | `descriptor(graph)` | [atoms, size], 1 |
| c_k | `head.weights` | [elements, columns], eV |
| E = Σ_i c_0 + Σ_N V_N, linear in c | `head` | [atoms], eV |
| V_2 at short distances | `baseline` of the recipe, such as `zbl` | eV |

Each body order has its own cutoff (`descriptor.cutoffs`) and degree. Polynomials say nothing where there are no data:
a recipe with `baseline: {method: zbl}` keeps close atoms apart.

Departures from the papers: weights belong to the element of the center, so that an order's potential is not forced to
be the same seen from each of a cluster's atoms; the linear fitter regularizes on its own terms (evidence, ridge,
lasso, relevance) instead of by integrals of the potentials' slopes; the repulsion is added, not glued to V_2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from adiabat.described import DescribedPotential, LinearConfig
from adiabat.descriptors.apip import APIPConfig as Polynomials
from adiabat.potential import ArchitectureConfig


class APIPConfig(ArchitectureConfig):
    """Options of aPIP."""

    method: Literal["apip"] = "apip"
    """Name of the architecture."""
    descriptor: Polynomials = Polynomials(cutoff=6.0, cutoffs=(6.0, 5.0, 4.0))
    """The polynomials, with the cutoff of each body order."""


class APIP(DescribedPotential):
    """E = Σ_i c_0 + c · B_i with c of the atom's element."""

    config: APIPConfig

    @classmethod
    def fitter_for(cls, config: APIPConfig) -> str:
        return "linear"

    def __init__(self, config: APIPConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        descriptor = config.descriptor.build(elements)
        super().__init__(config, elements, descriptor, LinearConfig().build(descriptor))
