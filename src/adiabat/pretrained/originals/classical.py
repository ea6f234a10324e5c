"""Files of classical potentials as LAMMPS has them: .eam.alloy, .eam.fs, .tersoff and .sw, text files."""

from __future__ import annotations

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_METHODS = {".eam.alloy": "eam", ".eam.fs": "eam", ".tersoff": "tersoff", ".sw": "stillinger_weber"}


def recognize(source: Source) -> bool:
    """A file whose name has one of the endings by which LAMMPS's files are known."""
    return source.path.is_file() and source.path.name.endswith(tuple(_METHODS))


def read(source: Source) -> Kit:
    """The method; its page reads the file."""
    found = next((name for ending, name in _METHODS.items() if source.path.name.endswith(ending)), "eam")
    meta = {"program": "LAMMPS", "method": found, "elements": list(source.options.elements)}
    return Kit.of("classical-original", meta, {}, path=source.path)
