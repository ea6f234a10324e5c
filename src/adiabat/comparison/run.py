"""Fits every method on every set, evaluates published potentials beside them, and writes the table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from adiabat.comparison.options import Published, Recipe, SetConfig
from adiabat.comparison.table import write
from adiabat.config import RunConfig
from adiabat.data import Dataset, read, split
from adiabat.data import write as write_frames
from adiabat.elements import MAX_NUMBER
from adiabat.errors import AdiabatError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.files import write_text
from adiabat.geometry import Graph, System
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options
from adiabat.training import MODEL, train

ROUNDS = 5  # timed evaluations, of which the median counts


@dataclass(frozen=True)
class Row:
    """One method on one set.

    Attributes:
        set: name of the data set.
        name: name of the method.
        kind: "fitted" or "published".
        errors: of the test part, as `Evaluation.summary` names them, eV and Å.
        valid: validation errors of the weights chosen, for fitted ones.
        fit_seconds: process CPU time of reading and fitting, s.
        cost: process CPU time of energy and forces per atom, µs.
        note: why there are no numbers, or empty.
    """

    set: str
    name: str
    kind: str
    errors: Mapping[str, float]
    valid: Mapping[str, float]
    fit_seconds: float | None
    cost: float | None
    note: str = ""


def compare(recipe: Recipe | Mapping[str, Any], show: Callable[[str], None] = print) -> list[Row]:
    """Runs a comparison; finished rows of an earlier, interrupted run with the same recipe are kept.

    Args:
        recipe: what is compared on what.
        show: told one line a row.

    Raises ConfigError if the output folder holds the rows of another recipe.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.parse(dict(recipe))
    folder = Path(recipe.output)
    rows = _finished(folder, recipe)
    done = {(row.set, row.name) for row in rows}
    for name, files in recipe.sets.items():
        parts = None
        files_of = recipe.published.get(name, {})
        for method in [*recipe.models, *files_of]:
            if (name, method) in done:
                continue
            parts = parts or _parts(name, files, recipe)
            kind = "fitted" if method in recipe.models else "published"
            try:
                if kind == "fitted":
                    row = _fitted(name, method, parts, recipe)
                else:
                    row = _published(name, method, files_of[method], parts, recipe)
            except AdiabatError as error:
                row = Row(name, method, kind, {}, {}, None, None, str(error))
            rows.append(row)
            show(_line(row))
            _save(folder, recipe, rows)
    write(folder, rows)
    return rows


def _finished(folder: Path, recipe: Recipe) -> list[Row]:
    path = folder / "comparison.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    before = Recipe.parse(content["recipe"])
    common = ("valid", "seed", "cost_atoms")
    if any(getattr(before, key) != getattr(recipe, key) for key in common):
        raise ConfigError(f"{folder} holds a comparison with another {' or '.join(common)}: choose another output.")
    same = []
    for row in (Row(**r) for r in content["rows"]):
        asked = _asked(recipe, row)
        if not row.note and asked is not None and _asked(before, row) == asked:
            same.append(row)
    return same


def _asked(recipe: Recipe, row: Row) -> Any:
    """What a recipe says of a row, None where it has no such row."""
    if row.set not in recipe.sets:
        return None
    if row.kind == "published":
        entry = recipe.published.get(row.set, {}).get(row.name)
    else:
        entry = recipe.entry(row.name, row.set) if row.name in recipe.models else None
    return None if entry is None else (recipe.sets[row.set], entry)


def _save(folder: Path, recipe: Recipe, rows: list[Row]) -> None:
    content = {"recipe": recipe.model_dump(mode="json"), "rows": [asdict(row) for row in rows]}
    write_text(folder / "comparison.json", json.dumps(content, indent=1) + "\n")


def _parts(name: str, files: SetConfig, recipe: Recipe) -> dict[str, str]:
    """Files of the three parts; those that a split makes are written to the output folder."""
    whole: Dataset = read(files.train)
    sizes = {"train": 1.0 - recipe.valid, "valid": recipe.valid}
    if files.held_out is not None:
        sizes = {part: (1.0 - files.held_out) * size for part, size in sizes.items()} | {"test": files.held_out}
    chosen = split(whole, sizes, "random", recipe.seed).parts(whole)
    out = {} if files.test is None else {"test": files.test}
    for part in sizes:
        path = Path(recipe.output) / "data" / f"{name}-{part}.extxyz"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = chosen[part]
        write_frames(str(path), [frames[k] for k in range(len(frames))])
        out[part] = str(path)
    return out


