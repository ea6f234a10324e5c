"""Torch files: zip archives (modules, state dicts, TorchScript) and the older stream of pickles, read as data."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals.builders import BUILDERS, Storage
from adiabat.pretrained.originals.unpickle import unpickle

_LEGACY = 0x1950A86A20F9469CFC6C  # what torch.save wrote first before it wrote zip archives
_ENTRIES = 100_000
_RATIO, _SLACK = 50, 16 << 20  # an archive may hold 50 times its size, and 16 MiB


def checked_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip archive whose entries are plain files inside of it and not much larger than the archive.

    Raises:
        CheckpointError: it is damaged, or has absolute paths, `..`, links, duplicates, encrypted entries or contents
            out of proportion.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise CheckpointError(f"{path} is not a readable zip archive: {error}.") from None
    entries = archive.infolist()
    fault = _fault(entries, path.stat().st_size)
    if fault:
        archive.close()
        raise CheckpointError(f"{path} is refused: {fault}. Is it a file of weights from a source you trust?")
    return archive


def _fault(entries: Sequence[zipfile.ZipInfo], size: int) -> str:
    if len(entries) > _ENTRIES:
        return f"it has {len(entries)} entries where {_ENTRIES} are allowed"
    seen: set[str] = set()
    for entry in entries:
        # the name as stored: the standard library turns some characters into others
        name = entry.orig_filename.replace("\\", "/")
        if name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/") or "\0" in name:
            return f"its entry {name[:80]!r} leads out of the archive"
        if stat.S_ISLNK(entry.external_attr >> 16):
            return f"its entry {name[:80]!r} is a link"
        if entry.flag_bits & 1:
            return f"its entry {name[:80]!r} is encrypted"
        if name in seen:
            return f"it has two entries {name[:80]!r}"
        seen.add(name)
    total = sum(entry.file_size for entry in entries)
    if total > _RATIO * size + _SLACK:
        return f"it is {size} bytes long and unpacks to {total}"
    return ""


@dataclass(frozen=True)
class TorchArchive:
    """A zip archive that torch wrote. Code in it (TorchScript) is never read."""

    path: Path

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Names of its files without the leading folder."""
        with checked_zip(self.path) as archive:
            return tuple(name.partition("/")[2] for name in archive.namelist())

    @cached_property
    def _folder(self) -> str:
        with checked_zip(self.path) as archive:
            starts = {name.partition("/")[0] for name in archive.namelist()}
        if len(starts) != 1:
            raise CheckpointError(f"{self.path} is not a torch archive: it has several folders at its top.")
        return starts.pop()

    @property
    def scripted(self) -> bool:
        """Whether it is a TorchScript archive."""
        return "constants.pkl" in self.entries

    def bytes(self, entry: str) -> bytes:
        """Content of one file."""
        with checked_zip(self.path) as archive:
            return self._read(archive, entry)

    def _read(self, archive: zipfile.ZipFile, entry: str) -> bytes:
        if entry not in self.entries:
            raise CheckpointError(f"{self.path} has no entry {entry}: it is damaged or of another program.")
        try:
            return archive.read(f"{self._folder}/{entry}")
        except (zipfile.BadZipFile, OSError, zlib.error, EOFError, NotImplementedError) as error:
            raise CheckpointError(f"{self.path} is damaged at {entry}: {error}.") from None

    def text(self, entry: str) -> str:
        """Content of one text file, such as `extra/cutoff`."""
        return self.bytes(entry).decode("utf-8", errors="replace")

    def value(self, entry: str = "data.pkl") -> Any:
        """The value of one pickle in it, tensors filled in."""
        if "byteorder" in self.entries and self.text("byteorder").strip() != "little":
            raise CheckpointError(f"{self.path} was written on a big-endian machine, which is not supported.")
        folder = "constants" if entry == "constants.pkl" else "data"
        storages: dict[str, Storage] = {}

        def storage(identifier: Any) -> Storage:
            kind, key, count = _identifier(identifier, self.path)
            if key not in storages:
                place = f"{folder}/{key}"
                if place not in self.entries and f"constants/{key}" in self.entries:
                    place = f"constants/{key}"
                storages[key] = _storage(self._read(archive, place), kind, count, self.path)
            return storages[key]

        with checked_zip(self.path) as archive:
            return unpickle(self._read(archive, entry), BUILDERS, storage, name=str(self.path))


def _identifier(identifier: Any, path: Path) -> tuple[torch.dtype, str, int]:
    """Number type, key and count of ("storage", class, key, device, count, ...)."""
    word, kind, key, _, count, *_ = [*identifier, *[None] * 5] if isinstance(identifier, tuple) else [None] * 5
    if word != "storage" or not isinstance(key, str) or type(count) is not int:
        raise CheckpointError(f"{path} refers to something that is not a tensor's storage: it is damaged.")
    return Storage.dtype(kind), key, count


def _storage(data: bytes, dtype: torch.dtype, count: int, path: Path) -> Storage:
    if count * dtype.itemsize != len(data):
        raise CheckpointError(f"{path} has a storage of {len(data)} bytes for {count} numbers: it is damaged.")
    if not data:
        return Storage(torch.zeros(0, dtype=dtype))
    return Storage(torch.frombuffer(bytearray(data), dtype=dtype))


def is_legacy(path: Path) -> bool:
    """Whether a file starts like those that torch wrote before 1.6."""
    with path.open("rb") as file:
        return file.read(64)[:16].find(struct.pack("<Q", _LEGACY & 0xFFFFFFFFFFFFFFFF)) >= 0


def read_legacy(path: Path) -> Any:
    """The value of a file that torch wrote before 1.6: a stream of pickles, then the storages' bytes."""
    data = path.read_bytes()
    stream = io.BytesIO(data)
    name = str(path)
    if unpickle(stream, name=name) != _LEGACY or unpickle(stream, name=name) != 1001:
        raise CheckpointError(f"{path} is not a torch file of a known version.")
    unpickle(stream, name=name)  # the writing machine's number sizes
    storages: dict[str, Storage] = {}
    budget = len(data)

    def storage(identifier: Any) -> Any:
        nonlocal budget
        if isinstance(identifier, tuple) and len(identifier) == 4 and identifier[0] == "module":
            return identifier[1]  # a class, with its source text, which is left unread
        dtype, key, count = _identifier(identifier, path)
        if len(identifier) > 5 and identifier[5] is not None:
            raise CheckpointError(f"{path} has views of storages, which only very old files have: not supported.")
        if key not in storages:
            budget -= count * dtype.itemsize
            if budget < 0 or count < 0:
                raise CheckpointError(f"{path} asks for more numbers than it has: it is damaged.")
            storages[key] = Storage(torch.zeros(count, dtype=dtype))
        return storages[key]

    value = unpickle(stream, BUILDERS, storage, name=name)
    for key in unpickle(stream, name=name):
        if not isinstance(key, str) or key not in storages:
            raise CheckpointError(f"{path} lists a storage that no tensor uses: it is damaged.")
        target = storages[key].values
        head = stream.read(8)
        part = stream.read(target.numel() * target.element_size())
        if head != struct.pack("<q", target.numel()) or len(part) != target.numel() * target.element_size():
            raise CheckpointError(f"{path} ends too early or is damaged.")
        if part:
            target.copy_(torch.frombuffer(bytearray(part), dtype=target.dtype))
    return value
