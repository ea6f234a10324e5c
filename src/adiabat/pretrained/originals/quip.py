"""XML files of QUIP's GAP (doi:10.1103/PhysRevLett.104.136403)."""

from __future__ import annotations

from pathlib import Path

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """An XML file with GAP's parameters, or a folder with a single one."""
    return _file(source) is not None


def read(source: Source) -> Kit:
    """The file itself, which the importer reads."""
    return Kit.of("gap-original", {"program": "QUIP"}, {}, path=_file(source) or source.path)


def _file(source: Source) -> Path | None:
    if source.path.is_dir():
        found = list(source.path.glob("*.xml"))
        if len(found) != 1:
            return None
        return found[0] if _is_gap(found[0]) else None
    return source.path if _is_gap(source.path) else None


def _is_gap(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return head.lstrip().startswith(b"<") and (b"<GAP_params" in head or b"IP GAP" in head)
