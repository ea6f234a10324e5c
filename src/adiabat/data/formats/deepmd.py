"""DeePMD folders: `type.raw`, `type_map.raw` and `set.*/` with coord, box, energy, force, virial, dipole and
polarizability as npy.

Units are eV and Å. The virial is −volume × stress in ASE's sign. A folder above several systems is read whole.
Mixed-type systems (`real_atom_types.npy`) are read too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adiabat.data.raw import Raw
from adiabat.elements import number
from adiabat.errors import DataError

_PER_FRAME = ("energy", "virial", "dipole", "polarizability")


def sniff(path: Path) -> bool:
    """Whether a folder, or one below it, is a DeePMD system."""
    return path.is_dir() and next(path.rglob("type.raw"), None) is not None


def read(path: Path) -> Iterator[Raw]:
    """Yields the frames of all systems and sets, in order of their names; raises DataError naming the bad file."""
    for system in sorted(p.parent for p in path.rglob("type.raw")):
        types = np.loadtxt(system / "type.raw", dtype=np.int64, ndmin=1)
        names = system / "type_map.raw"
        if not names.exists():
            raise DataError(
                f"{names} does not exist, so the elements are unknown: write their symbols there, one a line, in the"
                " order of the type numbers."
            )
        table = np.array([number(s) for s in names.read_text(encoding="utf-8").split()], dtype=np.int64)
        sets = sorted(system.glob("set.*"))
        if not sets:
            raise DataError(f"{system} has no set.* folder: it holds types but no frames.")
        for folder in sets:
            yield from _set(folder, types, table, periodic=not (system / "nopbc").exists())


def _load(file: Path) -> np.ndarray | None:
    if not file.exists():
        return None
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error


def _set(folder: Path, types: np.ndarray, table: np.ndarray, periodic: bool) -> Iterator[Raw]:
    coordinates = _load(folder / "coord.npy")
    if coordinates is None:
        raise DataError(f"{folder} has no coord.npy.")
    frames, atoms = len(coordinates), len(types)
    box = _load(folder / "box.npy")
    if periodic and box is None:
        raise DataError(f"{folder} has no box.npy, and the system no file nopbc: add the one or the other.")
    forces, mixed = _load(folder / "force.npy"), _load(folder / "real_atom_types.npy")
    perframe = {k: v for k in _PER_FRAME if (v := _load(folder / f"{k}.npy")) is not None}
    for name, array in {"coord": coordinates, "box": box, "force": forces, **perframe}.items():
        if array is not None and len(array) != frames:
            raise DataError(f"{folder / name}.npy has {len(array)} frames where coord.npy has {frames}.")
    for index in range(frames):
        kinds = types if mixed is None else mixed[index]
        if kinds.max() >= len(table):
            raise DataError(f"{folder} uses type {kinds.max()}, but type_map.raw names {len(table)} elements.")
        real = kinds >= 0  # mixed-type systems are padded with −1
        info = {k: v[index].reshape(-1) for k, v in perframe.items()} | {"set": f"{folder.parent.name}/{folder.name}"}
        arrays = {} if forces is None else {"forces": forces[index].reshape(atoms, 3)[real]}
        cell = np.zeros((3, 3)) if box is None or not periodic else box[index].reshape(3, 3)
        yield Raw(
            table[kinds[real]], coordinates[index].reshape(atoms, 3)[real], cell, np.full(3, periodic), info, arrays
        )
