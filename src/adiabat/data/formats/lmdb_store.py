"""adiabat's LMDB layout: one safetensors record a frame under its number, and `meta` with format, version and counts.

LMDB files of other programs hold pickles, which run code when read, and are refused.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import lmdb

from adiabat.data.formats.records import decode, encode
from adiabat.data.frame import Frame
from adiabat.errors import DataError

SUFFIXES = (".lmdb",)
VERSION = 1
_BLOCK = 256  # frames written in one transaction


def _key(index: int) -> bytes:
    return b"%012d" % index


class LmdbDataset:
    """Frames of an LMDB file, each read when asked for.

    Attributes:
        labels: label to the number of frames that have it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._process = -1
        meta = self._get(b"meta")
        stated = json.loads(meta) if meta else {}
        if stated.get("format") != "adiabat":
            raise DataError(
                f"{path} is not in adiabat's LMDB layout. Files of other programs hold pickles, which run code when"
                " read: convert them to extxyz with the program that wrote them."
            )
        if stated["version"] > VERSION:
            raise DataError(f"{path} has layout version {stated['version']}, newer than {VERSION}: update adiabat.")
        self._frames = int(stated["frames"])
        self.labels: dict[str, int] = stated["labels"]

    def _open(self) -> lmdb.Environment:
        if self._process != os.getpid():  # an environment must not be shared with a forked process
            try:
                env = lmdb.open(str(self.path), subdir=self.path.is_dir(), readonly=True, lock=False, readahead=False)
            except lmdb.Error as error:
                raise DataError(f"{self.path} cannot be opened: it is truncated or not LMDB ({error}).") from error
            file = self.path / "data.mdb" if self.path.is_dir() else self.path
            # pages beyond the end of the file would end the process with a bus error
            if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > file.stat().st_size:
                env.close()
                raise DataError(f"{self.path} is shorter than its table of pages says: the file is truncated.")
            self._env, self._process = env, os.getpid()
        return self._env

    def _get(self, key: bytes) -> bytes | None:
        try:
            with self._open().begin() as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise DataError(f"the record {key.decode()} of {self.path} cannot be read: {error}.") from error

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        index %= len(self)
        data = self._get(_key(index))
        if data is None:
            raise DataError(f"frame {index} of {self.path} is missing: the file was not written whole.")
        try:
            return decode(data)
        except (ValueError, KeyError) as error:
            raise DataError(
                f"frame {index} of {self.path} cannot be read: its record is damaged ({error})."
            ) from error


def write(path: Path, frames: Iterable[Frame]) -> int:
    """Writes frames and returns their number."""
    env = lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 28)
    count, labels, block = 0, Counter(), []
    try:
        for frame in frames:
            block.append((_key(count), encode(frame)))
            labels.update(frame.labels.keys())
            count += 1
            if len(block) == _BLOCK:
                _put(env, block)
                block = []
        meta = {"format": "adiabat", "version": VERSION, "frames": count, "labels": labels}
        _put(env, [*block, (b"meta", json.dumps(meta).encode())])
        env.sync(True)
    finally:
        env.close()
    return count


def _put(env: lmdb.Environment, records: list[tuple[bytes, bytes]]) -> None:
    while True:
        try:
            with env.begin(write=True) as transaction:
                for key, data in records:
                    transaction.put(key, data)
            return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])
