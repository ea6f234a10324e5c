"""A training run from data to checkpoint: read, split, statistics, build, adapt, fit, test, save."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel

from adiabat import checkpoint
from adiabat.architectures import method
from adiabat.config import DataConfig, RunConfig, to_yaml
from adiabat.data import Dataset, MemoryDataset, ReadReport, Subset, dataset_hash, read, split
from adiabat.data.info import DataInfo
from adiabat.data.statistics import References, elements, is_isolated_atom, reference_energies, residuals, scale
from adiabat.errors import ConfigError, DataError
from adiabat.files import write_text
from adiabat.fit.baseline import WithoutBaseline
from adiabat.fit.distributed import world
from adiabat.fit.gradient import STATE, GradientFitter
from adiabat.fit.kernel import KernelFitter
from adiabat.fit.linear import LinearFitter
from adiabat.fit.projection import ProjectionFitter
from adiabat.fit.result import FitResult
from adiabat.geometry import Graph
from adiabat.metrics import Evaluation, evaluate_dataset
from adiabat.potential import Potential, Referenced
from adiabat.sums import Sum

MODEL, CONFIG = "model.adiabat", "config.yaml"
# fitters that keep nothing between runs, and why
_WITHOUT_STATE: dict[str, tuple[Any, str]] = {
    "kernel": (KernelFitter, "a kernel fit is one solve and has nothing"),
    "linear": (LinearFitter, "a linear fit is one solve and has nothing"),
    "projection": (ProjectionFitter, "a projection fit keeps no state"),
}
_ADAPT_FRAMES = 500  # frames that data-dependent constants are taken from: enough for averages, bounded in memory


@dataclass
class Prepared:
    """Data ready for a fit.

    Attributes:
        parts: train, valid and, if there is one, test.
        references: reference energies and where they are from.
        info: what travels into the checkpoint.
        remarks: what reading and splitting had to say, in sentences.
        files: for every file what was found in it: format, keys, frames read and skipped and why.
        baseline: what is added to the model, in float64, or None.
    """

    parts: dict[str, Dataset]
    references: References
    info: DataInfo
    remarks: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    baseline: Potential | None = None

    def left(self, name: str) -> Dataset:
        """A part with the labels that the model has to explain: without the baseline's share."""
        part = self.parts[name]
        return part if self.baseline is None else WithoutBaseline(part, self.baseline)


@dataclass
class TrainResult:
    """What `adiabat.train` returns.

    Attributes:
        potential: the fitted potential.
        info: of its data.
        metrics: test errors (validation errors if there is no test part), eV and Å.
        fit: history and receipt.
        evaluation: predictions beside labels of the test part.
        prepared: the data of the run.
        folder: where the files are.
    """

    potential: Potential
    info: DataInfo
    metrics: dict[str, Any]
    fit: FitResult
    evaluation: Evaluation
    prepared: Prepared
    folder: Path


def train(
    run: RunConfig | Mapping[str, Any], resume: bool = False, show: bool = True, overwrite: bool = False
) -> TrainResult:
    """Runs a training from its configuration.

    Args:
        run: a RunConfig or the same as nested dictionaries.
        resume: continue the interrupted run in the output folder.
        show: progress on the terminal.
        overwrite: start anew even if the output folder holds a run.

    Raises the AdiabatError that names what is wrong with the data or the options.
    """
    if not isinstance(run, RunConfig):
        run = RunConfig.parse(dict(run))
    folder, group = Path(run.output), world()
    check_folder(folder, run, resume, overwrite)
    group.wait()
    prepared = prepare(run)
    if group.leader:
        write_text(folder / CONFIG, to_yaml(run))
        for line in prepared.remarks if show else ():
            print(line)
    potential = initialize(run, prepared)
    result = _fit(run, potential, prepared, folder, resume, show)
    if prepared.baseline is not None:
        potential = Sum([potential, prepared.baseline.to(potential.device, potential.dtype)])
    held_out = "test" if "test" in prepared.parts else "valid"
    evaluation = evaluate_dataset(potential, prepared.parts[held_out])
    metrics = {"part": held_out, **evaluation.summary(), "epochs": result.epochs, "seconds": result.seconds}
    if group.leader:
        data = {"files": prepared.files, "remarks": prepared.remarks, "frames": prepared.info.frames}
        receipt = {**result.receipt, "data": data, "stopped": result.stopped}
        write_text(folder / "receipt.json", json.dumps(receipt, indent=1, default=str) + "\n")
        write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
        checkpoint.save(folder / MODEL, potential, prepared.info, metrics, run.data.license)
    group.wait()
    return TrainResult(potential, prepared.info, metrics, result, evaluation, prepared, folder)


