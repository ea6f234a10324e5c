"""MD17-style npz: one molecule, arrays `R [frames, atoms, 3]`, `E [frames]`, `F`, `z [atoms]`.

The revised MD17 names (`coords`, `energies`, `forces`, `nuclear_charges`) are read alike. Energies are in
kcal/mol and lengths in Å unless the file names its units (`e_unit`, `r_unit`, as sGDML writes them).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.data.raw import Raw
from adiabat.errors import DataError

SUFFIXES = (".npz",)
_NAMES = {
    "positions": ("R", "coords"),
    "numbers": ("z", "nuclear_charges"),
    "energy": ("E", "energies"),
    "forces": ("F", "forces"),
    "dipole": ("D", "dipoles"),
}
_UNITS = {"Ang": "Angstrom", "Å": "Angstrom", "Ha": "Hartree", "hartree": "Hartree", "bohr": "Bohr"}


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            members = {name for names in _NAMES.values() for name in names} | {"lattice", "e_unit", "r_unit"}
            return {k: file[k] for k in file.files if k in members}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as npz: {error}.") from error


def units(path: Path) -> dict[str, str]:
    """The file's units by name: its own statement, else kcal/mol and Å."""
    content = _load(path)
    names = {"energy": "kcal/mol", "length": "Angstrom"}
    for quantity, key in (("energy", "e_unit"), ("length", "r_unit")):
        if key in content:
            stated = str(content[key])
            names[quantity] = _UNITS.get(stated, stated)
    return names


def read(path: Path) -> Iterator[Raw]:
    """Yields the frames; raises DataError for missing arrays, shapes that do not agree and periodic sets."""
    content = _load(path)
    found = {name: content[k] for name, keys in _NAMES.items() for k in keys if k in content}
    for name in ("positions", "numbers"):
        if name not in found:
            raise DataError(
                f"{path} has no {' or '.join(_NAMES[name])} array ({', '.join(content)}): it is not MD17-style."
            )
    if "lattice" in content:
        raise DataError(f"{path} has a lattice, which MD17-style files do not define: convert it to extxyz.")
    positions, numbers = found["positions"], found["numbers"].astype(np.int64)
    frames, atoms = positions.shape[:2]
    for name, size in (("energy", frames), ("forces", positions.size), ("dipole", 3 * frames)):
        if name in found and found[name].size != size:
            raise DataError(
                f"{path}: {name} has shape {found[name].shape}, which does not fit {frames} frames of {atoms}."
            )
    for index in range(frames):
        info = {k: found[k].reshape(frames, -1)[index] for k in ("dipole",) if k in found}
        if "energy" in found:
            info["energy"] = float(found["energy"].reshape(-1)[index])
        arrays = {"forces": found["forces"][index]} if "forces" in found else {}
        z = numbers if numbers.ndim == 1 else numbers[index]
        real = z > 0  # sets of several molecules are padded with zeros
        arrays = {k: v[real] for k, v in arrays.items()}
        yield Raw(z[real], positions[index][real], np.zeros((3, 3)), np.zeros(3, bool), info, arrays)