def _fitted(name: str, method: str, parts: Mapping[str, str], recipe: Recipe) -> Row:
    folder = Path(recipe.output) / "runs" / f"{name}-{method}"
    entry, parts = recipe.entry(method, name), dict(parts)
    frames = entry.pop("frames", None)
    if frames is not None:
        whole = read(parts["train"])
        drawn = split(whole, {"train": min(frames, len(whole))}, "random", recipe.seed).parts(whole)["train"]
        parts["train"] = str(Path(recipe.output) / "data" / f"{name}-{frames}.extxyz")
        write_frames(parts["train"], [drawn[k] for k in range(len(drawn))])
    data = {**parts, "level_of_theory": recipe.sets[name].level_of_theory}
    run = RunConfig.parse({**entry, "data": data, "seed": recipe.seed, "output": str(folder)})
    began = time.process_time()
    result = train(run, show=False, overwrite=(folder / MODEL).exists())
    seconds = time.process_time() - began
    errors = _errors(result.metrics, recipe.sets[name])
    valid = {k: float(v) for k, v in result.fit.best.items() if k.startswith("valid") and isinstance(v, float)}
    return Row(name, method, "fitted", errors, valid, seconds, _cost(result.potential, parts, recipe))


def _published(name: str, method: str, file: Published, parts: Mapping[str, str], recipe: Recipe) -> Row:
    options = Options(file.energy_unit, file.length_unit, repulsion=file.repulsion)
    potentials = import_original(file.file, options=options).potentials
    (potential,) = potentials.values()
    if file.shifted:
        potential = _shifted(potential, read(parts["valid"]))
    errors = _errors(evaluate_dataset(potential, read(parts["test"])).summary(), recipe.sets[name])
    return Row(name, method, "published", errors, {}, None, _cost(potential, parts, recipe))


def _shifted(potential: Potential, frames: Dataset) -> Potential:
    """The same with the energies of the elements that suit some frames best, per atom."""
    rows, targets = [], []
    for frame in frames:
        numbers = frame.system.numbers
        graph = Graph.build(frame.system, potential.cutoff).to(dtype=potential.dtype)
        found = evaluate(potential, graph, ("energy",)).energy
        rows.append(torch.bincount(numbers, minlength=MAX_NUMBER + 1).double() / len(numbers))
        targets.append((frame.labels["energy"].double() - found.double()).reshape(1) / len(numbers))
    shifts = torch.linalg.lstsq(torch.stack(rows), torch.cat(targets)[:, None], driver="gelsd").solution[:, 0]
    return Referenced(potential, dict(enumerate(shifts.tolist())))


def _errors(found: Mapping[str, Any], files: SetConfig) -> dict[str, float]:
    """Those that the table shows."""
    left_out = () if files.stress else ("stress",)
    return {
        k: v
        for k, v in found.items()
        if isinstance(v, float) and ("mae" in k or "rmse" in k) and not k.startswith(left_out)
    }


def _cost(potential: Potential, parts: Mapping[str, str], recipe: Recipe) -> float | None:
    """µs of process CPU time per atom for energy and forces of a repeated test structure, lists made beforehand."""
    frames = read(parts["test"])
    periodic = [frames[k] for k in range(len(frames)) if bool(frames[k].system.pbc.all())]
    if not periodic:
        return None
    atoms = max(periodic, key=lambda frame: frame.system.atoms).to_ase()
    while len(atoms) < recipe.cost_atoms:
        lengths = atoms.cell.lengths()
        atoms = atoms.repeat([2 if axis == int(lengths.argmin()) else 1 for axis in range(3)])
    graph = Graph.build(System.from_ase(atoms), potential.cutoff).to(potential.device, potential.dtype)
    run = potential.compiled(want=("energy", "forces"))
    times = []
    for _ in range(ROUNDS + 1):
        before = time.process_time()
        run(graph)
        times.append(time.process_time() - before)
    return 1e6 * median(times[1:]) / len(atoms) / torch.get_num_threads()


def _line(row: Row) -> str:
    if row.note:
        return f"{row.set} {row.name}: {row.note}"
    energy, force = (1000 * row.errors[k] for k in ("energy_mae_per_atom", "forces_mae"))
    fit = f", fitted in {row.fit_seconds:.0f} s" if row.fit_seconds is not None else ", published"
    cost = f", {row.cost:.3g} µs/atom" if row.cost is not None else ""
    return f"{row.set} {row.name}: {energy:.2f} meV/atom, {force:.1f} meV/Å{fit}{cost}"
