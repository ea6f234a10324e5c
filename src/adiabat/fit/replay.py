"""Replay: frames of the set a model was made from, mixed into the batches of a fine-tuning."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adiabat.data.dataset import Dataset, Subset
from adiabat.data.frame import Frame
from adiabat.errors import FitError


class Joined:
    """Several data sets one after the other; reads through, copies nothing."""

    def __init__(self, *parts: Dataset):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Frame:
        index = range(len(self))[index]
        part = int(np.searchsorted(self.ends, index, side="right"))
        return self.parts[part][index - int(self.ends[part]) + len(self.parts[part])]

    def __iter__(self) -> Iterator[Frame]:
        for part in self.parts:
            yield from part


@dataclass(frozen=True)
class Mixed:
    """Training frames with replay among them.

    Attributes:
        train: new frames, then replayed ones.
        weights: `[frames]` weight of each in the loss.
        receipt: how many frames and labels are replayed.
    """

    train: Dataset
    weights: Tensor
    receipt: dict[str, Any] = field(default_factory=dict)


def mix(new: Dataset, base: Dataset, fraction: float, weight: float, labels: Collection[str], seed: int) -> Mixed:
    """Adds so many frames of `base` that they are `fraction` of all; a small base set is gone through repeatedly.

    Args:
        new: frames of the new level of theory.
        base: frames to replay.
        fraction: share of the replayed frames in an epoch.
        weight: of a replayed frame in the loss; others weigh 1.
        labels: which the loss reads.
        seed: of the choice.

    Raises FitError if the replay would have no effect.
    """
    usable = [k for k, frame in enumerate(base) if set(frame.labels) & set(labels)]
    count = round(len(new) * fraction / (1.0 - fraction)) if 0.0 <= fraction < 1.0 else 0
    if weight <= 0.0 or count == 0 or not usable:
        why = (
            f"its weight is {weight:g}"
            if weight <= 0.0
            else f"none of its {len(base)} frames has any of {', '.join(sorted(labels))}"
            if not usable
            else f"a fraction of {fraction:g} beside {len(new)} new frames makes {count} frames"
        )
        raise FitError(f"replay was asked for and would have no effect: {why}. Change it, or leave replay out.")
    order = np.random.default_rng([seed, len(usable)]).permutation(usable)
    replayed = Subset(base, np.resize(order, count).tolist())
    weights = torch.ones(len(new) + count, dtype=torch.float64)
    weights[len(new) :] = weight
    receipt = {
        "frames": count,
        "of": len(base),
        "repeated": count > len(usable),
        "fraction": count / (count + len(new)),
        "weight": weight,
        "labels_used": {name: sum(name in frame.labels for frame in replayed) for name in sorted(labels)},
    }
    return Mixed(Joined(new, replayed), weights, receipt)
