"""Element networks on radial sums and sums over bonds, as in the rapid artificial neural network (RANN).

D. Dickel, M. Nitol and C. D. Barrett, Comput. Mater. Sci. 196, 110481 (2021), doi:10.1016/j.commatsci.2021.110481;
program: ML-RANN of LAMMPS.

| paper | here | shape, unit |
|---|---|---|
| F_n, G_mk | `descriptor(graph)` | [atoms, size], 1 |
| 0.1 x + 0.9 ln(1 + eˣ) | activation `sigi` | 1 |
| E_i | `atomic_energies` | [atoms], eV |

Departures from the paper: those of the fingerprints (descriptors/rann.py); features are scaled by the training data
before the network, which is written into its first layer's weights in the program's files.
"""

from __future__ import annotations

from typing import Literal

from adiabat.described import ElementNetworksPotential
from adiabat.descriptors.rann import RANNFingerprints, RANNFingerprintsConfig
from adiabat.potential import ArchitectureConfig


class RANNConfig(ArchitectureConfig):
    """Options of the networks and their fingerprints; the defaults are those of the potential for magnesium."""

    method: Literal["rann"] = "rann"
    """Name of the architecture."""
    structure: RANNFingerprintsConfig = RANNFingerprintsConfig()
    """The fingerprints and their cutoff."""
    hidden: tuple[int, ...] = (20,)
    """Nodes of each hidden layer."""
    activation: str = "sigi"
    """Activation function of the hidden layers."""

    def descriptor(self) -> RANNFingerprintsConfig:
        """The descriptor's options."""
        return self.structure


class RANN(ElementNetworksPotential):
    """E = Σ_i of a network for each element on the fingerprints of atom i."""

    config: RANNConfig
    descriptor: RANNFingerprints