def check_folder(folder: Path, run: BaseModel, resume: bool, overwrite: bool) -> None:
    """Refuses to lose an earlier run, and to resume one that was another."""
    for name, what in ((MODEL, "a finished model"), (STATE, "an interrupted run")):
        if (folder / name).exists() and not (resume or overwrite):
            raise ConfigError(
                f"{folder} already holds {what}: resume it, overwrite it, or choose another output folder."
            )
    if resume and (folder / CONFIG).exists():
        before = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        now = yaml.safe_load(to_yaml(run))
        decisive = ("data", "model", "baseline", "finetune", "seed", "dtype")
        changed = [name for name in decisive if before.get(name) != now.get(name)]
        if changed:
            raise ConfigError(
                f"the run to resume in {folder} had another {' and '.join(changed)}: keep the options, or start anew."
            )


def prepare(run: RunConfig) -> Prepared:
    """Reads and splits the data and finds reference energies and scale.

    With a baseline they are those of what it leaves of the labels.
    """
    config, baseline = run.data, run.baseline
    sources = read_parts(config)
    parts, isolated, remarks, reports = sources.parts, sources.isolated, sources.remarks, sources.reports
    train, base = parts["train"], None
    if baseline is not None:
        base = checkpoint.fresh(baseline, elements(train)).double().requires_grad_(False)
        train, isolated = WithoutBaseline(train, base), list(WithoutBaseline(MemoryDataset(isolated), base))
        remarks.append(f"the baseline {baseline.method} is subtracted from energies, forces and stresses.")
    references = _references(config, train, isolated)
    remarks += references.remarks
    info = DataInfo(
        elements=tuple(sorted(references.energies)),
        reference_energies=references.energies,
        reference_source=references.source,
        shift=_shift(train, references) if config.shift == "auto" else config.shift,
        scale=_scale(run, train, references),
        level_of_theory=config.level_of_theory,
        source=str(config.file or config.train),
        keys={label: key for report in reports for label, key in report.keys.items()},
        hashes={name: dataset_hash(part) for name, part in parts.items()},
        frames={name: len(part) for name, part in parts.items()},
        license=config.license,
    )
    _check_elements(parts, info)
    sizes_text = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    remarks.append(
        f"{sizes_text}; reference energies from {references.source}; shift"
        f" {info.shift:.4g} eV/atom; scale {info.scale:.4g} eV."
    )
    return Prepared(parts, references, info, remarks, [dict(vars(report)) for report in reports], base)


@dataclass
class Sources:
    """The data of a run as read and split.

    Attributes:
        parts: train, valid and, if there is one, test.
        isolated: frames of one isolated atom that are not trained on.
        remarks: what reading and splitting had to say, in sentences.
        reports: what was found in each file.
    """

    parts: dict[str, Dataset] = field(default_factory=dict)
    isolated: list[Any] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    reports: list[ReadReport] = field(default_factory=list)


def read_parts(config: DataConfig) -> Sources:
    """Reads and splits the data."""
    out = Sources()
    if config.file is not None:
        whole, alone = _read(config.file, config, out.remarks, out.reports)
        out.isolated += alone
        wanted = config.split
        sizes = {name: getattr(wanted, name) for name in ("train", "valid", "test")}
        sizes = {name: size for name, size in sizes.items() if size != 0}
        chosen = split(whole, sizes, wanted.method, wanted.seed, key=wanted.key, blocks=wanted.blocks, gap=wanted.gap)
        out.remarks += chosen.remarks
        out.parts.update(chosen.parts(whole))
        return out
    for name in ("train", "valid", "test"):
        path = getattr(config, name)
        if path is not None:
            out.parts[name], alone = _read(path, config, out.remarks, out.reports)
            out.isolated += alone if name == "train" else []
    return out


