"""Numbers that a model takes from its data: reference energies, scale, per-element forces, neighbors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from adiabat.data.dataset import Dataset, dataset_hash
from adiabat.data.frame import Frame
from adiabat.data.info import DataInfo
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError, DataError
from adiabat.geometry import neighbor_pairs

ISOLATED = frozenset({"isolatedatom", "isolated_atom", "isolated", "single_atom"})
SOURCES = ("auto", "isolated atoms", "least squares", "none")


class References(NamedTuple):
    """Reference energies and where they come from.

    Attributes:
        energies: atomic number to eV.
        source: `isolated atoms`, `least squares`, `given` or `none`.
        remarks: sentences on what was missing or not determined.
    """

    energies: dict[int, float]
    source: str
    remarks: list[str]


@dataclass
class Summary:
    """What one pass over a data set finds.

    Attributes:
        frames: number of frames.
        atoms: smallest, largest and total number of atoms.
        elements: atomic number to number of atoms.
        labels: label to number of frames that have it.
        periodic: number of frames with at least one periodic direction.
        energy_per_atom: smallest and largest, eV; None without energies.
        force_max: largest force component, eV/Å; None without forces.
        force_rms: atomic number to RMS force component, eV/Å.
        charges: total charge to number of frames.
        multiplicities: 2S+1 to number of frames.
    """

    frames: int = 0
    atoms: tuple[int, int, int] = (0, 0, 0)
    elements: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    periodic: int = 0
    energy_per_atom: tuple[float, float] | None = None
    force_max: float | None = None
    force_rms: dict[int, float] = field(default_factory=dict)
    charges: Counter[float] = field(default_factory=Counter)
    multiplicities: Counter[int] = field(default_factory=Counter)


def summarize(dataset: Iterable[Frame]) -> Summary:
    """Counts and ranges of a data set in one pass."""
    out = Summary()
    squares: dict[int, float] = {}
    force_atoms: Counter[int] = Counter()
    for frame in dataset:
        system = frame.system
        n = system.atoms
        smallest, largest, total = out.atoms
        out.atoms = (min(smallest, n) if out.frames else n, max(largest, n), total + n)
        out.frames += 1
        out.elements.update(system.numbers.tolist())
        out.labels.update(frame.labels.keys())
        out.periodic += bool(system.pbc.any())
        out.charges[float(system.charge)] += 1
        out.multiplicities[int(system.multiplicity)] += 1
        if "energy" in frame.labels:
            each = float(frame.labels["energy"]) / n
            low, high = out.energy_per_atom or (each, each)
            out.energy_per_atom = (min(low, each), max(high, each))
        if "forces" in frame.labels:
            forces = frame.labels["forces"].numpy()
            out.force_max = max(out.force_max or 0.0, float(np.abs(forces).max()))
            numbers = system.numbers.numpy()
            for z in np.unique(numbers).tolist():
                chosen = forces[numbers == z]
                squares[z] = squares.get(z, 0.0) + float(np.square(chosen).sum())
                force_atoms[z] += len(chosen)
    out.force_rms = {z: float(np.sqrt(squares[z] / (3 * force_atoms[z]))) for z in sorted(squares)}
    return out


def elements(dataset: Iterable[Frame]) -> tuple[int, ...]:
    """Atomic numbers present, ascending."""
    found: set[int] = set()
    for frame in dataset:
        found.update(frame.system.numbers.unique().tolist())
    return tuple(sorted(found))


def is_isolated_atom(frame: Frame) -> bool:
    """Whether a frame is one atom in vacuum: alone and not periodic, or called so by its `config_type`."""
    if frame.system.atoms != 1:
        return False
    named = str(frame.info.get("config_type", "")).lower() in ISOLATED
    return named or not bool(frame.system.pbc.any())


def reference_energies(
    dataset: Iterable[Frame], source: str = "auto", given: Mapping[int | str, float] | None = None
) -> References:
    """Energy of each element to subtract before fitting, eV.

    Args:
        dataset: the training frames (isolated atoms among them).
        source: `isolated atoms` takes the lowest energy of each element's single-atom frames; `least squares` fits
            energies per atom to the composition; `auto` takes isolated atoms if every element has one, else least
            squares; `none` gives zeros.
        given: atomic number or symbol to eV; every element must be named, and the data are not asked.

    Raises DataError for an element without a value, or if no frame has an energy.
    """
    if source not in SOURCES:
        raise ConfigError(f"'{source}' is not a source of reference energies: choose of {', '.join(SOURCES)}.")
    frames = list(dataset) if not isinstance(dataset, Dataset) else dataset
    present = elements(frames)
    if given is not None:
        values = {number(k): float(v) for k, v in given.items()}
        _require(present, values, "was given")
        return References({z: values[z] for z in present}, "given", [])
    if source == "none":
        return References(dict.fromkeys(present, 0.0), "none", [])
    remarks: list[str] = []
    if source in ("auto", "isolated atoms"):
        alone = _isolated(frames)
        if source == "isolated atoms":
            _require(present, alone, "is in the data as an isolated atom")
        if alone and set(alone) >= set(present):
            return References({z: alone[z] for z in present}, "isolated atoms", remarks)
        if alone:
            lacking = ", ".join(symbol(z) for z in present if z not in alone)
            remarks.append(
                f"no isolated atom of {lacking} is in the data, so least squares is used for all elements."
            )
    energies, rank = least_squares(frames, present)
    if rank < len(present):
        remarks.append(
            f"the compositions determine only {rank} of {len(present)} reference energies: the solution nearest to"
            " the mean energy per atom is taken, which fits these data but means nothing for other compositions."
        )
    return References(energies, "least squares", remarks)


def _require(present: Iterable[int], values: Mapping[int, float], what: str) -> None:
    lacking = [symbol(z) for z in present if z not in values]
    if lacking:
        raise DataError(f"no reference energy of {', '.join(lacking)} {what}: every element of the data needs one.")


def _isolated(frames: Iterable[Frame]) -> dict[int, float]:
    found: dict[int, float] = {}
    for frame in frames:
        if is_isolated_atom(frame) and "energy" in frame.labels:
            z, energy = int(frame.system.numbers[0]), float(frame.labels["energy"])
            found[z] = min(energy, found.get(z, energy))
    return found


def composition(frames: Iterable[Frame], present: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Number of atoms of each element `[frames, elements]` and energies `[frames]` (NaN where absent)."""
    place = np.zeros(119, dtype=np.int64)
    place[list(present)] = np.arange(len(present))
    counts, energies = [], []
    for frame in frames:
        counts.append(np.bincount(place[frame.system.numbers.numpy()], minlength=len(present)))
        energies.append(float(frame.labels["energy"]) if "energy" in frame.labels else np.nan)
    return np.array(counts, dtype=np.float64).reshape(-1, len(present)), np.array(energies)


