"""Element networks on power-type structure descriptors, as in LASP.

S.-D. Huang, C. Shang, P.-L. Kang and Z.-P. Liu, Chem. Sci. 9, 8644 (2018), doi:10.1039/C8SC03427C, after the networks
and their fit to energies, forces and stress of S.-D. Huang, C. Shang, X.-J. Zhang and Z.-P. Liu, Chem. Sci. 8, 6327
(2017), doi:10.1039/C7SC01459G; program: LASP, doi:10.1002/wcms.1415.

| paper | here | shape, unit |
|---|---|---|
| S¹ to S⁶ | `descriptor(graph)` | [atoms, size], 1 |
| E_i | `atomic_energies` | [atoms], eV |
| F, σ | `adiabat.evaluate` | eV/Å, eV/Å³ |

Departures from the paper: the descriptors are those of its page (descriptors/ptsd.py) with a small set of powers. The
program is closed, so that its files and numbers are not known here; the paper's text names no activation function.
"""

from __future__ import annotations

from typing import Literal

from adiabat.described import ElementNetworksPotential
from adiabat.descriptors.ptsd import PTSD, PTSDConfig
from adiabat.potential import ArchitectureConfig


class LaspNNConfig(ArchitectureConfig):
    """Options of the networks and their descriptors."""

    method: Literal["lasp_nn"] = "lasp_nn"
    """Name of the architecture."""
    structure: PTSDConfig = PTSDConfig()
    """The descriptors and their cutoff."""
    hidden: tuple[int, ...] = (110, 110)
    """Nodes of each hidden layer; the default is the paper's for boron."""
    activation: str = "tanh"
    """Activation function of the hidden layers."""

    def descriptor(self) -> PTSDConfig:
        """The descriptor's options."""
        return self.structure


class LaspNN(ElementNetworksPotential):
    """E = Σ_i of a network for each element on S¹ to S⁶ of atom i."""

    config: LaspNNConfig
    descriptor: PTSD