def _read(path: str, config: DataConfig, remarks: list[str], reports: list[ReadReport]) -> tuple[Dataset, list[Any]]:
    dataset = read(path, config.keys or None, config.index, units=config.units or None)
    remarks += dataset.report.lines()
    reports.append(dataset.report)
    alone = [i for i in range(len(dataset)) if is_isolated_atom(dataset[i])]
    if not alone or config.isolated_atoms == "train":
        return dataset, []
    remarks.append(f"{len(alone)} isolated atoms give reference energies and are not trained on.")
    rest = sorted(set(range(len(dataset))) - set(alone))
    if not rest:
        raise DataError(f"{path} holds isolated atoms only: there is nothing to train on.")
    return Subset(dataset, rest), [dataset[i] for i in alone]


def _references(config: DataConfig, train: Dataset, isolated: list[Any]) -> References:
    wanted = config.reference_energies
    if isinstance(wanted, dict):
        return reference_energies(train, given=wanted)  # type: ignore[arg-type]
    present = set(elements(train))
    # an isolated atom of an element that no training frame has must not widen the model's elements
    frames = [f for f in isolated if int(f.system.numbers[0]) in present]
    covered = wanted != "least squares" and present == {int(f.system.numbers[0]) for f in frames}
    # the training frames may be larger than memory, so they join a list only where they must
    pool: Any = frames if covered else [*frames, *train] if frames else train
    if wanted == "auto" and not any("energy" in frame.labels for frame in pool):
        remark = "no frame has an energy, so reference energies are 0."
        return reference_energies(train, "none")._replace(remarks=[remark])
    return reference_energies(pool, wanted)


def _shift(train: Dataset, references: References) -> float:
    """Mean energy per atom above the reference energies: bound atoms lie eV below isolated ones."""
    above = residuals(train, references.energies)
    above = above[np.isfinite(above)]
    return float(above.mean()) if len(above) else 0.0


def _check_elements(parts: Mapping[str, Dataset], info: DataInfo) -> None:
    for name, part in parts.items():
        unknown = set(elements(part)) - set(info.elements)
        if unknown:
            raise DataError(f"the {name} part has elements {sorted(unknown)} that no training frame has: split anew.")


def _scale(run: RunConfig, train: Dataset, references: References) -> float:
    """The model's energy unit: 1 where it has physical terms, or weights in eV as published ones are."""
    if run.data.scale != "auto":
        return run.data.scale
    page = method(run.model.method).potential_class
    in_ev = page.physical or page.fitter_for(run.model) in ("linear", "projection")
    return 1.0 if in_ev else scale(train, references.energies)


def initialize(run: RunConfig, prepared: Prepared) -> Potential:
    """The potential with fresh weights from the seed, with scale and reference energies, adapted to the data."""
    torch.manual_seed(run.seed)
    model = checkpoint.fresh(run.model, prepared.info.elements)
    if model.fitter == "kernel":
        # its linear system is too ill conditioned for single precision, and it brings its own energy constant
        return model.to(torch.device(run.device), torch.float64)
    linear = model.fitter in ("linear", "projection")
    if linear:
        # solved in closed form, so that nothing is gained by single precision
        model = model.to(torch.float64)
    info = prepared.info
    reference = {z: energy + info.shift for z, energy in info.reference_energies.items()}
    potential = Referenced(model, reference, info.scale)
    potential = potential.to(run.device, torch.float64 if linear else getattr(torch, run.dtype))
    train = prepared.parts["train"]
    chosen = range(0, len(train), max(1, len(train) // _ADAPT_FRAMES))
    graphs = [Graph.build(train[i].system, potential.cutoff).to(potential.device, potential.dtype) for i in chosen]
    potential.adapt(graphs)
    return potential


def _fit(
    run: RunConfig, potential: Potential, prepared: Prepared, folder: Path, resume: bool, show: bool
) -> FitResult:
    train, valid = prepared.left("train"), prepared.left("valid")
    if potential.fitter in _WITHOUT_STATE:
        fitter, reason = _WITHOUT_STATE[potential.fitter]
        if resume:
            raise ConfigError(f"{reason} to resume: start it anew with overwrite.")
        return fitter(potential, train, valid, run.fit, show=show).fit()
    identity = ",".join(prepared.info.hashes[name] for name in ("train", "valid"))
    options: dict[str, Any] = {"seed": run.seed, "folder": folder, "show": show, "identity": identity}
    return GradientFitter(potential, train, valid, run.fit, **options).fit(resume)  # type: ignore[arg-type]
