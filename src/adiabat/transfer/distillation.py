"""Distillation: structures labeled by one potential train another, faster one."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adiabat.config import RunConfig, to_yaml
from adiabat.data import Dataset, read, write
from adiabat.errors import DataError
from adiabat.evaluate import evaluate
from adiabat.files import write_text
from adiabat.geometry import Graph
from adiabat.geometry.system import check_elements
from adiabat.model import Model, load
from adiabat.potential import Potential
from adiabat.training import TrainResult, check_folder, train
from adiabat.transfer.generate import Generated, generate
from adiabat.transfer.options import DistillRun, joined_licenses

DATA, REPORT = "labeled.extxyz", "distill.json"
_TIMED = 10  # held-out frames that speed is measured on
_REPEATS = 5


@dataclass
class DistillResult:
    """What `adiabat.distill` returns.

    Attributes:
        train: the student's training run; its test errors are those against the base model.
        generated: the labeled structures.
        speed: seconds an atom for energy and forces of both, and their ratio.
        folder: where the files are.
    """

    train: TrainResult
    generated: Generated
    speed: dict[str, float]
    folder: Path


def distill(
    base: str | Path | Model, run: DistillRun | Mapping[str, Any], show: bool = True, overwrite: bool = False
) -> DistillResult:
    """Makes structures from those of `data.file`, labels them with the base model and trains the student on them.

    Args:
        base: a checkpoint or whatever else `adiabat.load` takes, or a loaded model.
        run: a training run of the student, with `generate` beside it, or the same as nested dictionaries.
        show: progress on the terminal.
        overwrite: start anew even if the output folder holds a run.

    Raises the AdiabatError that names what is wrong with the model, the data or the options.
    """
    if not isinstance(run, DistillRun):
        run = DistillRun.parse(dict(run))
    model = base if isinstance(base, Model) else load(base)
    folder = Path(run.output)
    check_folder(folder, run, False, overwrite)
    potential = copy.deepcopy(model.potential).to(torch.device(run.device))
    made = _labeled(potential, run)
    for line in made.remarks if show else ():
        print(line)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / DATA, made.frames)
    write_text(folder / "distill.yaml", to_yaml(run))
    result = train(_student(run, model, folder), show=show, overwrite=overwrite)
    held = result.prepared.parts[result.metrics["part"]]
    speed = compare_speed(potential, result.potential, held)
    report = {
        "base": {"file": str(model.source or ""), "method": model.potential.config.method},  # type: ignore[attr-defined]
        "student": run.model.method,
        "generated": made.remarks,
        "errors_against_base": result.metrics,
        "speed": speed,
    }
    write_text(folder / REPORT, json.dumps(report, indent=1, default=str) + "\n")
    return DistillResult(result, made, speed, folder)


def _labeled(base: Potential, run: DistillRun) -> Generated:
    assert run.data.file is not None
    seeds = read(run.data.file, index=run.data.index)
    for k, frame in enumerate(seeds):
        try:
            check_elements(frame.system.numbers, base.elements)
        except ValueError as error:
            raise DataError(f"structure {k} of {run.data.file} cannot be labeled: {error}") from None
    return generate(base, [frame.to_ase() for frame in seeds], run.generate, run.seed)


def _student(run: DistillRun, base: Model, folder: Path) -> RunConfig:
    """An ordinary training run on the labeled structures."""
    name = base.source.name if base.source is not None else base.potential.config.method  # type: ignore[attr-defined]
    level = run.data.level_of_theory or f"{name} ({base.info.level_of_theory or 'level of theory not stated'})"
    data = run.data.model_copy(
        update={
            "file": str(folder / DATA),
            "index": None,
            "level_of_theory": level,
            "license": joined_licenses(base.info.license, run.data.license),
        }
    )
    values: dict[str, Any] = {name: getattr(run, name) for name in RunConfig.model_fields}
    return RunConfig(**{**values, "data": data})


def compare_speed(base: Potential, student: Potential, frames: Dataset) -> dict[str, float]:
    """Seconds an atom for energy and forces of a few frames at once, the best of several alternating runs."""
    chosen = [frames[k].system for k in range(min(_TIMED, len(frames)))]
    atoms = sum(system.atoms for system in chosen)
    best = {"base": float("inf"), "student": float("inf")}
    graphs = {
        name: Graph.batch([Graph.build(s, p.cutoff) for s in chosen]).to(p.device, p.dtype)
        for name, p in (("base", base), ("student", student))
    }
    for _ in range(_REPEATS):
        for name, potential in (("base", base), ("student", student)):
            begun = time.perf_counter()
            found = evaluate(potential, graphs[name], ("energy", "forces"))
            float(found.energy.sum())  # waits for a device that works on its own
            best[name] = min(best[name], (time.perf_counter() - begun) / atoms)
    return {
        "base_seconds_per_atom": best["base"],
        "student_seconds_per_atom": best["student"],
        "ratio": best["base"] / best["student"],
    }
