"""The catalogue of published weights: one YAML for each, read into `Entry`; many files are in a listing beside it.

A hash or an address that is not known for certain is null, never a guess: the first download of such a file records
its SHA-256 and shows it (see `pretrained.download`).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import field_validator

from adiabat.elements import MAX_NUMBER, number
from adiabat.errors import ConfigError, did_you_mean
from adiabat.settings import Settings

# the same safe loader in C where PyYAML has it, ten times as fast
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WeightFile(Settings):
    """One file of an entry."""

    name: str
    """File name as published; with a folder in front where the entry is a folder of files."""
    url: str | None = None
    """Where its authors publish it; null if that is not known for certain or is no plain download."""
    sha256: str | None = None
    """SHA-256 of the file; null if it is not known for certain."""
    size: int | None = None
    """Bytes; null if not known."""

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        parts = value.split("/")
        if not value or value.startswith("/") or ".." in parts or "\\" in value:
            raise ValueError(f"the file name '{value}' leads out of its folder")
        return value

    @field_validator("sha256")
    @classmethod
    def _is_hash(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 64 or set(value) - set("0123456789abcdef")):
            raise ValueError(f"'{value}' is not a SHA-256 in lower-case hexadecimal digits")
        return value

    @field_validator("url")
    @classmethod
    def _is_https(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("https://"):
            raise ValueError(f"'{value}' is not an https address")
        return value


class Entry(Settings):
    """What is known of one published potential."""

    name: str
    """How users call it, in lower case."""
    aliases: tuple[str, ...] = ()
    """Other names."""
    title: str
    """One line for lists."""
    method: str
    """Name of the method, also where adiabat has no page for it yet."""
    status: Literal["ready", "later"]
    """`ready` if adiabat reads the file, `later` if it does not yet."""
    program: str | None = None
    """The module of pretrained/originals that reads it; null for the one that recognizes it."""
    files: tuple[WeightFile, ...] = ()
    """Its files; none if the weights are not published as files of their own."""
    same: tuple[WeightFile, ...] = ()
    """Files of the same weights in other forms; where one of them is on this machine, it serves as well."""
    origin: str
    """Where it is published, in words: repository and path, package or archive."""
    license: str | None
    """License of the weights; null if none is stated."""
    commercial: bool | None
    """Whether the license allows commercial use; null if not known."""
    level_of_theory: str | None = None
    """Functional, basis and data set; null if not known."""
    elements: tuple[str, ...] = ()
    """Element symbols, or ranges of atomic numbers such as 1-83; () if not recorded here."""
    energy_unit: str = "eV"
    """Unit of the file's energies."""
    length_unit: str = "Å"
    """Unit of the file's lengths."""
    repulsion: tuple[float, float] | None = None
    """Radii, Å, of a screened nuclear repulsion beneath the potential that its files leave out (SNAP)."""
    doi: str | None = None
    """Reference."""
    limits: tuple[str, ...] = ()
    """What is known not to work."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers, ascending; () if they are not recorded."""
        found: set[int] = set()
        for part in self.elements:
            first, _, last = part.partition("-")
            if first.isdecimal():
                found.update(range(int(first), int(last or first) + 1))
            else:
                found.add(number(part))
        return tuple(sorted(z for z in found if 1 <= z <= MAX_NUMBER))

    @property
    def folder(self) -> bool:
        """Whether the program reads a folder of files instead of one file."""
        return len(self.files) > 1

    @property
    def size(self) -> int | None:
        """Bytes of all files; None if not all are known."""
        sizes = [file.size for file in self.files]
        return None if not sizes or None in sizes else sum(s for s in sizes if s is not None)


def _listed(name: str) -> list[dict[str, object]]:
    """Files of a listing: the address of their folder, then a line a file: SHA-256, bytes and name."""
    base, *lines = (files(__name__) / name).read_text(encoding="utf-8").splitlines()
    rows = (line.split(maxsplit=2) for line in lines)
    return [{"name": own, "url": base + own, "sha256": digest, "size": int(size)} for digest, size, own in rows]


@cache
def catalogue() -> dict[str, Entry]:
    """Every entry by name, in order of names.

    Raises:
        ConfigError: a YAML of the catalogue is wrong or a name is used twice.
    """
    found: dict[str, Entry] = {}
    taken: set[str] = set()
    for file in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".yaml"):
            continue
        try:
            content = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)
            if isinstance(content.get("files"), str):
                content["files"] = _listed(content["files"])
            entry = Entry.parse(content)
        except (ConfigError, yaml.YAMLError, OSError, ValueError) as error:
            raise ConfigError(f"the catalogue's {file.name} is wrong: {error}") from None
        names = {entry.name, *entry.aliases}
        if names & taken or file.name != f"{entry.name}.yaml":
            raise ConfigError(f"the catalogue's {file.name} must have its own name, used once: {', '.join(names)}.")
        taken |= names
        found[entry.name] = entry
    return found


def entry(name: str) -> Entry:
    """The entry of this name or alias, in upper or lower case.

    Raises:
        ConfigError: there is none.
    """
    found = find(name)
    if found is None:
        known = [n for e in catalogue().values() for n in (e.name, *e.aliases)]
        hint = did_you_mean(name.lower(), known)
        hint = hint if hint.startswith(" Did") else " `adiabat weights list` shows all names."
        raise ConfigError(f"'{name}' is not in the catalogue of weights.{hint}")
    return found


def find(name: str) -> Entry | None:
    """The entry of this name or alias, or None."""
    wanted = name.lower()
    for one in catalogue().values():
        if wanted in (one.name, *one.aliases):
            return one
    return None
