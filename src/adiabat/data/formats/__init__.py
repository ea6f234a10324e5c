"""File formats: one file each. A reader yields Raw frames; a store (HDF5, LMDB) is opened as a Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adiabat.data.dataset import Dataset
from adiabat.data.formats import ase_any, cfg, deepmd, extxyz, hdf5, lmdb_store, md17
from adiabat.data.frame import Frame
from adiabat.data.raw import Raw
from adiabat.errors import DataError, did_you_mean


class Store(Dataset, Protocol):
    """A Dataset that knows how many frames have each label."""

    labels: dict[str, int]


@dataclass(frozen=True)
class Format:
    """How one kind of file is read and written.

    Attributes:
        name: as users write it.
        suffixes: of its files; compression suffixes are taken off before.
        read: yields Raw frames, or None for a store.
        open: opens a store that reads frames when asked, or None.
        write: writes frames and returns their number, or None for a format that is only read.
        units: gives the names of a file's units where they are not eV and Å, or None.
        sniff: recognizes a path by its content, or None.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    read: Callable[[Path], Iterator[Raw]] | None = None
    open: Callable[[Path], Store] | None = None
    write: Callable[[Path, Iterable[Frame]], int] | None = None
    units: Callable[[Path], dict[str, str]] | None = None
    sniff: Callable[[Path], bool] | None = None


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("extxyz", extxyz.SUFFIXES, read=extxyz.read, write=extxyz.write),
        Format("hdf5", hdf5.SUFFIXES, open=hdf5.Hdf5Dataset, write=hdf5.write),
        Format("lmdb", lmdb_store.SUFFIXES, open=lmdb_store.LmdbDataset, write=lmdb_store.write),
        Format("md17", md17.SUFFIXES, read=md17.read, units=md17.units),
        Format("cfg", cfg.SUFFIXES, read=cfg.read, write=cfg.write, sniff=cfg.sniff),
        Format("deepmd", read=deepmd.read, sniff=deepmd.sniff),
        Format("ase", (), read=ase_any.read),
    )
}


def suffix(path: Path) -> str:
    """The suffix that names the format, `.xyz` for `water.xyz.xz`."""
    name = path.name.lower()
    for compressed in extxyz.COMPRESSED:
        name = name.removesuffix(compressed)
    return Path(name).suffix


def find(path: Path, name: str | None = None, writing: bool = False) -> Format:
    """The format of a path, by name, suffix or content; everything else is left to ASE.

    Raises DataError for an unknown name and, when writing, for a format that cannot be written.
    """
    if name is not None:
        if name not in FORMATS:
            raise DataError(f"'{name}' is not a data format.{did_you_mean(name, FORMATS)}")
        found = FORMATS[name]
    else:
        found = next((f for f in FORMATS.values() if suffix(path) in f.suffixes), None)
        if found is None and not writing:
            found = next((f for f in FORMATS.values() if f.sniff and f.sniff(path)), FORMATS["ase"])
    if writing and (found is None or found.write is None):
        able = [f for f in FORMATS.values() if f.write]
        raise DataError(
            f"{path} cannot be written: choose a name ending in {', '.join(s for f in able for s in f.suffixes)}"
            f" or a format of {', '.join(f.name for f in able)}."
        )
    assert found is not None
    return found
