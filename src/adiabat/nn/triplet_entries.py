"""Parameters of triplets of elements, as the files of LAMMPS's three-body potentials list them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from adiabat.elements import MAX_NUMBER, number, symbol
from adiabat.errors import ConfigError
from adiabat.files import write_text
from adiabat.geometry import Graph, triplets
from adiabat.nn.constants import ConstantModule
from adiabat.settings import Settings


class TripletEntry(Settings):
    """Base of the parameters of one triplet of elements, in the order of the file's columns."""

    elements: tuple[str, str, str]
    """Center, the neighbor it is bonded to, and the neighbor that the bond feels."""

    def row(self) -> list[float]:
        """The numbers of the entry, in the order of the file's columns."""
        return [float(getattr(self, name)) for name in type(self).model_fields if name != "elements"]


Entry = TypeVar("Entry", bound=TripletEntry)


def read_entries(path: str | Path, kind: type[Entry]) -> tuple[Entry, ...]:
    """All entries of a file: three symbols and the numbers of each, over one or more lines; # begins a comment.

    Raises ConfigError if the file is missing, in other units than metal (eV, Å), or not complete.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"there is no file {path}: give the path of a file with parameters as LAMMPS reads them.")
    text = path.read_text(errors="replace")
    units = re.match(r"[^\n]*\bUNITS:\s*(\w+)", text)
    if units is not None and units[1] != "metal":
        raise ConfigError(f"{path} is in {units[1]} units, and only metal ones (eV, Å) are read: convert it.")
    words = " ".join(line.split("#")[0] for line in text.splitlines()).split()
    names = [name for name in kind.model_fields if name != "elements"]
    width = 3 + len(names)
    found = []
    for start in range(0, len(words), width):
        row = words[start : start + width]
        try:
            values: dict[str, Any] = {name: float(word) for name, word in zip(names, row[3:], strict=True)}
        except ValueError:
            raise ConfigError(
                f"{path}: entry {len(found) + 1}, '{' '.join(row[:4])} ...', does not have three symbols and"
                f" {len(names)} numbers: is it a file of {kind.__name__.removesuffix('Entry')}?"
            ) from None
        found.append(kind.parse({"elements": tuple(row[:3]), **values}))
    return tuple(found)


def write_entries(entries: Sequence[TripletEntry], path: str | Path) -> None:
    """Writes a file that LAMMPS reads, with numbers that read back exactly."""
    names = [name for name in type(entries[0]).model_fields if name != "elements"]
    lines = ["# UNITS: metal", f"# written by adiabat: elements {' '.join(names)}"]
    lines += [" ".join([*entry.elements, *map(repr, entry.row())]) for entry in entries]
    write_text(Path(path), "\n".join(lines) + "\n")


def with_entries(data: Any, kind: type[TripletEntry]) -> Any:
    """Options in which `file` is replaced by the `entries` it holds. Raises ConfigError if both are given."""
    if not isinstance(data, Mapping) or data.get("file") is None:
        return data
    if data.get("entries"):
        raise ConfigError("file and entries are given, and both hold the parameters: leave one out.")
    return {**data, "entries": read_entries(data["file"], kind), "file": None}


def elements_of(entries: Sequence[TripletEntry]) -> tuple[int, ...]:
    """Atomic numbers that entries have parameters of, ascending."""
    return tuple(sorted({number(name) for entry in entries for name in entry.elements}))


class TripletTable(ConstantModule):
    """Entries of all triplets of some elements, looked up for pairs and triplets of atoms.

    Args:
        elements: atomic numbers.
        entries: of these elements; those of others are left out.

    Raises ConfigError if a triplet of the elements has no entry.
    """

    rows: Tensor
    element: Tensor

    def __init__(self, elements: Sequence[int], entries: Sequence[TripletEntry]):
        super().__init__()
        found = {tuple(number(name) for name in entry.elements): entry.row() for entry in entries}
        for one in product(elements, repeat=3):
            if one not in found:
                names = " ".join(symbol(z) for z in one)
                raise ConfigError(f"there are no parameters of the triplet {names}: add its entry.")
        self.kinds = len(elements)
        self.register_constant("rows", np.array([found[one] for one in product(elements, repeat=3)]))
        element = torch.zeros(MAX_NUMBER + 1, dtype=torch.int64)
        element[list(elements)] = torch.arange(self.kinds)
        self.register_buffer("element", element, persistent=False)

    def of_pairs(self, graph: Graph) -> Tensor:
        """Entries of center, neighbor, neighbor `[pairs, columns]`."""
        element = self.element.index_select(0, graph.system.numbers)
        center, neighbor = graph.of_centers(element), graph.of_neighbors(element)
        return self._at(center, neighbor, neighbor)

    def of_triplets(self, graph: Graph, first: Tensor, second: Tensor) -> Tensor:
        """Entries of the center and the neighbors of two of its pairs `[triplets, columns]`."""
        element = self.element.index_select(0, graph.system.numbers)
        center, neighbor = graph.of_centers(element), graph.of_neighbors(element)
        return self._at(
            center.index_select(0, first), neighbor.index_select(0, first), neighbor.index_select(0, second)
        )

    def _at(self, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        return self.rows.index_select(0, (first * self.kinds + second) * self.kinds + third)


def close_triplets(graph: Graph, cutoff: float) -> Tensor:
    """Pairs with the same center, both within the cutoff (Å), in one order `[2, triplets]`."""
    close = (graph.vectors().detach().square().sum(dim=1) < cutoff**2).nonzero()[:, 0]
    first, second = triplets(graph.centers[close], graph.system.atoms)
    return torch.stack((close[first], close[second]))
