"""Dataset: frames by index, wherever they are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from adiabat.data.frame import LABELS, Frame


@runtime_checkable
class Dataset(Protocol):
    """Frames by index. Files larger than memory read each frame when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Frame: ...

    def __iter__(self) -> Iterator[Frame]: ...


class MemoryDataset:
    """Frames held in memory."""

    def __init__(self, frames: Sequence[Frame], source: str = "memory"):
        self.frames = list(frames)
        self.source = source

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


class Subset:
    """Some frames of another data set, in a given order; reads through, copies nothing."""

    def __init__(self, base: Dataset, indices: Sequence[int]):
        self.base = base
        self.indices = [int(i) for i in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Frame:
        return self.base[self.indices[index]]

    def __iter__(self) -> Iterator[Frame]:
        return (self.base[i] for i in self.indices)


def frame_hash(frame: Frame) -> str:
    """SHA-256 of a frame's structure and labels, the same on every machine.

    Positions are rounded to 1e-6 Å and labels to 1e-8, so that a text format's last digit does not matter.
    """
    digest = hashlib.sha256()
    system = frame.system
    digest.update(system.numbers.numpy().tobytes())
    for values, digits in ((system.positions, 6), (system.cell, 6), (system.charge, 6)):
        digest.update((values.double().round(decimals=digits) + 0.0).numpy().tobytes())
    digest.update(system.pbc.numpy().tobytes())
    digest.update(system.multiplicity.numpy().tobytes())
    for name in LABELS:
        if name in frame.labels:
            digest.update(name.encode())
            digest.update((frame.labels[name].double().round(decimals=8) + 0.0).numpy().tobytes())
    return digest.hexdigest()


def dataset_hash(frames: Dataset | Sequence[Any]) -> str:
    """SHA-256 over the sorted frame hashes: the same set in another order has the same hash."""
    digest = hashlib.sha256()
    for line in sorted(frame_hash(f) for f in frames):
        digest.update(line.encode())
    return digest.hexdigest()
