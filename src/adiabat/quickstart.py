"""The main job in one call: data report and lint, training, test, audit, dynamics, report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import ase
import torch

from adiabat.audit import AuditReport, audit
from adiabat.config import RunConfig
from adiabat.data import Dataset, read
from adiabat.data.lint import lint
from adiabat.errors import DataError, DynamicsError
from adiabat.files import read_structures, write_text
from adiabat.model import Model, load
from adiabat.report import figures
from adiabat.report.html import render
from adiabat.training import TrainResult, train
from adiabat.workflows.dynamics import Dynamics, DynamicsConfig

OUTPUTS = ("model.adiabat", "metrics.json", "report.html", "receipt.json", "config.yaml", "log.jsonl", "audit.json")


@dataclass(frozen=True, kw_only=True)
class QuickstartOptions:
    """What to run.

    Attributes:
        data: labeled structures, any format `adiabat data` reads; None for the ethanol set that comes with adiabat.
        folder: where everything goes.
        epochs: of the training.
        picoseconds: length of the dynamics.
        temperature: of the dynamics, K.
        audit_picoseconds: length of the audit's energy-drift run.
        seed: of everything random.
    """

    data: Path | None = None
    folder: Path = Path("runs/quickstart")
    epochs: int = 100
    picoseconds: float = 5.0
    temperature: float = 300.0
    audit_picoseconds: float = 1.0
    seed: int = 0


def shipped(name: str) -> Path:
    """Path of a data set that comes with adiabat: ethanol or silicon."""
    path = Path(str(files("adiabat.data").joinpath("shipped", f"{name}.extxyz.xz")))
    if not path.exists():
        raise DataError(f"no data set '{name}' comes with adiabat: there are ethanol and silicon.")
    return path


def quickstart(options: QuickstartOptions, say: Callable[[str], None] = print) -> Path:
    """Runs the whole job and returns the path of the report.

    Raises DataError if the data have errors that lint calls fatal for a training (no labels, broken structures).
    """
    began = time.monotonic()
    folder = options.folder
    _clear(folder)
    path = options.data or shipped("ethanol")
    say(f"1/5 data: {path}")
    dataset = read(path)
    findings = lint(dataset)
    data_lines = [*dataset.report.lines(), *(f"{f.severity}: {f.message}" for f in findings)]
    for line in data_lines:
        say(f"    {line}")
    say("2/5 training")
    result = train(run_config(path, dataset, options), show=True)
    model = load(folder / "model.adiabat")
    say("3/5 audit")
    atoms = [result.prepared.parts["valid"][k].to_ase() for k in range(min(3, len(result.prepared.parts["valid"])))]
    checked = audit(model.potential, atoms, options.audit_picoseconds, options.temperature, seed=options.seed)
    write_text(folder / "audit.json", json.dumps(checked.rows(), indent=1) + "\n")
    for finding in checked.findings:
        say(f"    {finding.verdict}")
    say(f"4/5 dynamics: {options.picoseconds:g} ps at {options.temperature:g} K")
    trajectory, stop = dynamics(model, atoms[0], options)
    say("5/5 report")
    seconds = time.monotonic() - began
    page = report(result, checked, trajectory, stop, data_lines, options, seconds)
    write_text(folder / "report.html", page)
    say(f"done in {seconds:.0f} s: open {folder / 'report.html'}")
    return folder / "report.html"


def _clear(folder: Path) -> None:
    """Removes what an earlier quickstart left, and nothing else."""
    for name in OUTPUTS:
        (folder / name).unlink(missing_ok=True)
    (folder / "state.safetensors").unlink(missing_ok=True)
    shutil.rmtree(folder / "md", ignore_errors=True)


def run_config(path: Path, dataset: Dataset, options: QuickstartOptions) -> RunConfig:
    """A small equivariant MACE, which learns most from few frames; stress too where the data have it."""
    stress = any("stress" in dataset[i].labels for i in range(min(len(dataset), 200)))
    # crystals near symmetric positions have hardly any forces: energies and stress must weigh enough to be learned
    loss: dict[str, Any] = {"energy": {"weight": 50.0}, "forces": {"weight": 100.0}}
    if stress:
        loss["stress"] = {"weight": 5000.0}
    return RunConfig.parse(
        {
            "data": {"file": str(path), "split": {"seed": options.seed}},
            "model": {
                "method": "mace",
                "hidden_irreps": "16x0e+16x1o",
                "l_max": 2,
            },
            "fit": {
                "epochs": options.epochs,
                "batch_size": 5,
                "loss": loss,
                "optimizer": {"kind": "amsgrad", "rate": 0.01},
                "schedule": {"kind": "cosine", "floor": 0.01},
            },
            "seed": options.seed,
            "output": str(options.folder),
        }
    )


def dynamics(model: Model, start: ase.Atoms, options: QuickstartOptions) -> tuple[list[ase.Atoms], str]:
    """Langevin dynamics from a frame of the data: the trajectory, and why it stopped early if it did."""
    timestep = 0.5 if bool((start.numbers == 1).any()) else 1.0
    config = DynamicsConfig(
        steps=round(options.picoseconds * 1000 / timestep),
        timestep=timestep,
        temperature=options.temperature,
        interval=max(1, round(10 / timestep)),
        seed=options.seed,
    )
    atoms = start.copy()
    atoms.calc = model.to(dtype=torch.float32).calculator()
    stop = ""
    try:
        Dynamics(atoms, config, options.folder / "md").run()
    except DynamicsError as error:
        stop = str(error)
    frames = read_structures(options.folder / "md" / "trajectory.extxyz")
    return frames, stop


def report(
    result: TrainResult,
    checked: AuditReport,
    trajectory: list[ase.Atoms],
    stop: str,
    data_lines: list[str],
    options: QuickstartOptions,
    seconds: float,
) -> str:
    """The HTML page of a quickstart run."""
    pictures = [figures.parity(name, *result.evaluation.values(name)) for name in result.evaluation.names()]
    pictures.append(figures.learning_curve(result.fit.history))
    if len(checked.times):
        pictures.append(figures.energy_drift(checked))
    train_part = result.prepared.parts["train"]
    same = [train_part[k] for k in range(len(train_part)) if train_part[k].system.atoms == len(trajectory[0])]
    reference = [frame.to_ase() for frame in same[:400]]
    pictures.append(figures.radial_distribution(trajectory, reference, f"{len(reference)} frames"))
    passed = checked.passed and not stop and all(p.passed is not False for p in pictures)
    weak = [p.title.lower() for p in pictures if p.passed is False]
    verdict = (
        "The potential is symmetric, conserves energy, reproduces its test data and ran its dynamics to the end."
        if passed
        else f"Look before you use it: {stop or ', '.join(weak) or 'the audit found a fault'}."
    )
    counts = ", ".join(f"{n} {part}" for part, n in result.info.frames.items())
    name = Path(result.info.source).name.split(".")[0]
    sections = {
        "Data": data_lines,
        "Audit": [f.verdict for f in checked.findings],
        "Run": [
            f"MACE, {sum(p.numel() for p in result.potential.parameters())} parameters; frames: {counts}.",
            f"{result.fit.epochs} epochs in {result.fit.seconds:.0f} s ({result.fit.stopped}); all {seconds:.0f} s.",
            f"Dynamics: {len(trajectory)} frames over {trajectory[-1].info['time_fs'] / 1000:g} ps. {stop}",
        ],
    }
    subtitle = f"MACE on {result.info.source.rsplit('/', 1)[-1]}"
    return render(f"adiabat quickstart: {name}", subtitle, verdict, passed, result.metrics, pictures, sections)
