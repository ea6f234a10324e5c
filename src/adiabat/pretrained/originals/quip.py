"""XML files of QUIP's GAP (doi:10.1103/PhysRevLett.104.136403)."""

from __future__ import annotations

from pathlib import Path

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_HEAD = 4096  # bytes in which the parameters begin


def recognize(source: Source) -> bool:
    """An XML file whose first lines open the parameters of a GAP, or a folder with one and its sparse points."""
    files = source.path.glob("*.xml") if source.path.is_dir() else [source.path]
    return any(_is_gap(file) for file in files)


def _is_gap(path: Path) -> bool:
    if path.suffix.lower() != ".xml":
        return False
    with path.open("rb") as file:
        return b"<GAP_params" in file.read(_HEAD)


def read(source: Source) -> Kit:
    """The file itself, which the importer reads, with those beside it that hold sparse points."""
    path = source.path
    if path.is_dir():
        path = next(file for file in sorted(path.glob("*.xml")) if _is_gap(file))
    return Kit.of("gap-original", {"program": "QUIP"}, {}, path=path)
