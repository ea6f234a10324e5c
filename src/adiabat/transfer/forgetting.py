"""The forgetting report: what a fine-tuning has gained on the new data and lost elsewhere.

| code | question | threshold |
|---|---|---|
| NEW | are errors on new test frames smaller than the base's? | force RMSE (else energy MAE) falls |
| FORCES | how much larger is the force RMSE on the base set? | 10 % of the base set's RMS force ¹ |
| ENERGY | how much larger is the energy MAE on the base set? | 20 meV/atom ¹ |
| DIMERS | how far have curves of two atoms moved where they are below 5 eV? | 0.5 eV |
| HOLES | how many walls or wells of two atoms are spurious that were not before? | 0 |

The base set is labeled frames of the base's own level of theory where there are some, otherwise structures made from
the new ones and labeled by the base model. If reference energies were refitted, its energies are moved by the same
change, so that a change of level of theory is not called forgetting.

¹ On structures like the new ones a model must move where the base is wrong: with the base's own predictions as
labels, 1.5 times the base's error on the new test frames is allowed, if that is more.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from adiabat.audit.audit import Finding
from adiabat.compile import quickest
from adiabat.data import Dataset
from adiabat.data.statistics import elements
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential
from adiabat.transfer.dimers import ACCESSIBLE, Curve, curves
from adiabat.transfer.reference import relabeled, shifted

KEPT_FORCES = 0.1  # of the base set's RMS force
KEPT_ENERGY = 0.02  # eV/atom
KEPT_DIMERS = 0.5  # eV
MOVED = 1.5  # times the base's error on new frames: how far a model may move from the base's own predictions
ERRORS = ("energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse", "stress_mae")


@dataclass(frozen=True)
class Forgetting:
    """The report.

    Attributes:
        findings: answers in the order of the table above.
        errors: `new before`, `new after`, `base before`, `base after` to errors, eV and Å; `new rereferenced` are
            those of the base with refitted reference energies, before any training.
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
    own: bool = False,
) -> Forgetting:
    """Compares a tuned model with its base.

    Args:
        base: untouched.
        tuned: after fine-tuning.
        new: test frames of the new data, which were not trained on.
        old: labeled frames of the base's level of theory.
        base_set: what `old` is, in words.
        change: by how much reference energies of elements were changed, eV.
        own: whether the labels of `old` are the base model's own predictions for structures like the new ones.
    """
    moved = relabeled(old, change or {})
    rereferenced = quickest(shifted(copy.deepcopy(base), change)) if change else None
    base, tuned = quickest(base), quickest(tuned)  # each evaluates hundreds of structures
    errors = {"new before": _errors(base, new)}
    if rereferenced is not None:
        errors["new rereferenced"] = _errors(rereferenced, new)
    errors |= {
        "new after": _errors(tuned, new),
        "base before": _errors(base, old),
        "base after": _errors(tuned, moved),
    }
    found = curves(base, tuned, elements(new))
    findings = (_new(errors), *_base(errors, old, base_set, own), *_dimers(found))
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


def _base(errors: Mapping[str, Mapping[str, float]], old: Dataset, base_set: str, own: bool) -> list[Finding]:
    before, after = errors["base before"], errors["base after"]
    wrong = errors.get("new rereferenced", errors["new before"]) if own else {}
    out = []
    if "forces_rmse" in before:
        rms = float(np.sqrt(np.mean(np.concatenate([_squares(frame) for frame in old]))))
        allowed = {f"{100 * KEPT_FORCES:g} % of the RMS force": KEPT_FORCES * rms}
        allowed |= _moved(wrong, "forces_rmse")
        out.append(
            _kept("FORCES", "force RMSE", "meV/Å", (before["forces_rmse"], after["forces_rmse"]), allowed, base_set)
        )
    if "energy_mae_per_atom" in before:
        values = (before["energy_mae_per_atom"], after["energy_mae_per_atom"])
        allowed = {"beside the change of reference energies": KEPT_ENERGY} | _moved(wrong, "energy_mae_per_atom")
        out.append(_kept("ENERGY", "energy MAE", "meV/atom", values, allowed, base_set))
    return out


def _moved(wrong: Mapping[str, float], key: str) -> dict[str, float]:
    """How far a model may move from its base because the base is wrong on the new frames."""
    return {f"{MOVED:g} times the base's error on the new frames": MOVED * wrong[key]} if key in wrong else {}


def _kept(
    code: str, what: str, unit: str, values: tuple[float, float], allowed: Mapping[str, float], base_set: str
) -> Finding:
    """The answer whether an error grew by no more than the largest of what is allowed."""
    why, limit = max(allowed.items(), key=lambda item: item[1])
    before, after = values
    passed = after - before <= limit
    verdict = (
        f"On {base_set} the {what} goes from {1000 * before:.4g} to {1000 * after:.4g} {unit};"
        f" {1000 * limit:.4g} more are allowed ({why}): " + ("kept." if passed else "forgotten.")
    )
    return Finding(code, f"Base set: {what}", after - before, limit, passed, verdict)


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
