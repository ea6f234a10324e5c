""".mtp files of MLIP-2 (doi:10.1088/2632-2153/abc9fe), text files without elements."""

from __future__ import annotations

from adiabat.elements import symbol
from adiabat.errors import ConfigError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A file whose first line is MTP."""
    if source.path.is_dir():
        return False
    with source.path.open("rb") as file:
        return file.read(16).split(b"\n")[0].strip() == b"MTP"


def read(source: Source) -> Kit:
    """The file itself, which the importer reads; its species are numbers whose elements `options` must name."""
    species = list(source.options.elements)
    if not species:
        raise ConfigError(f"{source.path} numbers its species: give --elements in their order, such as {symbol(14)}.")
    return Kit.of("mtp-original", {"program": "MLIP-2", "species_order": species}, {}, path=source.path)