def least_squares(frames: Iterable[Frame], present: tuple[int, ...]) -> tuple[dict[int, float], int]:
    """Fit of energies per atom to composition; of many solutions the one nearest to the mean. Also the rank."""
    counts, energies = composition(frames, present)
    known = np.isfinite(energies)
    if not known.any():
        raise DataError("no frame has an energy to find reference energies from: check the label keys.")
    atoms = counts[known].sum(axis=1)
    fractions, per_atom = counts[known] / atoms[:, None], energies[known] / atoms
    mean = per_atom.mean()
    shift, _, rank, _ = np.linalg.lstsq(fractions, per_atom - mean, rcond=1e-8)
    return {z: float(mean + s) for z, s in zip(present, shift, strict=True)}, int(rank)


def residuals(frames: Iterable[Frame], references: Mapping[int, float]) -> np.ndarray:
    """Energy per atom above the reference energies `[frames]`, eV; NaN where a frame has no energy."""
    present = tuple(sorted(references))
    counts, energies = composition(frames, present)
    return (energies - counts @ np.array([references[z] for z in present])) / counts.sum(axis=1)


def scale(dataset: Dataset, references: Mapping[int, float] | None = None) -> float:
    """Energy unit for a model's own output: RMS force component (eV/Å), or without forces the standard deviation
    of the energy per atom above the reference energies (eV); 1 if neither varies."""
    total, count = 0.0, 0
    for frame in dataset:
        if "forces" in frame.labels:
            total += float(frame.labels["forces"].square().sum())
            count += 3 * frame.system.atoms
    if count and total > 0:
        return float(np.sqrt(total / count))
    values = references if references is not None else dict.fromkeys(elements(dataset), 0.0)
    spread = residuals(dataset, values)
    spread = spread[np.isfinite(spread)]
    deviation = float(spread.std()) if len(spread) > 1 else 0.0
    return deviation if deviation > 1e-12 else 1.0


def average_neighbors(dataset: Dataset, cutoff: float, sample: int = 500, seed: int = 0) -> float:
    """Mean number of neighbors of an atom within `cutoff` (Å), over at most `sample` frames drawn with `seed`."""
    chosen = np.arange(len(dataset))
    if len(dataset) > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(len(dataset), sample, replace=False))
    pairs = atoms = 0
    for index in chosen.tolist():
        system = dataset[index].system
        pairs += neighbor_pairs(system, cutoff)[0].shape[1]
        atoms += system.atoms
    return pairs / atoms


def data_info(train: Dataset, parts: Mapping[str, Dataset], references: References, **more: Any) -> DataInfo:
    """The DataInfo of a fit: elements and scale of the training part, references, counts and hashes of every part.

    Args:
        train: the training frames.
        parts: name to frames of every part, the training part included.
        references: from `reference_energies`.
        more: other fields of DataInfo (source, keys, level_of_theory, license).
    """
    return DataInfo(
        elements=tuple(sorted(references.energies)) or elements(train),
        reference_energies=references.energies,
        reference_source=references.source,
        scale=scale(train, references.energies),
        hashes={name: dataset_hash(part) for name, part in parts.items()},
        frames={name: len(part) for name, part in parts.items()},
        **more,
    )
