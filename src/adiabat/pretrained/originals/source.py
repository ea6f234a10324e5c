"""Source: an original file or folder of a program, opened once, that the modules of this package look at."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals.archives import TorchArchive, checked_zip, is_legacy, read_legacy
from adiabat.pretrained.originals.builders import BUILDERS
from adiabat.pretrained.originals.inert import Inert
from adiabat.pretrained.originals.unpickle import unpickle
from adiabat.units import energy_unit

FileKind = Literal["folder", "torch", "torchscript", "legacy torch", "npz", "pickle", "json", "text", "binary"]


@dataclass(frozen=True)
class Options:
    """What some programs' files leave out and the user or the catalogue must say.

    Attributes:
        energy_unit: a name of `adiabat.units.ENERGY`.
        length_unit: a name of `adiabat.units.LENGTH`.
        elements: atomic numbers the model was trained on, () for all it has room for.
        head: which of the heads of a file with several; None for the program's own choice.
        repulsion: radii, Å, between which a screened nuclear repulsion beneath the potential ends, None for none.
    """

    energy_unit: str | None = None
    length_unit: str | None = None
    elements: tuple[int, ...] = ()
    head: str | None = None
    repulsion: tuple[float, float] | None = None


@dataclass(frozen=True)
class Source:
    """A file or folder as its program wrote it. Nothing in it is ever executed.

    Attributes:
        path: the file or folder.
        options: what the file may leave out.
    """

    path: Path
    options: Options = field(default_factory=Options)

    def energy_unit(self, program: str) -> str:
        """The energy unit of the options, for programs whose files do not say it.

        Raises:
            CheckpointError: it was not given.
        """
        if self.options.energy_unit is None:
            raise CheckpointError(
                f"{self.path} does not say its energy unit, which {program} leaves to the data: give --energy-unit,"
                " such as eV or kcal/mol."
            )
        energy_unit(self.options.energy_unit)
        return self.options.energy_unit

    @cached_property
    def kind(self) -> FileKind:
        """What sort of file it is, by its first bytes."""
        if self.path.is_dir():
            return "folder"
        if not self.path.is_file():
            raise CheckpointError(f"there is no file {self.path}: check the path.")
        with self.path.open("rb") as file:
            start = file.read(4096)
        if start[:4] == b"PK\x03\x04":
            return self._kind_of_zip()
        if is_legacy(self.path):
            return "legacy torch"
        if start[:1] == b"\x80" and start[1:2] <= b"\x05":
            return "pickle"
        try:
            text = start.decode("utf-8")
        except UnicodeDecodeError as error:  # a character may be cut at the end of what was read
            if error.start < len(start) - 4:
                return "binary"
            text = start[: error.start].decode("utf-8")
        if "\0" in text:
            return "binary"
        return "json" if text.lstrip()[:1] in ("{", "[") else "text"

    def _kind_of_zip(self) -> FileKind:
        with checked_zip(self.path) as archive:
            names = archive.namelist()
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
        if not any(name.partition("/")[2] == "data.pkl" for name in names):
            return "binary"
        return "torchscript" if self.archive.scripted else "torch"

    @cached_property
    def archive(self) -> TorchArchive:
        """The zip archive of a torch or TorchScript file: its entries, texts and further pickles."""
        return TorchArchive(self.path)

    @cached_property
    def content(self) -> Any:
        """The value a torch, TorchScript, pickle or JSON file describes; modules are `Inert`, tensors torch's."""
        if self.kind in ("torch", "torchscript"):
            return self.archive.value()
        if self.kind == "legacy torch":
            return read_legacy(self.path)
        if self.kind == "pickle":
            return unpickle(self.path.read_bytes(), BUILDERS, name=str(self.path))
        if self.kind == "json":
            try:
                return json.loads(self.path.read_text())
            except (ValueError, RecursionError) as error:
                raise CheckpointError(f"{self.path} is not readable JSON: {error}.") from None
        raise CheckpointError(f"{self.path} is a {self.kind} file, which describes no single value.")

    @cached_property
    def constants(self) -> Any:
        """The constants of a TorchScript archive, or None."""
        return self.archive.value("constants.pkl") if self.kind == "torchscript" else None

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of an npz file, without pickled objects."""
        with checked_zip(self.path):
            pass
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{self.path} is not a readable npz file: {error}.") from None

    @cached_property
    def text(self) -> str:
        """The content of a text file."""
        if self.kind not in ("text", "json"):
            raise CheckpointError(f"{self.path} is a {self.kind} file, where a text file is expected.")
        return self.path.read_text(errors="replace")

    @property
    def class_name(self) -> str:
        """Class of the object in a torch, TorchScript or pickle file, "" if it is none."""
        if self.kind not in ("torch", "torchscript", "legacy torch", "pickle"):
            return ""
        return self.content.kind if isinstance(self.content, Inert) else ""

    @property
    def class_module(self) -> str:
        """Module of that class."""
        return self.content.module if self.class_name else ""
