"""Element symbols, atomic numbers, covalent radii (ASE's tables, so that peers' numbers are reproduced)."""

from collections.abc import Iterable

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from ase.data import covalent_radii as _covalent_radii

from adiabat.errors import GeometryError, did_you_mean

MAX_NUMBER = 118
COVALENT_RADII = np.asarray(_covalent_radii[: MAX_NUMBER + 1])  # Å, index = atomic number (Cordero 2008)
MASSES = np.asarray(atomic_masses[: MAX_NUMBER + 1])  # amu, index = atomic number


def symbol(number: int) -> str:
    """Chemical symbol of an atomic number from 1 to 118."""
    if not 1 <= int(number) <= MAX_NUMBER:
        raise GeometryError(f"atomic number {number} does not exist: give a whole number from 1 to {MAX_NUMBER}.")
    return chemical_symbols[int(number)]


def symbols(numbers: Iterable[int]) -> list[str]:
    """Chemical symbols of several atomic numbers."""
    return [symbol(n) for n in numbers]


def number(name: str | int) -> int:
    """Atomic number of a symbol (`"Cu"`) or of a number given as such."""
    if isinstance(name, str) and not name.isdigit():
        if name not in atomic_numbers or atomic_numbers[name] == 0:
            raise GeometryError(f"'{name}' is not a chemical symbol.{did_you_mean(name, chemical_symbols[1:119])}")
        return int(atomic_numbers[name])
    symbol(int(name))
    return int(name)
