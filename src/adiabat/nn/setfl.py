"""setfl: the text files of embedded-atom potentials (LAMMPS's eam/alloy and eam/fs), read and written.

Three lines of comments; a line with the number of elements and their symbols; a line with the number of densities,
their step, the number of distances, their step and the cutoff; for each element a line with atomic number, mass,
lattice constant and structure, its embedding function and its density function (in eam/fs one for each element that
feels it); then R φ(R) of each pair of elements, the second not behind the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adiabat.elements import MASSES, number, symbol
from adiabat.errors import ConfigError
from adiabat.files import write_text


@dataclass(frozen=True)
class Setfl:
    """Tables of an embedded-atom potential.

    Attributes:
        elements: atomic numbers.
        cutoff: Å.
        distance_step: Å.
        density_step: in the file's unit.
        embedding: F `[elements, densities]`, eV.
        density: ρ `[elements, 1 or elements, distances]`: the first is where it comes from, the second feels it.
        pair: R φ(R) `[elements, elements, distances]`, eV Å.
    """

    elements: tuple[int, ...]
    cutoff: float
    distance_step: float
    density_step: float
    embedding: np.ndarray
    density: np.ndarray
    pair: np.ndarray
    finnis_sinclair: bool = False


def read_setfl(path: str | Path) -> Setfl:
    """The tables of a file; one whose name ends with `.fs` has densities of pairs of elements.

    Raises ConfigError if the file is missing or not complete.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"there is no file {path}: give the path of a .eam.alloy or .eam.fs file.")
    fs = path.suffix == ".fs"
    try:
        return _parse(path.read_text(errors="replace").splitlines()[3:], fs)
    except (ValueError, IndexError, StopIteration):
        kind = "eam/fs" if fs else "eam/alloy"
        raise ConfigError(f"{path} is not a complete {kind} file: is it damaged, or of the other kind?") from None


def _parse(lines: list[str], fs: bool) -> Setfl:
    count, *names = lines[0].split()
    kinds = int(count)
    densities, density_step, distances, distance_step, cutoff = (float(word) for word in lines[1].split()[:5])
    n, m = int(densities), int(distances)
    if len(names) < kinds:
        raise ValueError
    rest = iter([line for line in lines[2:] if line.strip()])
    embedding, density = [], []
    for _ in range(kinds):
        next(rest)  # atomic number, mass, lattice constant, structure
        embedding.append(_take(rest, n))
        density.append([_take(rest, m) for _ in range(kinds if fs else 1)])
    pair = np.zeros((kinds, kinds, m))
    for first in range(kinds):
        for second in range(first + 1):
            pair[first, second] = pair[second, first] = _take(rest, m)
    elements = tuple(number(name) for name in names[:kinds])
    return Setfl(elements, cutoff, distance_step, density_step, np.array(embedding), np.array(density), pair, fs)


def _take(lines: Iterator[str], size: int) -> np.ndarray:
    """The next numbers, which fill whole lines."""
    words: list[str] = []
    while len(words) < size:
        words += next(lines).split()
    values = np.array(words, dtype=np.float64)
    if len(values) != size or not np.isfinite(values).all():
        raise ValueError
    return values


def write_setfl(tables: Setfl, path: str | Path, comment: str = "written by adiabat") -> None:
    """Writes a file whose numbers read back exactly.

    Raises ConfigError if the ending of its name does not tell its kind, `.eam.fs` or `.eam.alloy`.
    """
    path, ending = Path(path), ".eam.fs" if tables.finnis_sinclair else ".eam.alloy"
    if not path.name.endswith(ending):
        raise ConfigError(f"{path.name} needs the ending {ending}, by which programs know the kind of file.")
    names = " ".join(symbol(z) for z in tables.elements)
    sizes = tables.embedding.shape[1], tables.density.shape[2]
    lines = [comment, "https://docs.lammps.org/pair_eam.html", "units metal", f"{len(tables.elements)} {names}"]
    lines.append(f"{sizes[0]} {tables.density_step!r} {sizes[1]} {tables.distance_step!r} {tables.cutoff!r}")
    for k, z in enumerate(tables.elements):
        lines.append(f"{z} {MASSES[z]:.6g} 0.0 none")
        lines += _numbers(tables.embedding[k])
        for row in tables.density[k]:
            lines += _numbers(row)
    for first in range(len(tables.elements)):
        for second in range(first + 1):
            lines += _numbers(tables.pair[first, second])
    write_text(path, "\n".join(lines) + "\n")


def _numbers(values: np.ndarray) -> list[str]:
    words = [repr(value) for value in values.tolist()]
    return [" ".join(words[k : k + 5]) for k in range(0, len(words), 5)]
