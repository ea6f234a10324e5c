"""Potentials as one compiled function of energy, forces and stress, for any number of atoms, pairs and systems."""

from adiabat.compile.frozen import Frozen, quickest
from adiabat.compile.potential import CompiledPotential, compiled

__all__ = ["CompiledPotential", "Frozen", "compiled", "quickest"]
