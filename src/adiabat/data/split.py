"""Splits: which frames train, which validate, which test; reproducible by seed, each part with its hash."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.data.dataset import Dataset, Subset, dataset_hash
from adiabat.data.fingerprint import farthest_points, fingerprints
from adiabat.data.frame import Frame
from adiabat.data.statistics import elements
from adiabat.elements import symbol
from adiabat.errors import ConfigError, DataError, did_you_mean

METHODS = ("random", "group", "composition", "blocks", "farthest")
SIZES: dict[str, float | int | None] = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Split:
    """Frame indices of each part, and how they were chosen.

    Attributes:
        indices: part to frame indices.
        hashes: part to SHA-256 of its frames.
        method: how the split was made.
        seed: of the random numbers.
        options: further options of the method.
        remarks: sentences on sizes that could not be met exactly.
    """

    indices: dict[str, list[int]]
    hashes: dict[str, str]
    method: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def parts(self, dataset: Dataset) -> dict[str, Subset]:
        """The parts as data sets; raises DataError if `dataset` is not the one that was split."""
        last = max((max(i) for i in self.indices.values() if i), default=-1)
        if last >= len(dataset):
            raise DataError(
                f"the split names frame {last}, but the data set has {len(dataset)}: it belongs to another."
            )
        parts = {name: Subset(dataset, indices) for name, indices in self.indices.items()}
        for name, part in parts.items():
            if dataset_hash(part) != self.hashes[name]:
                raise DataError(
                    f"the part '{name}' has changed since it was split: split again, or restore the data."
                )
        return parts

    def save(self, path: str | Path) -> None:
        """Writes the split as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Reads a split written by `save`; raises DataError for another file."""
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path} is not a split file: {error}.") from error


def split(
    dataset: Dataset,
    sizes: Mapping[str, float | int | None] | None = None,
    method: str = "random",
    seed: int = 0,
    *,
    key: str | None = None,
    blocks: int = 10,
    gap: int = 0,
    descriptor: Callable[[Frame], np.ndarray] | None = None,
) -> Split:
    """Splits a data set.

    Args:
        dataset: frames by index.
        sizes: part to a fraction (0.1), a number of frames (100) or None for what is left.
            Default: 0.8 train, 0.1 valid, 0.1 test. Frames beyond the sizes stay unused.
        method: `random`; `group` keeps frames of equal `info[key]` together; `composition` keeps frames of the same
            formula together; `blocks` cuts the sequence into runs of consecutive frames, so that a trajectory's
            neighbors in time are not on both sides; `farthest` gives the first part the frames most different from
            one another and draws the rest at random.
        seed: the same seed gives the same split.
        key: name in the frames' `info`, for `group`.
        blocks: number of runs, for `blocks`.
        gap: frames left out at each border between parts, for `blocks`.
        descriptor: frame to `[features]`, for `farthest`; default: `adiabat.data.fingerprint`.

    Raises ConfigError for options that do not fit, DataError for groups that cannot be found.
    """
    if method not in METHODS:
        raise ConfigError(f"'{method}' is not a way to split.{did_you_mean(method, METHODS)}")
    counts = _counts(sizes or SIZES, len(dataset))
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {}
    remarks: list[str] = []
    if method in ("group", "composition"):
        names = _groups(dataset, method, key)
        options = {"key": key} if method == "group" else {}
        indices = _grouped(names, counts, rng)
        remarks = [
            f"{part} has {len(indices[part])} frames instead of {counts[part]}: groups are kept whole."
            for part in counts
            if len(indices[part]) != counts[part]
        ]
    elif method == "blocks":
        options = {"blocks": blocks, "gap": gap}
        indices = _in_blocks(len(dataset), counts, blocks, gap, rng)
    else:
        order = rng.permutation(len(dataset)).tolist()
        if method == "farthest":
            first = farthest_points(_points(dataset, descriptor), next(iter(counts.values())), seed)
            order = first + [i for i in order if i not in set(first)]
        indices = _cut(order, counts)
    empty = [part for part in counts if not indices[part]]
    if empty:
        raise DataError(f"the part '{empty[0]}' would be empty: give it more frames, or fewer and smaller groups.")
    hashes = {part: dataset_hash(Subset(dataset, chosen)) for part, chosen in indices.items()}
    return Split(indices, hashes, method, seed, options, remarks)


def _counts(sizes: Mapping[str, float | int | None], frames: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    fractions = [s for s in sizes.values() if isinstance(s, float)]
    whole = bool(fractions) and abs(sum(fractions) - 1) < 1e-9 and len(fractions) == len(sizes)
    for name, size in sizes.items():
        if size is None:
            continue
        if size <= 0 or (isinstance(size, float) and size > 1):
            raise ConfigError(
                f"the part '{name}' of size {size} is not possible: give a fraction up to 1.0 or a number."
            )
        counts[name] = round(size * frames) if isinstance(size, float) else int(size)
    rest = [name for name, size in sizes.items() if size is None]
    if len(rest) > 1:
        raise ConfigError(f"only one part can take what is left, not {' and '.join(rest)}.")
    if whole:  # rounding must not lose or invent a frame
        largest = max(counts, key=lambda name: counts[name])
        counts[largest] += frames - sum(counts.values())
    for name in rest:
        counts[name] = frames - sum(counts.values())
    if sum(counts.values()) > frames or min(counts.values(), default=0) < 1:
        wanted = ", ".join(f"{n} {c}" for n, c in counts.items())
        raise ConfigError(
            f"{frames} frames cannot be split into {wanted}: every part needs a frame, and no more than all."
        )
    return {name: counts[name] for name in sizes}


def _cut(order: list[int], counts: Mapping[str, int]) -> dict[str, list[int]]:
    out, start = {}, 0
    for name, count in counts.items():
        out[name] = sorted(order[start : start + count])
        start += count
    return out


def formula(frame: Frame) -> str:
    """Composition such as `H6C2O1`, elements by atomic number."""
    numbers, counts = np.unique(frame.system.numbers.numpy(), return_counts=True)
    return "".join(f"{symbol(z)}{c}" for z, c in zip(numbers.tolist(), counts.tolist(), strict=True))


def _groups(dataset: Dataset, method: str, key: str | None) -> list[str]:
    if method == "composition":
        return [formula(frame) for frame in dataset]
    if key is None:
        raise ConfigError("a split by group needs key, the name in the frames' info that says the group.")
    names = []
    for index, frame in enumerate(dataset):
        if key not in frame.info:
            raise DataError(f"frame {index} has no '{key}' in its info.{did_you_mean(key, frame.info)}")
        names.append(str(frame.info[key]))
    return names


def _grouped(names: list[str], counts: Mapping[str, int], rng: np.random.Generator) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    if len(members) < len(counts):
        raise DataError(f"{len(members)} groups cannot fill {len(counts)} parts: split at random, or by another key.")
    indices: dict[str, list[int]] = {part: [] for part in counts}
    shuffled = [list(members)[k] for k in rng.permutation(len(members))]
    # large groups first, each to the part that lacks most, so that the sizes come out as near as groups allow
    for name in sorted(shuffled, key=lambda n: -len(members[n])):
        part = max(counts, key=lambda p: counts[p] - len(indices[p]))
        if len(indices[part]) < counts[part]:
            indices[part] += members[name]
    return {part: sorted(chosen) for part, chosen in indices.items()}


def _in_blocks(
    frames: int, counts: Mapping[str, int], blocks: int, gap: int, rng: np.random.Generator
) -> dict[str, list[int]]:
    if not 1 <= blocks <= frames or gap < 0:
        raise ConfigError(f"{frames} frames cannot be cut into {blocks} blocks with a gap of {gap}.")
    runs = np.array_split(np.arange(frames), blocks)
    order = np.concatenate([runs[k] for k in rng.permutation(blocks)]).tolist()
    indices = _cut(order, counts)
    if not gap:
        return indices
    owner = np.full(frames, -1)
    for number, chosen in enumerate(indices.values()):
        owner[chosen] = number
    borders = np.flatnonzero(np.diff(owner)) + 1
    near = {int(i) for b in borders for i in range(b - (gap + 1) // 2, b + gap // 2)}
    return {part: [i for i in chosen if i not in near] for part, chosen in indices.items()}


def _points(dataset: Dataset, descriptor: Callable[[Frame], np.ndarray] | None) -> np.ndarray:
    if descriptor is None:
        return fingerprints(dataset, elements(dataset))
    return np.stack([np.asarray(descriptor(frame)).ravel() for frame in dataset])
