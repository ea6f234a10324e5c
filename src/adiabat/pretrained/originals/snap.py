""".snapcoeff and .snapparam of LAMMPS and FitSNAP (doi:10.1016/j.jcp.2014.12.018), text files."""

from __future__ import annotations

from pathlib import Path

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A .snapcoeff with its .snapparam, either of the two, or a folder with one such pair."""
    return _coefficients(source.path) is not None


def read(source: Source) -> Kit:
    """The coefficients, which the importer reads with the parameters beside them, above the options' repulsion."""
    meta = {"program": "LAMMPS", "repulsion": source.options.repulsion}
    return Kit.of("snap-original", meta, {}, path=_coefficients(source.path) or source.path)


def _coefficients(path: Path) -> Path | None:
    if path.is_dir():
        found = [file for file in path.glob("*.snapcoeff") if file.with_suffix(".snapparam").exists()]
        return found[0] if len(found) == 1 else None
    both = [path.with_suffix(suffix) for suffix in (".snapcoeff", ".snapparam")]
    return both[0] if path in both and all(file.exists() for file in both) else None
