"""A training run from data to checkpoint: read, split, statistics, build, adapt, fit, test, save."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from adiabat import checkpoint
from adiabat.architectures import build
from adiabat.config import DataConfig, RunConfig, to_yaml
from adiabat.data import Dataset, Subset, dataset_hash, read, split
from adiabat.data.info import DataInfo
from adiabat.data.statistics import References, elements, is_isolated_atom, reference_energies, scale
from adiabat.errors import ConfigError, DataError
from adiabat.files import write_text
from adiabat.fit.distributed import world
from adiabat.fit.gradient import GradientFitter
from adiabat.fit.kernel import KernelFitter
from adiabat.fit.result import FitResult
from adiabat.geometry import Graph
from adiabat.metrics import Evaluation, evaluate_dataset
from adiabat.potential import Potential, Referenced

_ADAPT_FRAMES = 500  # frames that data-dependent constants are taken from: enough for averages, bounded in memory


@dataclass
class Prepared:
    """Data ready for a fit.

    Attributes:
        parts: train, valid and, if there is one, test.
        references: reference energies and where they are from.
        info: what travels into the checkpoint.
        remarks: what reading and splitting had to say, in sentences.
    """

    parts: dict[str, Dataset]
    references: References
    info: DataInfo
    remarks: list[str] = field(default_factory=list)


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


def train(run: RunConfig | Mapping[str, Any], resume: bool = False, show: bool = True) -> TrainResult:
    """Runs a training from its configuration.

    Args:
        run: a RunConfig or the same as nested dictionaries.
        resume: continue the interrupted run in the output folder.
        show: progress on the terminal.

    Raises the AdiabatError that names what is wrong with the data or the options.
    """
    if not isinstance(run, RunConfig):
        run = RunConfig.parse(dict(run))
    folder = Path(run.output)
    group = world()
    if not resume and (folder / "model.adiabat").exists():
        raise ConfigError(f"{folder} already holds a model: resume the run, or choose another output folder.")
    folder.mkdir(parents=True, exist_ok=True)
    prepared = prepare(run.data)
    if group.leader:
        write_text(folder / "config.yaml", to_yaml(run))
        for line in prepared.remarks if show else ():
            print(line)
    potential = initialize(run, prepared)
    result = _fit(run, potential, prepared, folder, resume, show)
    held_out = "test" if "test" in prepared.parts else "valid"
    evaluation = evaluate_dataset(potential, prepared.parts[held_out])
    metrics = {"part": held_out, **evaluation.summary(), "epochs": result.epochs, "seconds": result.seconds}
    if group.leader:
        receipt = {**result.receipt, "data": prepared.remarks, "stopped": result.stopped}
        write_text(folder / "receipt.json", json.dumps(receipt, indent=1, default=str) + "\n")
        write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
        checkpoint.save(folder / "model.adiabat", potential, prepared.info, metrics, run.data.license)
    group.wait()
    return TrainResult(potential, prepared.info, metrics, result, evaluation, prepared, folder)


def prepare(config: DataConfig) -> Prepared:
    """Reads and splits the data and finds reference energies and scale."""
    remarks: list[str] = []
    parts: dict[str, Dataset] = {}
    isolated: list[Any] = []
    keys: dict[str, str] = {}
    if config.file is not None:
        whole, alone = _read(config.file, config, remarks, keys)
        isolated += alone
        wanted = config.split
        sizes = {name: getattr(wanted, name) for name in ("train", "valid", "test")}
        sizes = {name: size for name, size in sizes.items() if size != 0}
        chosen = split(whole, sizes, wanted.method, wanted.seed, key=wanted.key)
        remarks += chosen.remarks
        parts.update(chosen.parts(whole))
    else:
        for name in ("train", "valid", "test"):
            path = getattr(config, name)
            if path is not None:
                parts[name], alone = _read(path, config, remarks, keys)
                isolated += alone if name == "train" else []
    references = _references(config, parts["train"], isolated)
    remarks += references.remarks
    info = DataInfo(
        elements=tuple(sorted(references.energies)),
        reference_energies=references.energies,
        reference_source=references.source,
        scale=scale(parts["train"], references.energies) if config.scale == "auto" else config.scale,
        level_of_theory=config.level_of_theory,
        source=str(config.file or config.train),
        keys=keys,
        hashes={name: dataset_hash(part) for name, part in parts.items()},
        frames={name: len(part) for name, part in parts.items()},
        license=config.license,
    )
    _check_elements(parts, info)
    sizes_text = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    remarks.append(f"{sizes_text}; reference energies from {references.source}; scale {info.scale:.4g} eV.")
    return Prepared(parts, references, info, remarks)


def _read(path: str, config: DataConfig, remarks: list[str], keys: dict[str, str]) -> tuple[Dataset, list[Any]]:
    dataset = read(path, config.keys or None, config.index, units=config.units or None)
    remarks += dataset.report.lines()
    keys.update(dataset.report.keys)
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
    pool: Any = [*frames, *train] if frames else train
    return reference_energies(pool, wanted)


def _check_elements(parts: Mapping[str, Dataset], info: DataInfo) -> None:
    for name, part in parts.items():
        unknown = set(elements(part)) - set(info.elements)
        if unknown:
            raise DataError(f"the {name} part has elements {sorted(unknown)} that no training frame has: split anew.")


def initialize(run: RunConfig, prepared: Prepared) -> Potential:
    """The potential with fresh weights from the seed, with scale and reference energies, adapted to the data."""
    torch.manual_seed(run.seed)
    model = build(run.model, prepared.info.elements)
    if model.fitter == "kernel":
        # its linear system is too ill conditioned for single precision, and it brings its own energy constant
        return model.to(torch.device(run.device), torch.float64)
    potential = Referenced(model, prepared.info.reference_energies, prepared.info.scale)
    potential = potential.to(run.device, getattr(torch, run.dtype))
    train = prepared.parts["train"]
    chosen = range(0, len(train), max(1, len(train) // _ADAPT_FRAMES))
    graphs = [Graph.build(train[i].system, potential.cutoff).to(potential.device, potential.dtype) for i in chosen]
    potential.adapt(graphs)
    return potential


def _fit(
    run: RunConfig, potential: Potential, prepared: Prepared, folder: Path, resume: bool, show: bool
) -> FitResult:
    train, valid = prepared.parts["train"], prepared.parts["valid"]
    if potential.fitter == "kernel":
        return KernelFitter(potential, train, valid, run.fit, show=show).fit()  # type: ignore[arg-type]
    fitter = GradientFitter(potential, train, valid, run.fit, seed=run.seed, folder=folder, show=show)  # type: ignore[arg-type]
    return fitter.fit(resume)
