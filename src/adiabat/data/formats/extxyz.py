"""Extended XYZ: a line with the number of atoms, a line of key=value pairs, one line an atom.

The `.xz`, `.gz` and `.bz2` forms are read and written alike. The value rules follow the format's description:
quotes or brackets join words, numbers and T/F become values and arrays, `Properties=name:type:columns` names the
columns, `Lattice` lists the three lattice vectors one after the other.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.data import atomic_numbers

from adiabat.data.frame import PER_ATOM, Frame
from adiabat.data.raw import Raw
from adiabat.elements import symbols
from adiabat.errors import DataError

SUFFIXES = (".xyz", ".extxyz")
COMPRESSED = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
_TOKEN = re.compile(
    r"""([^\s="'{\[]+|"(?:\\.|[^"\\])*")      # a key
        (?:\s*=\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}(?!\S)|\[[^\]]*\](?!\S)|[^\s]+))?""",
    re.VERBOSE,
)
_BOOL = {"T": True, "F": False, "True": True, "False": False, "true": True, "false": False}
_BOOL |= {"TRUE": True, "FALSE": False}
_TYPES = {"R": float, "I": int, "S": str, "L": bool}


def open_text(path: Path, mode: str = "rt") -> IO[str]:
    """A text file, decompressed by its suffix."""
    opener = COMPRESSED.get(path.suffix.lower(), open)
    return opener(path, mode, encoding="utf-8")


def read(path: Path) -> Iterator[Raw]:
    """Yields the frames of an extended XYZ file; raises DataError naming the frame that cannot be read."""
    index = 0
    try:
        with open_text(path) as lines:
            while (head := _next_filled(lines)) is not None:
                yield _frame(head, lines, path, index)
                index += 1
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be decompressed beyond frame {index}: the file is truncated or damaged ({error})."
        ) from error


def _next_filled(lines: IO[str]) -> str | None:
    for line in lines:
        if line.strip():
            return line
    return None


def _frame(head: str, lines: IO[str], path: Path, index: int) -> Raw:
    try:
        atoms = int(head)
    except ValueError:
        raise DataError(
            f"frame {index} of {path} begins with {head.strip()[:40]!r} instead of its number of atoms:"
            " the frame before has more lines than it says, or this is not an extended XYZ file."
        ) from None
    comment = lines.readline()
    body = list(islice(lines, atoms))
    if len(body) < atoms or not comment:
        raise DataError(f"frame {index} of {path} ends after {len(body)} of {atoms} atoms: the file is truncated.")
    info = parse_comment(comment)
    try:
        arrays = _columns(str(info.pop("Properties", "species:S:1:pos:R:3")), body)
        return _assemble(info, arrays, atoms)
    except (ValueError, KeyError, IndexError) as error:
        raise DataError(f"frame {index} of {path} cannot be read: {error}.") from error


def _assemble(info: dict[str, Any], arrays: dict[str, np.ndarray], atoms: int) -> Raw:
    if "pos" not in arrays:
        raise ValueError(f"its Properties name no 'pos' column but {', '.join(arrays)}")
    names = arrays.pop("species", None)
    z = arrays.pop("Z", None)
    if names is not None:
        numbers = _numbers(names)
    elif z is not None:
        numbers = z.astype(np.int64)
    else:
        raise ValueError("its Properties name neither a 'species' nor a 'Z' column")
    lattice = info.pop("Lattice", None)
    cell = np.zeros((3, 3)) if lattice is None else np.asarray(lattice, dtype=np.float64).reshape(3, 3)
    pbc = info.pop("pbc", lattice is not None)
    pbc = np.broadcast_to(np.asarray(pbc, dtype=bool), (3,))
    return Raw(numbers, arrays.pop("pos").reshape(atoms, 3), cell, pbc, info, arrays)


_SYMBOLS: dict[str, int] = {}


def _numbers(names: np.ndarray) -> np.ndarray:
    for name in set(names.tolist()) - _SYMBOLS.keys():
        key = name if name in atomic_numbers else name.capitalize()
        value = int(name) if name.isdigit() else atomic_numbers.get(key)
        if not value:
            raise ValueError(f"'{name}' is not a chemical symbol")
        _SYMBOLS[name] = value
    return np.array([_SYMBOLS[name] for name in names.tolist()], dtype=np.int64)


def _columns(properties: str, body: list[str]) -> dict[str, np.ndarray]:
    parts = properties.split(":")
    if len(parts) % 3:
        raise ValueError(f"Properties={properties} is not a list of name:type:columns")
    fields = [(parts[k], parts[k + 1], int(parts[k + 2])) for k in range(0, len(parts), 3)]
    width = sum(count for _, _, count in fields)
    tokens = "".join(body).split()
    if len(tokens) != width * len(body):
        raise ValueError(f"its atom lines do not all have the {width} columns of Properties={properties}")
    arrays, start = {}, 0
    for name, kind, count in fields:
        if kind not in _TYPES:
            raise ValueError(f"the column type '{kind}' in Properties={properties} is none of R, I, S, L")
        columns = [tokens[start + k :: width] for k in range(count)]
        if kind == "L":
            columns = [[_BOOL[t] for t in c] for c in columns]
        elif kind == "R":
            columns = [[float(t) for t in c] for c in columns]
        elif kind == "I":
            columns = [[int(t) for t in c] for c in columns]
        array = np.array(columns, dtype=None if kind == "S" else _TYPES[kind]).T
        arrays[name] = array[:, 0] if count == 1 else np.ascontiguousarray(array)
        start += count
    return arrays


def parse_comment(line: str) -> dict[str, Any]:
    """The key=value pairs of a comment line; a key alone means True."""
    info: dict[str, Any] = {}
    for match in _TOKEN.finditer(line):
        key = _unquote(match.group(1))
        given = match.group(2)
        info[key] = True if given is None else _value(_unquote(given))
    return info


def _unquote(text: str) -> str:
    if len(text) > 1 and text[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[-1] == text[0] else text
    for opening, closing in ("{}", "[]"):
        if text.startswith(opening) and text.find(closing) == len(text) - 1:
            return text[1:-1]
    return text


def _value(text: str) -> Any:
    if text.startswith("_JSON "):
        return json.loads(text[6:])
    words = text.replace(",", " ").split()
    for kind in (int, float):
        try:
            numbers = [kind(w) for w in words]
        except ValueError:
            continue
        return numbers[0] if len(numbers) == 1 else np.array(numbers)
    if words and all(w in _BOOL for w in words):
        flags = [_BOOL[w] for w in words]
        return flags[0] if len(flags) == 1 else np.array(flags)
    return text


def write(path: Path, frames: Iterable[Frame]) -> int:
    """Writes frames with `REF_` keys and every digit; returns their number."""
    count = 0
    with open_text(path, "wt") as out:
        for frame in frames:
            out.write(_text(frame))
            count += 1
    return count


def _text(frame: Frame) -> str:
    system = frame.system
    pairs = []
    if bool(system.pbc.any()) or bool(system.cell.any()):
        pairs.append(("Lattice", system.cell.flatten().tolist()))
    properties, columns = ["species:S:1:pos:R:3"], [system.positions.tolist()]
    for name, label in frame.labels.items():
        if name in PER_ATOM:
            rows = label.reshape(system.atoms, -1)
            properties.append(f"REF_{name}:R:{rows.shape[1]}")
            columns.append(rows.tolist())
        else:
            pairs.append((f"REF_{name}", label.flatten().tolist()))
    pairs.append(("Properties", ":".join(properties)))
    if float(system.charge) != 0:
        pairs.append(("total_charge", float(system.charge)))
    if int(system.multiplicity) != 1:
        pairs.append(("multiplicity", int(system.multiplicity)))
    pairs += [(k, v) for k, v in frame.info.items() if k not in ("source", "index")]
    pairs.append(("pbc", system.pbc.flatten().tolist()))
    comment = " ".join(f"{_key(k)}={_written(v)}" for k, v in pairs)
    lines = [str(system.atoms), comment]
    for name, *rows in zip(symbols(system.numbers.tolist()), *columns, strict=True):
        lines.append(f"{name} " + " ".join(repr(x) for row in rows for x in row))
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return json.dumps(key) if re.search(r"[\s=\"'{\[]", key) else key


def _written(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list) and value and all(isinstance(v, bool | int | float) for v in value):
        return '"' + " ".join(_written(v) for v in value) + '"' if len(value) > 1 else _written(value[0])
    if not isinstance(value, str):
        value = "_JSON " + json.dumps(value)
    if value and not re.search(r"[\s=\"'{}\[\]\\]", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
