"""The first audit of a trained potential, on structures of its own data.

| code | question | threshold (float64) |
|---|---|---|
| INV | does the energy stay and do forces turn when the structure moves? | 1e-10 relative, 1e-8 |
| FD | are forces (and stress) the slope of the energy? | 1e-6 relative |
| DRIFT | does the total energy stay in undisturbed dynamics of the real structure? | 1e-4 eV/atom/ps |
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import ase
import numpy as np
import torch
from ase import units as ase_units
from ase.md.verlet import VelocityVerlet

from adiabat.engines.ase import AdiabatCalculator, thermalize
from adiabat.errors import DynamicsError, GeometryError, InputError
from adiabat.geometry import System
from adiabat.potential import Potential
from adiabat.testing.checks import CheckResult
from adiabat.testing.smoothness import check_fd
from adiabat.testing.symmetry import check_inv

DRIFT = 1e-4  # eV/atom/ps; a room-temperature molecule then gains less than 1 K in 1 ps


@dataclass(frozen=True)
class Finding:
    """One answer of the audit.

    Attributes:
        code: INV, FD or DRIFT.
        title: what was asked.
        value: what was measured.
        threshold: the largest value that passes.
        passed: True, False, or None if it does not apply.
        verdict: one sentence.
    """

    code: str
    title: str
    value: float
    threshold: float
    passed: bool | None
    verdict: str


@dataclass(frozen=True)
class AuditReport:
    """All answers, and the energies of the dynamics for a picture.

    Attributes:
        findings: in the order they were asked.
        times: fs.
        energies: total energy minus its first value, eV/atom.
    """

    findings: tuple[Finding, ...]
    times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    energies: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(f.passed is not False for f in self.findings)

    def rows(self) -> list[dict[str, Any]]:
        """The findings as plain values."""
        return [asdict(f) for f in self.findings]


def audit(
    potential: Potential,
    structures: Sequence[ase.Atoms],
    picoseconds: float = 1.0,
    temperature: float = 300.0,
    timestep: float = 0.5,
    seed: int = 0,
) -> AuditReport:
    """Audits a potential in float64 (a copy, if it runs in float32).

    Args:
        potential: any.
        structures: a few structures like those the model is for; the first one moves.
        picoseconds: length of the dynamics.
        temperature: of its initial velocities, K.
        timestep: fs.
        seed: of the velocities.
    """
    if not structures:
        raise InputError("the audit needs at least one structure.")
    if not picoseconds > 0 or not timestep > 0:
        raise InputError(f"dynamics of {picoseconds} ps in steps of {timestep} fs cannot run: both must be positive.")
    model = copy.deepcopy(potential).to(dtype=torch.float64).eval()
    systems = {f"structure {k}": System.from_ase(a) for k, a in enumerate(structures[:3])}
    smallest = min(systems.items(), key=lambda item: item[1].atoms)
    findings = [_symmetry(check_inv(model, systems)), _forces(check_fd(model, dict([smallest])))]
    drift, times, energies = _drift(model, structures[0].copy(), picoseconds, temperature, timestep, seed)
    return AuditReport((*findings, drift), times, energies)


def _symmetry(result: CheckResult) -> Finding:
    verdict = (
        f"Moving, turning or mirroring a structure changes the answer by at most {result.value:.0e}: exact symmetry."
        if result.passed
        else f"The answer depends on how a structure is placed: {result.message}. Do not use this model."
    )
    return Finding("INV", "Symmetry", result.value, result.threshold, result.passed, verdict)


def _forces(result: CheckResult) -> Finding:
    if result.passed is None:
        return Finding("FD", "Forces", result.value, result.threshold, None, f"Not checked: {result.message}.")
    verdict = (
        f"Forces equal the finite differences of the energy within {result.value:.0e}."
        if result.passed
        else f"Forces are not the slope of the energy: {result.message}. Dynamics will not conserve energy."
    )
    return Finding("FD", "Forces against finite differences", result.value, result.threshold, result.passed, verdict)


def _drift(
    model: Potential, atoms: ase.Atoms, picoseconds: float, temperature: float, timestep: float, seed: int
) -> tuple[Finding, np.ndarray, np.ndarray]:
    title = "Energy drift"
    if not model.conservative:
        reason = "Not checked: forces are predicted directly and need not conserve energy."
        return Finding("DRIFT", title, float("nan"), DRIFT, None, reason), np.zeros(0), np.zeros(0)
    atoms.calc = AdiabatCalculator(model)
    thermalize(atoms, temperature, np.random.default_rng(seed))
    dynamics = VelocityVerlet(atoms, timestep * ase_units.fs)
    energies: list[float] = [atoms.get_total_energy()]
    stopped = ""
    try:
        for _ in range(round(picoseconds * 1000 / timestep)):
            dynamics.run(1)
            energies.append(atoms.get_total_energy())
    except (DynamicsError, GeometryError) as error:
        stopped = f"dynamics broke down after {len(energies) * timestep:.0f} fs: {error}"
    times = np.arange(len(energies)) * timestep
    relative = (np.array(energies) - energies[0]) / len(atoms)
    slope = abs(float(np.polyfit(times / 1000, relative, 1)[0])) if len(times) > 2 else float("nan")
    passed = not stopped and slope < DRIFT
    span = float(np.ptp(relative))
    verdict = (
        f"In {times[-1] / 1000:g} ps at {temperature:g} K the total energy drifts by {slope:.1e} eV/atom/ps"
        f" (fluctuation {span:.1e} eV/atom)"
        + (": it is conserved." if passed else f": too much; {stopped or 'shorten the time step or check the data'}.")
    )
    return Finding("DRIFT", title, slope, DRIFT, passed, verdict), times, relative
