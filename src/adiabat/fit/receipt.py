"""The receipt of a fit: what was asked for is what was used, or the run stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.elements import symbol
from adiabat.errors import CapabilityError, FitError
from adiabat.fit.losses import LossConfig
from adiabat.potential import Potential


def label_counts(dataset: Dataset) -> Counter[str]:
    """How many frames have each label; stress counts only where there is periodicity (`stress` without a cell
    under `stress of frames without a cell`)."""
    counts: Counter[str] = Counter()
    for frame in dataset:
        for name in frame.labels:
            lone = name == "stress" and not bool(frame.system.pbc.any())
            counts["stress of frames without a cell" if lone else name] += 1
    return counts


def check_labels(potential: Potential, train: Dataset, valid: Dataset, asked: Collection[str]) -> dict[str, Any]:
    """The labels asked for, with how many training frames have each.

    Raises:
        FitError: a label asked for is in no training or no validation frame, so its weight would have no effect.
        CapabilityError: the model has no such output.
    """
    counts, valid_counts = label_counts(train), label_counts(valid)
    if "stress" in asked and not potential.local:
        raise CapabilityError("the loss asks for stress, which a global model does not have: set its weight to 0.")
    for part, size, found in (("training", len(train), counts), ("validation", len(valid), valid_counts)):
        for name in asked:
            if found[name] == 0:
                have = ", ".join(sorted(found)) or "none"
                periodic = " of periodic frames" if name == "stress" else ""
                raise FitError(
                    f"the loss asks for {name}{periodic}, which none of the {size} {part} frames has (found: {have}):"
                    f" set fit.loss.{name}.weight to 0, map the key with data.keys.{name}, or split otherwise."
                )
    return {
        "frames": len(train),
        "valid_frames": len(valid),
        "labels_asked": sorted(asked),
        "labels_used": {name: counts[name] for name in asked},
        "labels_unused": {name: n for name, n in sorted(counts.items()) if name not in asked},
        "frames_lacking_a_label": {name: len(train) - counts[name] for name in asked if counts[name] < len(train)},
    }


def check_elements(potential: Potential, losses: Iterable[LossConfig]) -> None:
    """Raises FitError if a loss weighs an element that the model, and so the data, do not have."""
    known = {symbol(z) for z in potential.elements}
    for loss in losses:
        for name, term in loss.terms.items():
            absent = sorted(set(term.elements) - known)
            if absent:
                raise FitError(
                    f"fit.loss.{name}.elements weighs {', '.join(absent)}, which the data do not have"
                    f" (they have {', '.join(sorted(known))})."
                )


def group_weights(train: Dataset, key: str, weights: Mapping[str, float]) -> Tensor | None:
    """Weight of each frame `[frames]` by its group, 1 where none is given; None without weights.

    Raises FitError for a group that no frame belongs to.
    """
    if not weights:
        return None
    groups = [str(frame.info.get(key, "")) for frame in train]
    absent = sorted(set(weights) - set(groups))
    if absent:
        raise FitError(
            f"fit.group_weights names {', '.join(absent)}, which no training frame has as {key}"
            f" (found: {', '.join(sorted(set(groups)))})."
        )
    return torch.tensor([weights.get(group, 1.0) for group in groups], dtype=torch.float64)
