"""nep.txt of GPUMD (doi:10.1063/5.0106617), a text file."""

from __future__ import annotations

import re

from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_FIRST_LINE = re.compile(rb"\s*nep\d\w*\s+\d+\s+[A-Z]")


def recognize(source: Source) -> bool:
    """A text file whose first line names a version of NEP and elements."""
    if source.path.is_dir():
        return False
    with source.path.open("rb") as file:
        return _FIRST_LINE.match(file.read(64)) is not None


def read(source: Source) -> Kit:
    """The file itself, which the importer reads."""
    return Kit.of("nep-original", {"program": "GPUMD"}, {}, path=source.path)
