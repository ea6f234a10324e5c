""".cfg files of MLIP-2 and MLIP-3 (doi:10.1088/2632-2153/abc9fe): blocks between BEGIN_CFG and END_CFG, eV and Å.

Atoms have types 0, 1 ... instead of elements. Which these are is said by a line `Feature elements Cu,Zr` in a block,
as written here and kept by MLIP, or else by a file `type_map.raw` beside the data with a symbol a line, as in folders
of DeePMD. PlusStress is the virial, −volume × stress.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from adiabat.data.formats.extxyz import open_text
from adiabat.data.frame import Frame
from adiabat.data.raw import VOIGT, Raw
from adiabat.elements import number, symbol
from adiabat.errors import AdiabatError, DataError

SUFFIXES = (".cfg",)
_STRESS = ("xx", "yy", "zz", "yz", "xz", "xy")
_TYPES = "type_map.raw"
_AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def sniff(path: Path) -> bool:
    """Whether a file begins as .cfg files of MLIP do; those of AtomEye, with the same ending, do not."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"BEGIN_CFG")


def read(path: Path) -> Iterator[Raw]:
    """Yields the frames; raises DataError naming the frame that cannot be read."""
    names = path.parent / _TYPES
    known = names.read_text(encoding="utf-8").split() if names.exists() else []
    index = 0
    with open_text(path) as lines:
        for line in lines:
            if line.strip() == "BEGIN_CFG":
                try:
                    yield _frame(lines, known)
                except (ValueError, IndexError, KeyError, AdiabatError) as error:
                    raise DataError(f"frame {index} of {path} cannot be read: {error}.") from error
                index += 1
    if not index:
        raise DataError(f"{path} has no BEGIN_CFG: is it a .cfg file of MLIP? Those of AtomEye are format ase.")


def _frame(lines: IO[str], known: list[str]) -> Raw:
    size, cell, columns, info = 0, [], {}, {}
    for line in lines:
        words = line.split()
        key = words[0].rstrip(":").lower() if words else ""
        if key == "end_cfg":
            return _raw(size, cell, columns, info, known)
        if key == "size":
            size = int(next(lines))
        elif key == "supercell":
            cell = [[float(v) for v in row.split()] for row in islice(lines, 3)]
        elif key in ("atomdata", "atomic_data"):
            rows = np.array([[float(v) for v in row.split()] for row in islice(lines, size)]).reshape(size, -1)
            columns = dict(zip(words[1:], rows.T, strict=True))
        elif key == "energy":
            info["energy"] = float(next(lines))
        elif key in ("plusstress", "stress"):
            values = dict(zip(words[1:], map(float, next(lines).split()), strict=True))
            info["virial"] = np.array([values[name] for name in _STRESS])[VOIGT] * (1 if key == "plusstress" else -1)
        elif key == "feature" and len(words) > 2:
            info[words[1]] = " ".join(words[2:])
    raise ValueError("it has no END_CFG")


def _raw(size: int, cell: list[list[float]], columns: dict[str, Any], info: dict[str, Any], known: list[str]) -> Raw:
    box = np.zeros((3, 3))
    box[: len(cell)] = np.array(cell).reshape(-1, 3)
    pbc = np.arange(3) < len(cell)
    direct = "direct_x" in columns
    positions = np.stack([columns[f"{'direct' if direct else 'cartes'}_{axis}"] for axis in "xyz"], axis=1)
    forces = [columns[f"f{axis}"] for axis in "xyz" if f"f{axis}" in columns]
    names = re.split(r"[,\s]+", info.pop("elements")) if "elements" in info else known
    types = columns["type"].astype(int) if size else np.zeros(0, dtype=int)
    if size and types.max() >= len(names):
        raise ValueError(
            f"type {types.max()} has no element, so write symbols into {_TYPES} beside it, a line for each type"
        )
    arrays = {"forces": np.stack(forces, axis=1)} if len(forces) == 3 else {}
    table = np.array([number(name) for name in names])
    return Raw(table[types], positions @ box if direct else positions, box, pbc, info, arrays)


def write(path: Path, frames: Iterable[Frame]) -> int:
    """Writes frames and returns their number; types count the elements of all frames, in order of atomic numbers.

    Raises DataError for frames periodic along the second or third lattice vector but not along those before it,
    for which the format has no place.
    """
    frames = list(frames)
    numbers = sorted({int(z) for frame in frames for z in frame.system.numbers})
    with open_text(path, "wt") as out:
        for index, frame in enumerate(frames):
            pbc = frame.system.pbc[0].tolist()
            if sorted(pbc, reverse=True) != pbc:
                raise DataError(
                    f"frame {index} is periodic along {pbc}: a .cfg file needs periodic directions first."
                )
            out.write(_text(frame, numbers))
    return len(frames)


def _text(frame: Frame, numbers: list[int]) -> str:
    system, labels = frame.system, frame.labels
    vectors = system.cell[0][system.pbc[0]].tolist()
    lines = ["BEGIN_CFG", " Size", f"    {system.atoms}"]
    if vectors:
        lines += [" Supercell", *("    " + _row(vector) for vector in vectors)]
    forces = labels.get("forces")
    named = " AtomData:  id type cartes_x cartes_y cartes_z"
    lines.append(named if forces is None else named + " fx fy fz")
    for k, (z, position) in enumerate(zip(system.numbers.tolist(), system.positions.tolist(), strict=True)):
        row = position if forces is None else [*position, *forces[k].tolist()]
        lines.append(f"    {k + 1} {numbers.index(z)} {_row(row)}")
    if "energy" in labels:
        lines += [" Energy", f"    {float(labels['energy']):.12f}"]
    if "stress" in labels and bool(system.pbc.all()):
        virial = (-labels["stress"].reshape(3, 3) * system.volume).tolist()
        lines += [" PlusStress:  " + " ".join(_STRESS), "    " + _row([virial[a][b] for a, b in _AXES])]
    lines += [f" Feature   elements   {','.join(symbol(z) for z in numbers)}", "END_CFG", ""]
    return "\n".join(lines) + "\n"


def _row(values: Iterable[float]) -> str:
    return " ".join(f"{v:.10f}" for v in values)
