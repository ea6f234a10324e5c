"""adiabat's HDF5 layout: atoms of all frames one after the other, found by offsets; read frame by frame.

```
/                     attributes: format = "adiabat", version = 1
numbers [atoms]       positions [atoms, 3] Å
offsets [frames + 1]  first atom of each frame
cell [frames, 3, 3]   pbc [frames, 3]   charge [frames]   multiplicity [frames]
info [frames]         JSON
labels/<name>         [frames, ...] or [atoms, ...], NaN where absent
present/<name>        [frames], bool
```
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from adiabat.data.formats.records import decode_info, encode_info
from adiabat.data.frame import LABELS, PER_ATOM, Frame
from adiabat.errors import AdiabatError, DataError
from adiabat.geometry import System

SUFFIXES = (".h5", ".hdf5")
VERSION = 1
_BLOCK = 256  # frames written at once
_SHAPES: dict[str, tuple[tuple[int, ...], Any]] = {
    "numbers": ((), np.int16),
    "positions": ((3,), np.float64),
    "cell": ((3, 3), np.float64),
    "pbc": ((3,), np.bool_),
    "charge": ((), np.float64),
    "multiplicity": ((), np.int16),
}
_LABEL_SHAPES: dict[str, tuple[int, ...]] = {
    "forces": (3,),
    "stress": (3, 3),
    "dipole": (3,),
    "polarizability": (3, 3),
}


class Hdf5Dataset:
    """Frames of an HDF5 file, each read when asked for.

    Attributes:
        labels: label to the number of frames that have it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._process = -1
        file = self._file()
        if file.attrs.get("format") != "adiabat":
            raise DataError(
                f"{path} is not in adiabat's HDF5 layout (it holds {', '.join(list(file)[:8])}): convert it to extxyz"
                " with the program that wrote it."
            )
        version = int(str(file.attrs["version"]))
        if version > VERSION:
            raise DataError(f"{path} has layout version {version}, newer than {VERSION}: update adiabat.")
        self._offsets = self._array("offsets")[:]
        self.labels = {name: int(self._array(f"present/{name}")[:].sum()) for name in self._group("labels")}

    def _file(self) -> h5py.File:
        if self._process != os.getpid():  # an open file must not be shared with a forked process
            try:
                self._opened = h5py.File(self.path, "r")
            except OSError as error:
                raise DataError(f"{self.path} cannot be opened: it is truncated or not HDF5 ({error}).") from error
            self._process = os.getpid()
        return self._opened

    def _array(self, name: str) -> h5py.Dataset:
        found = self._file().get(name)
        if not isinstance(found, h5py.Dataset):
            raise DataError(f"{self.path} has no array '{name}': it was not written whole.")
        return found

    def _group(self, name: str) -> list[str]:
        found = self._file().get(name)
        return list(found) if isinstance(found, h5py.Group) else []

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        index %= len(self)
        try:
            return self._read(index)
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, AdiabatError):
                raise
            raise DataError(f"frame {index} of {self.path} cannot be read: the file is damaged ({error}).") from error

    def _read(self, index: int) -> Frame:
        atoms = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        system = System.from_arrays(
            self._array("positions")[atoms],
            self._array("numbers")[atoms],
            self._array("cell")[index],
            self._array("pbc")[index],
            charge=float(self._array("charge")[index]),
            multiplicity=int(self._array("multiplicity")[index]),
        )
        labels = {}
        for name in self.labels:
            if self._array(f"present/{name}")[index]:
                values = self._array(f"labels/{name}")[atoms if name in PER_ATOM else index]
                labels[name] = torch.from_numpy(np.asarray(values, dtype=np.float64))
        return Frame(system, labels, decode_info(self._array("info")[index]))


def write(path: Path, frames: Iterable[Frame]) -> int:
    """Writes frames in blocks, so that any number passes through little memory; returns their number."""
    source = iter(frames)
    offsets = [0]
    with h5py.File(path, "w") as file:
        file.attrs.update(format="adiabat", version=VERSION)
        for name, (shape, kind) in _SHAPES.items():
            _create(file, name, shape, kind)
        text = h5py.string_dtype()
        file.create_dataset("info", (0,), maxshape=(None,), dtype=text, chunks=(_BLOCK,))
        while block := list(islice(source, _BLOCK)):
            _append_block(file, block, offsets)
        file.create_dataset("offsets", data=np.array(offsets, dtype=np.int64))
    return len(offsets) - 1


def _create(file: h5py.File, name: str, shape: tuple[int, ...], kind: Any, rows: int = 0) -> None:
    fill = np.nan if kind is np.float64 else 0
    file.create_dataset(
        name,
        (rows, *shape),
        maxshape=(None, *shape),
        dtype=kind,
        chunks=(1024, *shape),
        fillvalue=fill,
        compression=4,
    )


def _append(file: h5py.File, name: str, values: np.ndarray) -> None:
    array = file[name]
    assert isinstance(array, h5py.Dataset)
    start = len(array)
    array.resize(start + len(values), axis=0)
    array[start:] = values


def _append_block(file: h5py.File, block: list[Frame], offsets: list[int]) -> None:
    done, atoms_done = len(offsets) - 1, offsets[-1]
    systems = [frame.system for frame in block]
    offsets += (atoms_done + np.cumsum([s.atoms for s in systems])).tolist()
    for name in _SHAPES:
        _append(file, name, torch.cat([getattr(s, name) for s in systems]).numpy())
    _append(file, "info", np.array([encode_info(f.info) for f in block], dtype=object))
    for name in LABELS:
        present = np.array([name in f.labels for f in block])
        if f"labels/{name}" not in file:
            if not present.any():
                continue
            # frames before the first with this label have none
            _create(
                file,
                f"labels/{name}",
                _LABEL_SHAPES.get(name, ()),
                np.float64,
                atoms_done if name in PER_ATOM else done,
            )
            _create(file, f"present/{name}", (), np.bool_, done)
        _append(file, f"present/{name}", present)
        _append(file, f"labels/{name}", _label_rows(block, name))


def _label_rows(block: list[Frame], name: str) -> np.ndarray:
    shape = _LABEL_SHAPES.get(name, ())
    rows = []
    for frame in block:
        count = frame.system.atoms if name in PER_ATOM else 1
        empty = torch.full((count, *shape), torch.nan, dtype=torch.float64)
        rows.append(frame.labels[name].reshape(empty.shape) if name in frame.labels else empty)
    return torch.cat(rows).numpy()
