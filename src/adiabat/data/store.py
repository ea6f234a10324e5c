"""Reading and writing data sets: any file in, Frames with labels in eV and Å out, and a report of what was found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import ase

from adiabat.data.dataset import Dataset, MemoryDataset, Subset
from adiabat.data.formats import Format, find
from adiabat.data.formats.ase_any import from_many
from adiabat.data.frame import Frame
from adiabat.data.keys import Choice, Survey, resolve
from adiabat.data.raw import Raw, Units, to_frame
from adiabat.errors import DataError, GeometryError


@dataclass
class ReadReport:
    """What reading found.

    Attributes:
        source: path or paths.
        format: name of the format.
        frames: number of frames kept.
        keys: label to the key it was read from.
        labels: label to the number of frames that have it.
        skipped: index in the file and reason, for every frame left out.
        dropped: label to the indices of frames where it held NaN or infinity and was treated as missing.
        remarks: sentences on ambiguous keys, conversions and units.
    """

    source: str
    format: str
    frames: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    dropped: dict[str, list[int]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report in sentences."""
        found = ", ".join(f"{label} from '{key}'" for label, key in self.keys.items()) or "no labels"
        out = [f"{self.source}: {self.frames} frames ({self.format}); {found}."]
        for label in self.labels:
            if self.labels[label] < self.frames:
                out.append(f"{self.frames - self.labels[label]} frames have no {label}.")
        for label, frames in self.dropped.items():
            out.append(
                f"{label} is NaN or infinite in {len(frames)} frames (first: {frames[0]}) and counts as missing."
            )
        if self.skipped:
            index, reason = self.skipped[0]
            out.append(f"{len(self.skipped)} frames were left out; the first is frame {index}: {reason}")
        return out + self.remarks


class ReadDataset(MemoryDataset):
    """Frames held in memory, with the report of how they were read."""

    def __init__(self, frames: Sequence[Frame], report: ReadReport):
        super().__init__(frames, report.source)
        self.report = report


class LazyDataset(Subset):
    """Frames of a store that reads them when asked for, with a report."""

    def __init__(self, base: Dataset, indices: Sequence[int], report: ReadReport):
        super().__init__(base, indices)
        self.report = report


def read(
    path: str | Path | Sequence[Any],
    keys: Mapping[str, str] | None = None,
    index: str | slice | int | None = None,
    *,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    strict: bool = False,
) -> ReadDataset | LazyDataset:
    """Reads a data file, several of them, or ASE structures.

    Args:
        path: file or folder; or a sequence of files, or of `ase.Atoms`.
        keys: label to key, such as `{"energy": "my_energy", "stress": "-my_stress", "forces": "none"}`; a minus
            turns the sign, `none` leaves the label out. Labels not named follow the usual names (see `keys`).
        index: which frames, as a slice (`":100"`, `"::10"`, `slice(0, 100)`) or one number.
        units: of the file where they are not eV and Å: `{"energy": "Hartree", "length": "Bohr", "stress": "GPa",
            "dipole": "Debye"}`. Forces are energy per length, virials are energies.
        format: name of the format, if the suffix does not tell.
        strict: raise for the first frame with a broken structure instead of leaving it out and reporting it.

    Returns:
        A Dataset with attribute `report`. HDF5 and LMDB stores read each frame when it is asked for, all others are
        held in memory.

    Raises DataError for a missing, empty, foreign or truncated file, for a mapped key that no frame has and for
    labels of the wrong shape.
    """
    if not isinstance(path, str | Path):
        return _read_several(list(path), keys, index, units, format, strict)
    path = Path(path)
    kind = _existing(path, format)
    if kind.open is not None:
        return _open_store(path, kind, keys, index, units)
    survey, raws = Survey(), []
    assert kind.read is not None
    for number, raw in _selected(kind.read(path), index):
        survey.add(raw.info, raw.arrays)
        raws.append((number, raw))
    report = ReadReport(str(path), kind.name)
    return _convert(raws, survey, report, keys, _units(path, kind, units), strict)


def stream(
    path: str | Path, keys: Mapping[str, str] | None = None, units: Mapping[str, str] | None = None
) -> tuple[Iterator[Frame], ReadReport]:
    """Frames of a file of any size, one after the other: reads twice, first for the keys and then for the frames.

    The report fills while the frames are drawn.
    """
    path = Path(path)
    kind = _existing(path, None)
    if kind.read is None:
        opened = _open_store(path, kind, keys, None, units)
        return iter(opened), opened.report
    survey = Survey()
    for raw in kind.read(path):
        survey.add(raw.info, raw.arrays)
    report = ReadReport(str(path), kind.name)
    choices, size = _choices(survey, report, keys, _units(path, kind, units))
    return _frames(enumerate(kind.read(path)), choices, size, report, False), report


def write(path: str | Path, frames: Iterable[Frame], format: str | None = None) -> int:
    """Writes frames by the suffix of `path` or a named format, and returns their number.

    The file appears under its name only once it is complete. Raises DataError for a format that is only read.
    """
    path = Path(path)
    kind = find(path, format, writing=True)
    assert kind.write is not None
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        count = kind.write(partial, frames)
        if count == 0:
            raise DataError(f"no frames were given to write to {path}: a data file needs at least one.")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _existing(path: Path, format: str | None) -> Format:
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path (the working folder is {Path.cwd()}).")
    return find(path, format)


