"""Element networks on Chebyshev expansions, as in aenet.

N. Artrith, A. Urban and G. Ceder, Phys. Rev. B 96, 014112 (2017), doi:10.1103/PhysRevB.96.014112; program whose
numbers it gives: N. Artrith and A. Urban, Comput. Mater. Sci. 114, 135 (2016), doi:10.1016/j.commatsci.2015.11.047.

| paper | here | shape, unit |
|---|---|---|
| c_α^(2), c_α^(3) | `descriptor(graph)` | [atoms, size], 1 |
| normalized fingerprints | `scaling` | [atoms, size], 1 |
| ANN_t | `head.members[0]` | [atoms], eV |
| E_i = E_scale ANN_t(σ_i) + E_shift + E_atom,t | `Referenced` around this page | [atoms], eV |

Departures from the paper: the scaling leaves constant fingerprints unscaled, where the program multiplies them by 0;
the program normalizes energies to −1 … 1, here their scale is that of the data.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adiabat.described import ElementNetworksPotential
from adiabat.descriptors.chebyshev import Chebyshev, ChebyshevConfig
from adiabat.potential import ArchitectureConfig


class AenetConfig(ArchitectureConfig):
    """Options of aenet's networks; the defaults are those of the program's example for TiO2."""

    method: Literal["aenet"] = "aenet"
    """Name of the architecture."""
    cutoff: float = Field(default=8.0, gt=0.0)
    """R_c of the radial distribution, Å."""
    radial_order: int = Field(default=16, ge=0)
    """Highest polynomial of the radial distribution."""
    angular_cutoff: float = Field(default=6.5, gt=0.0)
    """R_c of the angular distribution, Å, at most that of the radial one."""
    angular_order: int = Field(default=4, ge=0)
    """Highest polynomial of the angular distribution."""
    domain: Literal["cosine", "pi"] = "cosine"
    """Interval of the angular polynomials: −1 to 1, or 0 to π, which the program took for cosines until 2019."""
    weights: dict[str, float] = {}
    """Weight of each element; empty: …, −1, 1, … in the order of atomic numbers."""
    hidden: tuple[int, ...] = (15, 15)
    """Nodes of each hidden layer."""
    activation: str = "tanh"
    """Activation function of the hidden layers."""

    def descriptor(self) -> ChebyshevConfig:
        """The descriptor's options."""
        return ChebyshevConfig(
            cutoff=self.cutoff,
            radial_order=self.radial_order,
            angular_cutoff=self.angular_cutoff,
            angular_order=self.angular_order,
            domain=self.domain,
            weights=self.weights,
        )


class Aenet(ElementNetworksPotential):
    """E_i = ANN_t(fingerprints of atom i), one network for each element t."""

    config: AenetConfig
    descriptor: Chebyshev
