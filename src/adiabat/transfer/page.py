"""The forgetting report as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adiabat.report import figures
from adiabat.report.html import render
from adiabat.transfer.dimers import picture_data
from adiabat.transfer.forgetting import Forgetting

ROWS = {"new before": "new data, base", "new rereferenced": "new data, base with refitted references"}
ROWS |= {"new after": "new data, tuned"}
ROWS |= {"base before": "base set, base", "base after": "base set, tuned"}


def page(
    lost: Forgetting,
    metrics: Mapping[str, Any],
    receipt: Mapping[str, Any],
    name: str,
    history: Sequence[Mapping[str, Any]],
) -> str:
    """The page.

    Args:
        lost: the report.
        metrics: errors on the new test frames.
        receipt: of the run.
        name: of the run, for the heading.
        history: rows of the fit.
    """
    pictures = [figures.learning_curve(history)]
    curves = picture_data(lost.dimers)
    if curves:
        finding = next(f for f in lost.findings if f.code == "HOLES")
        pictures.append(figures.dimers(curves, finding.verdict, finding.passed))
    table = {**metrics, "per_element": {}, "per_group": {ROWS[key]: row for key, row in lost.errors.items()}}
    marks = {True: "✓", False: "✗", None: "–"}
    sections = {"Forgetting": [f"{marks[f.passed]} {f.code}: {f.verdict}" for f in lost.findings]}
    refitted = receipt["finetune"].get("reference")
    if isinstance(refitted, Mapping):
        sections["Reference energies"] = [
            f"{element}: {row['before']:.4f} → {row['after']:.4f} eV ({row['change']:+.4f})"
            for element, row in refitted["elements"].items()
        ]
    count = receipt["finetune"]["parameters"]
    subtitle = f"{receipt['base']['method']}, {count['trained']} parameters trained (the base has {count['all']})"
    return render(f"adiabat finetune: {name}", subtitle, lost.verdict, lost.passed, table, pictures, sections)