def _read_several(items: list[Any], keys: Any, index: Any, units: Any, format: Any, strict: bool) -> ReadDataset:
    if not items:
        raise DataError("no files or structures were given to read.")
    if all(isinstance(item, ase.Atoms) for item in items):
        raws = list(_selected(from_many(items), index))
        survey = Survey()
        for _, raw in raws:
            survey.add(raw.info, raw.arrays)
        return _convert(raws, survey, ReadReport("ASE structures", "ase"), keys, units or {}, strict)
    parts = [read(p, keys, index, units=units, format=format, strict=strict) for p in items]
    reports = [p.report for p in parts]
    whole = ReadReport(", ".join(r.source for r in reports), ", ".join(sorted({r.format for r in reports})))
    for report in reports:
        for label, key in report.keys.items():
            if whole.keys.setdefault(label, key) != key:
                whole.remarks.append(f"{report.source}: {label} is read from '{key}', not '{whole.keys[label]}'.")
        for label, frames in report.dropped.items():
            whole.dropped.setdefault(label, []).extend(f + whole.frames for f in frames)
        whole.labels += report.labels
        whole.skipped += report.skipped
        whole.remarks += [f"{report.source}: {r}" for r in report.remarks]
        whole.frames += report.frames
    return ReadDataset([frame for part in parts for frame in part], whole)


def _selected(raws: Iterator[Raw], index: str | slice | int | None) -> Iterable[tuple[int, Raw]]:
    numbered = enumerate(raws)
    if index is None:
        return numbered
    cut = as_slice(index)
    if all(v is None or v >= 0 for v in (cut.start, cut.stop)) and (cut.step is None or cut.step > 0):
        return islice(numbered, cut.start, cut.stop, cut.step)
    return list(numbered)[cut]


def as_slice(index: str | slice | int) -> slice:
    """A slice from `":100"`, `"::10"`, `5` or a slice; raises DataError for other text."""
    if isinstance(index, slice):
        return index
    if isinstance(index, int):
        return slice(index, index + 1 or None)
    try:
        parts = [int(p) if p.strip() else None for p in index.split(":")]
    except ValueError:
        parts = []
    if len(parts) == 1 and parts[0] is not None:
        return as_slice(parts[0])
    if not 2 <= len(parts) <= 3:
        raise DataError(f"'{index}' does not select frames: write start:stop:step, such as :100 or ::10.")
    return slice(*parts)


def _choices(
    survey: Survey, report: ReadReport, keys: Mapping[str, str] | None, units: Mapping[str, str]
) -> tuple[dict[str, Choice], Units]:
    if survey.frames == 0:
        raise DataError(f"{report.source} holds no frames to read: the file or the selected range is empty.")
    choices, remarks = resolve(survey, keys)
    report.keys = {role: str(choice) for role, choice in choices.items()}
    report.remarks += remarks
    if units:
        report.remarks.append(f"converted from {', '.join(f'{q} in {u}' for q, u in units.items())}.")
    return choices, Units.named(units)


def _units(path: Path, kind: Format, given: Mapping[str, str] | None) -> dict[str, str]:
    return (kind.units(path) if kind.units else {}) | dict(given or {})


def _convert(
    raws: Iterable[tuple[int, Raw]],
    survey: Survey,
    report: ReadReport,
    keys: Mapping[str, str] | None,
    units: Mapping[str, str],
    strict: bool,
) -> ReadDataset:
    choices, size = _choices(survey, report, keys, units)
    frames = list(_frames(raws, choices, size, report, strict))
    if not frames:
        raise DataError(
            f"{report.source} holds no usable frame; the first is left out because {report.skipped[0][1]}"
        )
    return ReadDataset(frames, report)


def _frames(
    raws: Iterable[tuple[int, Raw]], choices: Mapping[str, Choice], units: Units, report: ReadReport, strict: bool
) -> Iterator[Frame]:
    for number, raw in raws:
        try:
            frame, dropped = to_frame(raw, choices, units, report.source, number)
        except GeometryError as error:
            if strict:
                raise DataError(f"frame {number} of {report.source}: {error}") from error
            report.skipped.append((number, str(error)))
            continue
        except DataError as error:
            raise DataError(f"frame {number} of {report.source}: {error}") from error
        for label in sorted(dropped):
            report.dropped.setdefault(label, []).append(number)
        report.frames += 1
        report.labels.update(frame.labels.keys())
        yield frame


def _open_store(path: Path, kind: Format, keys: Any, index: Any, units: Any) -> LazyDataset:
    if keys or units:
        raise DataError(
            f"{path} is adiabat's own {kind.name} layout, whose labels and units are fixed: leave keys away."
        )
    assert kind.open is not None
    base = kind.open(path)
    report = ReadReport(str(path), kind.name, keys={name: name for name in base.labels})
    chosen = range(len(base)) if index is None else range(len(base))[as_slice(index)]
    if not len(chosen):
        raise DataError(f"{path} holds no frames to read: the file or the selected range is empty.")
    report.frames = len(chosen)
    if report.frames == len(base):
        report.labels.update(base.labels)
    return LazyDataset(base, chosen, report)
