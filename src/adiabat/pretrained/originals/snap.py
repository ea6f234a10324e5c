""".snapcoeff of LAMMPS and FitSNAP (doi:10.1016/j.jcp.2014.12.018), with the .snapparam beside it."""

from __future__ import annotations

from pathlib import Path

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A .snapcoeff, or a folder with a single one."""
    return _file(source) is not None


def read(source: Source) -> Kit:
    """The file itself, which the importer reads."""
    return Kit.of("snap-original", {"program": "LAMMPS"}, {}, path=_file(source) or source.path)


def _file(source: Source) -> Path | None:
    if not source.path.is_dir():
        return source.path if source.path.suffix == ".snapcoeff" else None
    found = list(source.path.glob("*.snapcoeff"))
    return found[0] if len(found) == 1 else None
