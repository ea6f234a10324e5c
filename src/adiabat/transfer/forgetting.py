"""The forgetting report: what a fine-tuning has gained on the new data and lost elsewhere.

| code | question | threshold |
|---|---|---|
| NEW | are errors on new test frames smaller than the base's? | force RMSE (else energy MAE) falls |
| FORCES | how much larger is the force RMSE on the base set? | 10 % of the base set's RMS force |
| ENERGY | how much larger is the energy MAE on the base set? | 20 meV/atom |
| DIMERS | how far have curves of two atoms moved where they are below 5 eV? | 0.5 eV |
| HOLES | how many walls or wells of two atoms are spurious that were not before? | 0 |

The base set is labeled frames of the base's own level of theory where there are some, otherwise structures made from
the new ones and labeled by the base model. If reference energies were refitted, its energies are moved by the same
change, so that a change of level of theory is not called forgetting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from adiabat.audit.audit import Finding
from adiabat.data import Dataset
from adiabat.data.statistics import elements
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential
from adiabat.transfer.dimers import ACCESSIBLE, Curve, curves
from adiabat.transfer.reference import relabeled

KEPT_FORCES = 0.1  # of the base set's RMS force
KEPT_ENERGY = 0.02  # eV/atom
KEPT_DIMERS = 0.5  # eV
ERRORS = ("energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse", "stress_mae")


@dataclass(frozen=True)
class Forgetting:
    """The report.

    Attributes:
        findings: answers in the order of the table above.
        errors: `new before`, `new after`, `base before`, `base after` to errors, eV and Å.
        dimers: curves of all pairs of elements of the new data.
        base_set: what the base set is, in words.
        verdict: one sentence on the whole.
    """

    findings: tuple[Finding, ...]
    errors: Mapping[str, Mapping[str, float]]
    dimers: Sequence[Curve]
    base_set: str
    verdict: str

    @property
    def passed(self) -> bool:
        """Whether the model has learned and not forgotten."""
        return all(finding.passed is not False for finding in self.findings)

    def row(self) -> dict[str, Any]:
        """Plain values, as in forgetting.json."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "base_set": self.base_set,
            "findings": [asdict(finding) for finding in self.findings],
            "errors": {name: dict(row) for name, row in self.errors.items()},
            "dimers": [curve.row() for curve in self.dimers],
        }


def forgetting(
    base: Potential,
    tuned: Potential,
    new: Dataset,
    old: Dataset,
    base_set: str,
    change: Mapping[int, float] | None = None,
) -> Forgetting:
    """Compares a tuned model with its base.

    Args:
        base: untouched.
        tuned: after fine-tuning.
        new: test frames of the new data, which were not trained on.
        old: labeled frames of the base's level of theory.
        base_set: what `old` is, in words.
        change: by how much reference energies of elements were changed, eV.
    """
    moved = relabeled(old, change or {})
    errors = {
        "new before": _errors(base, new),
        "new after": _errors(tuned, new),
        "base before": _errors(base, old),
        "base after": _errors(tuned, moved),
    }
    found = curves(base, tuned, elements(new))
    findings = (_new(errors), *_base(errors, old, base_set), *_dimers(found))
    return Forgetting(findings, errors, found, base_set, _verdict(findings))


def _errors(potential: Potential, frames: Dataset) -> dict[str, float]:
    summary = evaluate_dataset(potential, frames).summary()
    return {name: summary[name] for name in ERRORS if name in summary}


def _new(errors: Mapping[str, Mapping[str, float]]) -> Finding:
    before, after = errors["new before"], errors["new after"]
    forces = "forces_rmse" in before
    key, unit = ("forces_rmse", "meV/Å") if forces else ("energy_mae_per_atom", "meV/atom")
    what = "force RMSE" if forces else "energy MAE"
    passed = after[key] < before[key]
    verdict = (
        f"On the new test frames the {what} goes from {1000 * before[key]:.4g} to {1000 * after[key]:.4g} {unit}"
        + (f", {before[key] / max(after[key], 1e-12):.2g} times smaller." if passed else ": nothing was learned.")
    )
    return Finding("NEW", "New data", after[key], before[key], passed, verdict)


