"""Published weights as potentials: by name through the catalogue, or from an original file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adiabat.data.info import DataInfo
from adiabat.elements import symbol
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.potential import Potential
from adiabat.pretrained.catalogue import Entry, WeightFile, catalogue, entry
from adiabat.pretrained.download import Progress, fetch, matches, sha256
from adiabat.pretrained.kit import Imported
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options

Tell = Callable[[str], object]
"""Called with sentences the user should see."""


@dataclass(frozen=True)
class Weights:
    """A published potential, imported.

    Attributes:
        potential: in float64, eV and Å.
        info: elements, level of theory, origin, license and hash.
        entry: what the catalogue says of it, None for a file it does not have.
    """

    potential: Potential
    info: DataInfo
    entry: Entry | None = None


def get(name: str, tell: Tell, progress: Progress | None = None) -> Weights:
    """The weights of a catalogue name, fetched if they are not on this machine.

    Raises:
        ConfigError: no such name.
        CapabilityError: adiabat does not read these weights yet.
        CheckpointError: they cannot be had or are not the published ones.
    """
    known = entry(name)
    if known.status != "ready":
        raise CapabilityError(
            f"{known.name} is in the catalogue, but adiabat does not read its {known.method} weights yet:"
            " `adiabat weights list --ready` shows those it reads."
        )
    fetched = fetch(known, progress)
    if fetched.found == "download":
        tell(license_line(known))
    for file, digest in fetched.recorded.items():
        tell(f"{file} has the SHA-256 {digest}, which the catalogue does not know: recorded at first use")
    return read_file(fetched.path, known=known)


def read_file(
    path: Path, program: str | None = None, options: Options | None = None, known: Entry | None = None
) -> Weights:
    """The potential in an original file or folder. A file that the catalogue knows by its hash needs no options.

    Args:
        path: the file or folder.
        program: the program that wrote it, if the file should not be recognized by itself.
        options: units and elements, for programs whose files leave them out.
        known: the catalogue's entry, if it is known.

    Raises:
        CheckpointError: the file is damaged, hostile or of no program that is known.
        CapabilityError: its method has no page yet.
    """
    known = known or recognize(path)
    given = options or Options()
    if known is not None:
        given = Options(
            given.energy_unit or known.energy_unit,
            given.length_unit or known.length_unit,
            given.elements or known.numbers,
            given.head,
            given.repulsion or known.repulsion,
        )
    program = program or (known.program if known is not None else None)
    potential = _only(import_original(path, program, given), path)
    head = f", head {given.head}" if given.head is not None else ""
    info = DataInfo(
        elements=potential.elements,
        level_of_theory=(known.level_of_theory or "") if known is not None else "",
        source=(f"{known.name} ({known.origin})" if known is not None else str(path)) + head,
        license=(known.license or "not stated") if known is not None else "",
        hashes={} if path.is_dir() else {"weights": sha256(path)},
    )
    return Weights(potential, info, known)


def recognize(path: Path) -> Entry | None:
    """The catalogue's entry of a file with this content, or of a folder with these files."""
    if path.is_dir():
        known = (one for one in catalogue().values() if one.folder and all(file.sha256 for file in one.files))
        whole = [one for one in known if all(matches(path / file.name, file) for file in one.files)]
        return max(whole, key=lambda one: len(one.files), default=None)  # a part of an ensemble may be an entry too
    if not path.is_file():
        return None
    size = path.stat().st_size
    alone = [(one, file) for one in catalogue().values() for file in _alone(one) if file.size == size]
    digest = sha256(path) if alone else ""
    return next((one for one, file in alone if file.sha256 == digest), None)


def _alone(one: Entry) -> tuple[WeightFile, ...]:
    """Files that are the whole of an entry's weights."""
    return (() if one.folder else one.files) + one.same


def license_line(known: Entry) -> str:
    """One sentence on the license, with a mark if commercial use is not allowed."""
    mark = {True: "", False: "; NOT for commercial use", None: "; check whether your use is allowed"}[
        known.commercial
    ]
    return f"{known.name}: license {known.license or 'not stated'}{mark}"


def element_symbols(known: Entry) -> str:
    """The entry's elements as text."""
    return " ".join(symbol(z) for z in known.numbers) or "not recorded"


def _only(imported: Imported, path: Path) -> Potential:
    if len(imported.potentials) != 1:
        raise CheckpointError(
            f"{path} holds several models ({', '.join(imported.potentials)}): give a file of one of them."
        )
    return next(iter(imported.potentials.values()))
