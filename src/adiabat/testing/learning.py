"""Checks beyond single predictions: REF, RT, FIT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adiabat.pretrained.kit import Kit
from adiabat.testing.checks import CheckResult, Measure, judge, not_run
from adiabat.testing.parity import parity


def check_ref(kits: Sequence[Path]) -> CheckResult:
    """The importers' models give the published programs' numbers (1e-6 relative; 1e-5 for float32 programs)."""
    if not kits:
        return not_run("REF", "no golden kit was given")
    measures, notes = [], []
    for path in kits:
        report = parity(Kit(path))
        if report.status == "no page":
            notes.append(f"{report.kit}: no importer reads it")
        for case, reason in report.failures.items():
            measures.append(Measure(f"failure ({reason})", f"{report.kit} {case}", float("nan"), report.tolerance))
        measures += [Measure(d.quantity, report.kit, d.relative, report.tolerance) for d in report.deviations]
    return judge("REF", measures, notes)