def _base(errors: Mapping[str, Mapping[str, float]], old: Dataset, base_set: str) -> list[Finding]:
    before, after = errors["base before"], errors["base after"]
    out = []
    if "forces_rmse" in before:
        rms = float(np.sqrt(np.mean(np.concatenate([_squares(frame) for frame in old]))))
        limit, more = KEPT_FORCES * rms, after["forces_rmse"] - before["forces_rmse"]
        passed = more <= limit
        out.append(
            Finding(
                "FORCES",
                "Forces of the base set",
                more,
                limit,
                passed,
                f"On {base_set} the force RMSE goes from {1000 * before['forces_rmse']:.4g} to"
                f" {1000 * after['forces_rmse']:.4g} meV/Å; {1000 * limit:.4g} meV/Å more would be"
                f" {100 * KEPT_FORCES:g} % of the RMS force: " + ("kept." if passed else "forgotten."),
            )
        )
    if "energy_mae_per_atom" in before:
        more = after["energy_mae_per_atom"] - before["energy_mae_per_atom"]
        passed = more <= KEPT_ENERGY
        out.append(
            Finding(
                "ENERGY",
                "Energies of the base set",
                more,
                KEPT_ENERGY,
                passed,
                f"On {base_set} the energy MAE goes from {1000 * before['energy_mae_per_atom']:.4g} to"
                f" {1000 * after['energy_mae_per_atom']:.4g} meV/atom, beside the change of reference energies;"
                f" {1000 * KEPT_ENERGY:g} more are allowed: " + ("kept." if passed else "forgotten."),
            )
        )
    return out


def _squares(frame: Any) -> np.ndarray:
    forces = frame.labels.get("forces")
    return np.zeros(0) if forces is None else forces.double().numpy().ravel() ** 2


def _dimers(found: Sequence[Curve]) -> list[Finding]:
    if not found:
        reason = "Not checked: a global model knows one molecule."
        return [Finding("DIMERS", "Curves of two atoms", float("nan"), KEPT_DIMERS, None, reason)]
    worst = max(found, key=lambda curve: curve.deviation[0])
    size, place = worst.deviation
    passed = size <= KEPT_DIMERS
    moved = (
        f"Curves of two atoms moved by at most {size:.3g} eV ({worst.pair} at {place:.2f} Å) where they are below"
        f" {ACCESSIBLE:g} eV; {KEPT_DIMERS:g} eV are allowed: " + ("kept." if passed else "changed.")
    )
    holes = [f"{c.pair} falls inward at {c.new_hole:.2f} Å" for c in found if c.new_hole is not None]
    minima = [f"{c.pair} has a new minimum at {r:.2f} Å" for c in found for r in c.new_minima]
    faults = holes + minima
    spurious = (
        f"New faults in curves of two atoms: {'; '.join(faults)}."
        if faults
        else f"None of the {len(found)} pairs of elements has a new hole or a new minimum."
    )
    return [
        Finding("DIMERS", "Curves of two atoms", size, KEPT_DIMERS, passed, moved),
        Finding("HOLES", "Holes and minima", float(len(faults)), 0.0, not faults, spurious),
    ]


def _verdict(findings: Sequence[Finding]) -> str:
    failed = [finding.code for finding in findings if finding.passed is False]
    if not failed:
        return "The model has learned the new data and kept what it knew."
    advice = "add replay, a gentler preset, lora or freeze"
    lost = [code for code in failed if code != "NEW"]
    if not lost:
        return (
            "The model kept what it knew and has not learned the new data (NEW): take a stronger preset or more data."
        )
    learned = "has learned the new data" if "NEW" not in failed else "has not learned the new data (NEW)"
    return f"The model {learned} and has forgotten ({', '.join(lost)}): {advice}."
