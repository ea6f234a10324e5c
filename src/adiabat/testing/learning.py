"""Checks beyond single predictions: FIT, REF, RT."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from adiabat.architectures import METHODS
from adiabat.checkpoint import load, save
from adiabat.compile import compiled
from adiabat.data.dataset import MemoryDataset
from adiabat.data.info import DataInfo
from adiabat.errors import FitError
from adiabat.evaluate import evaluate
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.fit.kernel import KernelConfig, KernelFitter
from adiabat.fit.losses import LossConfig, Term
from adiabat.fit.optimizers import OptimizerConfig
from adiabat.fit.projection import ProjectionConfig, ProjectionFitter
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.kit import Kit
from adiabat.testing.checks import CheckResult, Measure, difference, judge, not_run, predict
from adiabat.testing.parity import parity
from adiabat.testing.teacher import labeled

CAPTURED = 1e-10  # relative, or eV and eV/Å where below 1
FIT_ENERGY, FIT_FORCES = 1e-3, 1e-2  # eV/atom, eV/Å
STEPS = 12  # of the projection fitter
FIT_OPTIONS = GradientConfig(
    epochs=20,
    batch_size=20,
    loss=LossConfig(energy=Term(weight=1.0), forces=Term(weight=1.0)),
    optimizer=OptimizerConfig(kind="lbfgs", rate=1.0, evaluations=20, history=50),
    ema_decay=None,
    clip=None,
)


def check_fit(
    potential: Potential,
    system: System,
    name: str = "structure",
    options: GradientConfig = FIT_OPTIONS,
    rounds: int = 3,
) -> CheckResult:
    """Overfits 20 rattled copies of a system, labeled by Morse pairs, to 1 meV/atom and 10 meV/Å.

    A copy is fitted, wrapped in reference energies and scale as any fit is; the potential itself stays as it is.

    Args:
        potential: the model, with fresh or fitted parameters.
        system: one system.
        name: what to call it in the result.
        options: of the gradient fitter; the kernel fitter solves once, with length scale 10.
        rounds: how often the gradient fit may go on before it counts as failed.
    """
    data = labeled(system)
    if potential.fitter == "kernel":
        return _check_kernel_fit(potential, data, name)
    if potential.fitter == "projection":
        loss = LossConfig(energy=Term(weight=100.0), forces=Term(weight=1.0))
        config = ProjectionConfig(loss=loss, steps=STEPS)
        result = ProjectionFitter(_fresh(potential, data), data, data, config).fit()
        return judge("FIT", _fit_measures(result.best, name), [f"{result.epochs} steps"])
    if potential.fitter != "gradient":
        return not_run("FIT", f"no check for potentials of the {potential.fitter} fitter yet")
    model = _fresh(potential, data)
    epochs, measures = 0, []
    while epochs < rounds * options.epochs and (epochs == 0 or any(m.severity > 1.0 for m in measures)):
        try:
            result = GradientFitter(model, data, data, options).fit()
        except FitError as error:
            return not_run("FIT", str(error))
        epochs += result.epochs
        measures = _fit_measures(result.best, name)
    return judge("FIT", measures, [f"{epochs} epochs"])


def _check_kernel_fit(potential: Potential, data: MemoryDataset, name: str) -> CheckResult:
    inner = potential.model if isinstance(potential, Referenced) else potential
    fresh = type(inner)(inner.config, inner.elements)  # type: ignore[call-arg]
    result = KernelFitter(fresh, data, data, KernelConfig(length_scales=(10,))).fit()
    return judge("FIT", _fit_measures(result.best, name), ["closed form"])


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
            measures.append(Measure(f"failure ({reason})", f"{report.kit} {case}", math.nan, report.tolerance))
        measures += [Measure(d.quantity, report.kit, d.relative, report.tolerance) for d in report.deviations]
    return judge("REF", measures, notes)


def check_rt(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """Saved and loaded identical, bit by bit; the graph of operations that compiling starts from gives the same."""
    name = getattr(potential.config, "method", "")
    if name not in METHODS:
        return not_run("RT", f"'{name}' is not among the registered methods, which checkpoints are rebuilt from")
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / "model.adiabat", potential, DataInfo(elements=potential.elements))
        loaded = load(path).potential
    if loaded.config != potential.config or loaded.elements != potential.elements:
        return CheckResult("RT", math.nan, 0.0, False, "configuration or elements changed")
    before, after = potential.state_dict(), loaded.state_dict()
    if list(before) != list(after) or not all(torch.equal(before[k], after[k]) for k in before):
        return CheckResult("RT", math.nan, 0.0, False, "weights changed")
    worst = 0.0
    for system in structures.values():
        a, b = predict(potential, system), predict(loaded, system)
        assert a.forces is not None
        assert b.forces is not None
        worst = max(worst, float((a.energy - b.energy).abs().max()), float((a.forces - b.forces).abs().max()))
    if worst > 0.0:
        return CheckResult("RT", worst, 0.0, False, "predictions of the loaded potential differ")
    return _check_captured(potential, structures, f"{len(structures)} structures, {len(before)} tensors")


def _check_captured(potential: Potential, structures: Mapping[str, System], message: str) -> CheckResult:
    """The compiled path without a compiler's minute: what is captured for it runs operation by operation."""
    periodic = [name for name, system in structures.items() if bool(system.pbc.any()) and potential.local]
    want = ("energy", "forces", "stress") if periodic else ("energy", "forces")
    run, measures = compiled(potential, want, "captured"), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it cannot be captured is told in the message
        for name in periodic or structures:
            graph = Graph.build(structures[name], potential.cutoff)
            found, expected = run(graph), evaluate(potential, graph, want)
            for what in want:
                error = difference(getattr(found, what), getattr(expected, what))
                measures.append(Measure(f"captured {what}", name, error, CAPTURED))
    if run.reason is not None:
        return CheckResult("RT", 0.0, 0.0, True, f"{message}; runs uncompiled: {run.reason}")
    return judge("RT", measures, [message])


def _fresh(potential: Potential, data: MemoryDataset) -> Referenced:
    """A copy that predicts per mean energy and root-mean-square force of the data."""
    inner = potential.model if isinstance(potential, Referenced) else potential
    energies = torch.stack([f.labels["energy"] / f.system.atoms for f in data])
    forces = torch.cat([f.labels["forces"] for f in data])
    model = copy.deepcopy(inner)
    model.adapt([Graph.build(f.system, potential.cutoff) for f in data])
    reference = dict.fromkeys(potential.elements, float(energies.mean()))
    return Referenced(model, reference, float(forces.square().mean().sqrt()))


def _fit_measures(best: Mapping[str, float], name: str) -> list[Measure]:
    # the kernel fitter reports mean absolute energy errors alone
    energy = best.get("valid_energy_rmse_per_atom", best.get("valid_energy_mae_per_atom", math.nan))
    return [
        Measure("energy error (eV/atom)", name, energy, FIT_ENERGY),
        Measure("forces error (eV/Å)", name, best.get("valid_forces_rmse", math.nan), FIT_FORCES),
    ]
