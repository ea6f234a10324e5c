"""The receipt of a fit: what was asked for is what was used, or the run stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from adiabat.data.dataset import Dataset
from adiabat.errors import CapabilityError, FitError
from adiabat.potential import Potential


def label_counts(dataset: Dataset) -> tuple[Counter[str], int]:
    """How many frames have each label, and how many are periodic."""
    counts: Counter[str] = Counter()
    periodic = 0
    for frame in dataset:
        counts.update(frame.labels.keys())
        periodic += bool(frame.system.pbc.any())
    return counts, periodic


def check_labels(potential: Potential, train: Dataset, asked: Collection[str]) -> dict[str, Any]:
    """The labels asked for, with how many training frames have each.

    Raises:
        FitError: a label asked for is in no training frame, so its weight would have no effect.
        CapabilityError: the model has no such output.
    """
    counts, periodic = label_counts(train)
    for name in asked:
        if counts[name] == 0:
            have = ", ".join(sorted(counts)) or "none"
            raise FitError(
                f"the loss asks for {name}, which none of the {len(train)} training frames has (found: {have}):"
                f" set its weight to 0, or map the key with data.keys.{name}."
            )
    if "stress" in asked and not potential.local:
        raise CapabilityError("the loss asks for stress, which a global model does not have: set its weight to 0.")
    if "stress" in asked and periodic == 0:
        raise FitError("the loss asks for stress, but no training frame is periodic: set its weight to 0.")
    return {
        "frames": len(train),
        "labels_asked": sorted(asked),
        "labels_used": {name: counts[name] for name in asked},
        "labels_unused": {name: n for name, n in sorted(counts.items()) if name not in asked},
        "frames_lacking_a_label": {name: len(train) - counts[name] for name in asked if counts[name] < len(train)},
    }
