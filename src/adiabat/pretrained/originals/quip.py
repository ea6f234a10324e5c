"""XML files of QUIP's GAP (doi:10.1103/PhysRevLett.104.136403)."""

from __future__ import annotations

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_HEAD = 4096  # bytes in which the parameters begin


def recognize(source: Source) -> bool:
    """An XML file whose first lines open the parameters of a GAP."""
    if source.path.is_dir() or source.path.suffix.lower() != ".xml":
        return False
    with source.path.open("rb") as file:
        return b"<GAP_params" in file.read(_HEAD)


def read(source: Source) -> Kit:
    """The file itself, which the importer reads, with those beside it that hold sparse points."""
    return Kit.of("gap-original", {"program": "QUIP"}, {}, path=source.path)
