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
from adiabat.config import RunConfig, merged
from adiabat.data import Dataset, read, split
from adiabat.data import write as write_frames
from adiabat.errors import AdiabatError, ConfigError
from adiabat.files import write_text
from adiabat.geometry import Graph, System
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential
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
        fit_seconds: wall time of the fit.
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
        parts = _parts(name, files, recipe)
        files_of = recipe.published.get(name, {})
        for method in [*recipe.models, *files_of]:
            if (name, method) in done:
                continue
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
    before = json.loads(path.read_text(encoding="utf-8"))
    mine = recipe.model_dump(mode="json")
    common = ("valid", "seed", "cost_atoms")
    if any(before["recipe"][key] != mine[key] for key in common):
        raise ConfigError(f"{folder} holds a comparison with another {' or '.join(common)}: choose another output.")
    same = []
    for row in (Row(**r) for r in before["rows"]):
        if not row.note and _asked(before["recipe"], row) == _asked(mine, row):
            same.append(row)
    return same


def _asked(recipe: Mapping[str, Any], row: Row) -> Any:
    """What a recipe says of a row."""
    entry = recipe["models"].get(row.name) if row.kind == "fitted" else recipe["published"].get(row.set, {})
    if row.kind == "published":
        entry = entry.get(row.name)
    return recipe["sets"].get(row.set), entry


def _save(folder: Path, recipe: Recipe, rows: list[Row]) -> None:
    content = {"recipe": recipe.model_dump(mode="json"), "rows": [asdict(row) for row in rows]}
    write_text(folder / "comparison.json", json.dumps(content, indent=1) + "\n")


def _parts(name: str, files: SetConfig, recipe: Recipe) -> dict[str, str]:
    """Files of the three parts; the first two are written to the output folder."""
    whole: Dataset = read(files.train)
    chosen = split(whole, {"train": 1.0 - recipe.valid, "valid": recipe.valid}, "random", recipe.seed).parts(whole)
    out = {"test": files.test}
    for part in ("train", "valid"):
        path = Path(recipe.output) / "data" / f"{name}-{part}.extxyz"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = chosen[part]
        write_frames(str(path), [frames[k] for k in range(len(frames))])
        out[part] = str(path)
    return out


def _fitted(name: str, method: str, parts: Mapping[str, str], recipe: Recipe) -> Row:
    folder = Path(recipe.output) / "runs" / f"{name}-{method}"
    entry = dict(recipe.models[method])
    changes = entry.pop("sets", {}).get(name, {})
    for key, value in changes.items():
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        entry = merged(entry, nested)
    data = {**parts, "level_of_theory": recipe.sets[name].level_of_theory}
    run = RunConfig.parse({**entry, "data": data, "seed": recipe.seed, "output": str(folder)})
    result = train(run, show=False, overwrite=(folder / MODEL).exists())
    errors = {k: v for k, v in result.metrics.items() if isinstance(v, float) and ("mae" in k or "rmse" in k)}
    valid = {k: float(v) for k, v in result.fit.best.items() if k.startswith("valid") and isinstance(v, float)}
    return Row(name, method, "fitted", errors, valid, result.fit.seconds, _cost(result.potential, parts, recipe))


def _published(name: str, method: str, file: Published, parts: Mapping[str, str], recipe: Recipe) -> Row:
    options = Options(file.energy_unit, file.length_unit)
    potentials = import_original(file.file, options=options).potentials
    (potential,) = potentials.values()
    summary = evaluate_dataset(potential, read(parts["test"])).summary()
    errors = {k: v for k, v in summary.items() if isinstance(v, float)}
    return Row(name, method, "published", errors, {}, None, _cost(potential, parts, recipe))


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
