""".yace of python-ace, FitSNAP and LAMMPS's ML-PACE, and .yaml of python-ace's B-basis, text files."""

from __future__ import annotations

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A .yace, or a .yaml that has blocks of species."""
    path = source.path
    if not path.is_file() or path.suffix not in (".yace", ".yaml"):
        return False
    return path.suffix == ".yace" or "speciesblock" in path.read_text(errors="replace")


def read(source: Source) -> Kit:
    """The file, which the importer reads."""
    return Kit.of("ace-original", {"program": "python-ace"}, {}, path=source.path)
