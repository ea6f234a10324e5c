"""Raw: one frame as its file says it, and its way to a Frame with labels in eV and Å."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from adiabat.data.frame import Frame
from adiabat.data.keys import Choice
from adiabat.errors import ConfigError, DataError, did_you_mean
from adiabat.geometry import System
from adiabat.units import BOHR, COULOMB, DEBYE, GPA, KBAR, energy_unit, length_unit

STRESS = {"eV/Å^3": 1.0, "eV/A^3": 1.0, "GPa": GPA, "kbar": KBAR, "kB": KBAR}
DIPOLE = {"e·Å": 1.0, "eA": 1.0, "Debye": DEBYE}
POLARIZABILITY = {"e·Å²/V": 1.0, "Å^3": 1.0 / COULOMB, "A^3": 1.0 / COULOMB, "Bohr^3": BOHR**3 / COULOMB}
VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # xx, yy, zz, yz, xz, xy
_TABLES = {"stress": STRESS, "dipole": DIPOLE, "polarizability": POLARIZABILITY}


@dataclass
class Raw:
    """One frame as a file says it.

    Attributes:
        numbers: atomic numbers `[atoms]`.
        positions: `[atoms, 3]` in the file's length unit.
        cell: `[3, 3]` in the file's length unit, rows are lattice vectors.
        pbc: `[3]`, bool.
        info: per-frame values.
        arrays: per-atom values, first axis the atoms.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Units:
    """Size of a file's units in eV, Å, eV/Å³, e·Å and e·Å²/V. Forces are energy per length, virials energy."""

    energy: float = 1.0
    length: float = 1.0
    stress: float = 1.0
    dipole: float = 1.0
    polarizability: float = 1.0

    @classmethod
    def named(cls, names: Mapping[str, str]) -> Units:
        """From names such as `{"energy": "Hartree", "length": "Bohr", "stress": "GPa"}`.

        Raises ConfigError for a quantity or unit that is not known.
        """
        values = {}
        for quantity, name in names.items():
            if quantity == "energy":
                values[quantity] = energy_unit(name)
            elif quantity == "length":
                values[quantity] = length_unit(name)
            elif quantity in _TABLES:
                table = _TABLES[quantity]
                if name not in table:
                    raise ConfigError(f"'{name}' is not a {quantity} unit.{did_you_mean(name, table)}")
                values[quantity] = table[name]
            else:
                known = ("energy", "length", "stress", "dipole", "polarizability")
                raise ConfigError(f"'{quantity}' has no unit to set.{did_you_mean(quantity, known)}")
        return cls(**values)


def to_frame(
    raw: Raw, choices: Mapping[str, Choice], units: Units, source: str, index: int
) -> tuple[Frame, set[str]]:
    """One frame with its labels, and the names of labels dropped because they held NaN or infinity.

    Raises GeometryError for a structure that cannot be evaluated, DataError for a label of the wrong shape.
    """
    length = units.length
    system = System.from_arrays(
        raw.positions if length == 1.0 else np.asarray(raw.positions) * length,
        raw.numbers,
        raw.cell if length == 1.0 else np.asarray(raw.cell) * length,
        raw.pbc,
        charge=_total_charge(raw, choices),
        multiplicity=_multiplicity(raw, choices),
    )
    labels, dropped = {}, set()
    used = set()
    for role, choice in choices.items():
        used.add(choice.key)
        if role in ("charge", "multiplicity", "unpaired_electrons"):
            continue
        value = _find(raw, choice)
        if value is None:
            continue
        name = "stress" if role == "virial" else role
        array = _label(role, value, choice, units, system)
        if np.isfinite(array).all():
            labels[name] = torch.from_numpy(array)
        else:
            dropped.add(name)
    info = {k: v for k, v in raw.info.items() if k not in used}
    info["source"], info["index"] = source, index
    return Frame(system, labels, info), dropped


def _find(raw: Raw, choice: Choice) -> Any | None:
    place = raw.arrays if choice.per_atom else raw.info
    return place.get(choice.key)


def _label(role: str, value: Any, choice: Choice, units: Units, system: System) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64) * choice.sign
    except (TypeError, ValueError):
        raise DataError(f"the key '{choice.key}' for {role} holds {value!r}, which is not a number.") from None
    atoms = system.atoms
    sizes = dict.fromkeys(("stress", "virial", "polarizability"), (6, 9))
    sizes |= {"energy": (1,), "dipole": (3,), "forces": (3 * atoms,)}
    if array.size not in sizes.get(role, (atoms,)):
        wanted = " or ".join(str(s) for s in sizes.get(role, (atoms,)))
        raise DataError(f"the key '{choice.key}' for {role} holds {array.size} values where {wanted} are needed.")
    if role == "energy":
        return np.asarray(array.reshape(()) * units.energy)
    if role == "forces":
        return array.reshape(atoms, 3) * (units.energy / units.length)
    if role == "dipole":
        return array.reshape(3) * units.dipole
    if role == "polarizability":
        return symmetric(array) * units.polarizability
    if role == "stress":
        return symmetric(array) * units.stress
    if role == "virial":
        volume = float(system.volume)
        if volume <= 0:
            raise DataError(f"the key '{choice.key}' holds a virial, but the frame has no cell to divide by.")
        return -symmetric(array) * units.energy / volume
    return array.reshape(atoms)


def symmetric(values: np.ndarray) -> np.ndarray:
    """A symmetric `[3, 3]` tensor from 9 numbers or from 6 in Voigt order xx, yy, zz, yz, xz, xy."""
    flat = values.reshape(-1)
    if flat.size == 6:
        return flat[VOIGT]
    square = flat.reshape(3, 3)
    return 0.5 * (square + square.T)


def _total_charge(raw: Raw, choices: Mapping[str, Choice]) -> float:
    choice = choices.get("charge")
    value = None if choice is None else raw.info.get(choice.key)
    if value is None:
        return 0.0
    if isinstance(value, str) or np.ndim(value) != 0 or not np.isfinite(value):
        raise DataError(f"the total charge {value!r} is not a finite number: correct it or read with charge=none.")
    return float(value)


def _multiplicity(raw: Raw, choices: Mapping[str, Choice]) -> int:
    choice, unpaired = choices.get("multiplicity"), choices.get("unpaired_electrons")
    if choice is None and unpaired is None:
        return 1
    used = unpaired or choice
    assert used is not None
    value = raw.info.get(used.key)
    if value is None:
        return 1
    lowest = 0 if unpaired else 1
    if isinstance(value, str) or np.ndim(value) != 0 or int(value) != value or value < lowest:
        hint = (
            f" if it counts unpaired electrons, read with unpaired_electrons={used.key}" if not unpaired else ""
        ) or f" read with unpaired_electrons=none to ignore {used.key}"
        raise DataError(
            f"{used.key} is {value!r}, which is not a whole number of at least {lowest}"
            f"{'' if unpaired else ' (multiplicity 2S+1)'}:{hint}."
        )
    return int(value) + (1 if unpaired else 0)
