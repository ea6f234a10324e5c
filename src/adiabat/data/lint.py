"""Lint: what is wrong, doubtful or untestable in a data set, in plain words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from adiabat.data.dataset import Dataset, MemoryDataset
from adiabat.data.lint_consistency import consistency
from adiabat.data.lint_facts import SEVERITIES, Facts, Finding, gather
from adiabat.data.lint_labels import energy_outliers, force_outliers, missing, net_forces, zeros
from adiabat.data.lint_structure import close_atoms, duplicates, leaks, near_duplicates, near_pairs
from adiabat.data.lint_theory import mixed_theory
from adiabat.errors import DataError

__all__ = ["Facts", "Finding", "lint"]


def lint(dataset: Dataset | Mapping[str, Dataset]) -> list[Finding]:
    """Looks for faults in a data set, or in the parts of a split and for leaks between them.

    Args:
        dataset: frames, or part to frames with the training part first. Frame indices in the findings count through
            all parts in their order.

    Returns:
        Findings, errors first. See `Finding.severity` for what the severities mean.

    Raises DataError if there are no frames.
    """
    parts: dict[str, range] = {}
    if isinstance(dataset, Mapping):
        frames = []
        for name, part in dataset.items():
            parts[name] = range(len(frames), len(frames) + len(part))
            frames += list(part)
        dataset = MemoryDataset(frames)
    if len(dataset) == 0:
        raise DataError("the data set has no frames to check.")
    facts = gather(dataset)
    return check(facts, parts)


def check(facts: Facts, parts: Mapping[str, range]) -> list[Finding]:
    """All checks on facts already gathered, errors first."""
    pairs = list(near_pairs(facts))
    found: list[Finding] = []
    found += duplicates(facts)
    found += near_duplicates(facts, pairs)
    if parts:
        leaked = leaks(facts, parts, pairs)
        found += leaked or [Finding("info", "leaks", "no leaks", "no frame occurs in two parts of the split.")]
    found += missing(facts)
    found += zeros(facts)
    with np.errstate(invalid="ignore"):
        found += energy_outliers(facts)
        found += force_outliers(facts)
        found += net_forces(facts)
    found += close_atoms(facts)
    found += mixed_theory(facts)
    found += consistency(facts)
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))
