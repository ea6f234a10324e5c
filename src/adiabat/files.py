"""Writing files so that a crash leaves either the old one or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import ase
import ase.io


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write` on a temporary file beside `path`, syncs it to disk and moves it into place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # without this the new name itself may be lost on power failure
        os.fsync(folder)
    finally:
        os.close(folder)


def cache_folder() -> Path:
    """Where compiled code and downloads are kept: $ADIABAT_CACHE, else adiabat in $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get("ADIABAT_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "adiabat"


def read_structures(path: str | Path, index: str = ":", format: str | None = None) -> list[ase.Atoms]:
    """All structures (or the slice `index` of them) of a file that ASE reads, always as a list."""
    return cast(list[ase.Atoms], list(ase.io.read(path, index, format=format)))


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))
