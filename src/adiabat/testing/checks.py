"""What a check gives, and the small steps that several checks share."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction

TITLES = {
    "INV": "invariant under translation, rotation, reflection, permutation",
    "FD": "derivatives equal finite differences",
    "CUT": "continuous as a neighbor crosses the cutoff",
    "EXT": "energy adds up over cells and far fragments",
    "PBC": "periodic images equal brute-force images",
    "FIT": "overfits 20 labeled configurations",
    "REF": "same weights give the published program's numbers",
    "NVE": "conserves energy in dynamics",
    "BATCH": "batched equals one by one",
    "RT": "saved and loaded is identical, captured for compiling is equal",
}


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Attributes:
        code: one of TITLES.
        value: the measure that came nearest to (or farthest beyond) its threshold; NaN if nothing was measured.
        threshold: the largest value that passes.
        passed: True, False, or None if the check does not apply or was not run; the message says why.
        message: what was measured, where it was worst, what was left out and why.
    """

    code: str
    value: float
    threshold: float
    passed: bool | None
    message: str


@dataclass(frozen=True)
class Measure:
    """One number of a check: what, where, how large, how large it may be."""

    what: str
    where: str
    value: float
    threshold: float

    @property
    def severity(self) -> float:
        """Value over threshold; not-a-number counts as infinite."""
        return math.inf if math.isnan(self.value) else self.value / self.threshold


def judge(code: str, measures: Sequence[Measure], notes: Collection[str] = ()) -> CheckResult:
    """The worst measure decides; notes (exemptions) are kept in the message."""
    if not measures:
        return not_run(code, "; ".join(notes) or "nothing to measure")
    worst = max(measures, key=lambda m: m.severity)
    message = f"worst: {worst.what} of {worst.where} {worst.value:.1e} (at most {worst.threshold:.0e})"
    return CheckResult(
        code, worst.value, worst.threshold, worst.severity <= 1.0, "; ".join([message, *dict.fromkeys(notes)])
    )


def not_run(code: str, reason: str) -> CheckResult:
    """A check that does not apply or was left out, and why."""
    return CheckResult(code, math.nan, math.nan, None, reason)


def in_double(potential: Potential) -> Potential:
    """The potential, or a float64 copy of it: the thresholds are for float64."""
    return potential if potential.dtype == torch.float64 else copy.deepcopy(potential).double()


def predict(potential: Potential, system: System, want: Collection[str] = ("energy", "forces")) -> Prediction:
    """Predictions for a system, its neighbor list included."""
    return evaluate(potential, Graph.build(system, potential.cutoff), want)


def wants(potential: Potential, system: System) -> tuple[str, ...]:
    """Energy, forces, and stress where it is defined."""
    periodic = bool(system.pbc.any()) and potential.local
    return ("energy", "forces", "stress") if periodic else ("energy", "forces")


def difference(a: Tensor | None, b: Tensor | None, floor: float = 1.0) -> float:
    """Largest absolute difference over the larger of `floor` and the largest magnitude; NaN beside NaN is equal."""
    assert a is not None
    assert b is not None
    if a.numel() == 0:
        return 0.0
    both = torch.isnan(a) & torch.isnan(b)
    a, b = torch.where(both, torch.zeros_like(a), a), torch.where(both, torch.zeros_like(b), b)
    return float((a - b).abs().max()) / max(floor, float(b.abs().max()))
