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

from adiabat.described import ElementNetworksPotential
from adiabat.descriptors.chebyshev import Chebyshev, ChebyshevConfig, ChebyshevOptions
from adiabat.potential import ArchitectureConfig


class AenetConfig(ChebyshevOptions, ArchitectureConfig):
    """Options of aenet's networks; the defaults are those of the program's example for TiO2."""

    method: Literal["aenet"] = "aenet"
    """Name of the architecture."""
    hidden: tuple[int, ...] = (15, 15)
    """Nodes of each hidden layer."""
    activation: str = "tanh"
    """Activation function of the hidden layers."""

    def descriptor(self) -> ChebyshevConfig:
        """The descriptor's options."""
        return ChebyshevConfig(**{name: getattr(self, name) for name in ChebyshevOptions.model_fields})


class Aenet(ElementNetworksPotential):
    """E_i = ANN_t(fingerprints of atom i), one network for each element t."""

    config: AenetConfig
    descriptor: Chebyshev
