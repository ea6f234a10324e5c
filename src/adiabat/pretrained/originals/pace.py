"""ACE potentials of python-ace and LAMMPS (doi:10.1038/s41524-021-00559-9): .yace, text files."""

from __future__ import annotations

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A .yace with its `functions`."""
    if source.path.is_dir() or source.path.suffix != ".yace":
        return False
    with source.path.open("rb") as file:
        return any(line.startswith(b"functions:") for line in file)


def read(source: Source) -> Kit:
    """The file itself, which the importer reads."""
    return Kit.of("ace-original", {"program": "python-ace"}, {}, path=source.path)
