"""Original files of published weights: one module a program turns them into kits in memory, executing nothing.

A module has two functions:

    def recognize(source: Source) -> bool: ...   # is this a file of my program? cheap, never raises on foreign files
    def read(source: Source) -> Kit: ...         # Kit.of(name, meta, weights, buffers): what its importer wants

The kit's name starts like the golden kits that the same importer reads, so that `pretrained.importers` finds it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from adiabat.errors import CapabilityError, CheckpointError, ConfigError, did_you_mean
from adiabat.pretrained.importers import importer
from adiabat.pretrained.kit import Imported, Kit
from adiabat.pretrained.originals.source import Options, Source

# programs in the order in which they are asked; each is a module here
_PROGRAMS: tuple[str, ...] = (
    "mace",
    "ace",
    "schnetpack",
    "sgdml",
    "n2p2",
    "nep",
    "neurochem",
    "matgl",
    "chgnet",
    "sevenn",
    "mattersim",
    "spookynet",
    "deepmd",
    "snap",
    "mlip",
    "reann",
    "quip",
    "pace",
    "classical",
)


def read_original(path: str | Path, program: str | None = None, options: Options | None = None) -> Kit:
    """An original file or folder as a kit in memory.

    Args:
        path: what the program wrote.
        program: the module here that reads it, if the file should not be recognized by itself.
        options: units and elements, for programs whose files leave them out.

    Raises:
        CheckpointError: the file is damaged, hostile, or of no program that is known.
    """
    source = Source(Path(path), options or Options())
    if program is not None:
        if program not in _PROGRAMS:
            raise ConfigError(f"'{program}' is not a program whose files are read.{did_you_mean(program, _PROGRAMS)}")
        return _checked(_module(program).read(source), source)
    for name in _PROGRAMS:
        module = _module(name)
        if module.recognize(source):
            return _checked(module.read(source), source)
    what = f" It holds a {source.class_module}.{source.class_name}." if source.class_name else ""
    raise CheckpointError(
        f"{path} ({source.kind}) is not recognized as a file of {', '.join(_PROGRAMS)}.{what}"
        " Is it the file that the program loads?"
    )


def import_original(path: str | Path, program: str | None = None, options: Options | None = None) -> Imported:
    """The potential in an original file, in float64, eV and Å.

    Raises:
        CheckpointError: see `read_original`.
        CapabilityError: the program's file is read, but no page for its method exists yet.
    """
    kit = read_original(path, program, options)
    read = importer(kit)
    if read is None:
        raise CapabilityError(f"{path} is a {kit.name} model, a method that adiabat has no page for yet.")
    return read(kit)


def _checked(kit: Kit, source: Source) -> Kit:
    """The kit, if it heeds the wanted head."""
    if source.options.head is not None and "head" not in kit.meta:
        raise CheckpointError(f"{source.path} is a {kit.name} model, which has no heads: leave out --head.")
    return kit


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")
