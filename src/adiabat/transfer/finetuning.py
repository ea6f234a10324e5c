"""Fine-tuning: a trained potential goes on to new data, and a report says what it has forgotten."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adiabat import checkpoint
from adiabat.compile import quickest
from adiabat.config import to_yaml
from adiabat.data import DataInfo, Dataset, MemoryDataset, Subset, dataset_hash, read
from adiabat.data.statistics import elements
from adiabat.elements import symbol
from adiabat.errors import CapabilityError, ConfigError, DataError, FitError
from adiabat.files import write_text
from adiabat.fit.distributed import world
from adiabat.fit.gradient import GradientFitter
from adiabat.fit.heads import OfHead, TwoHeads
from adiabat.fit.low_rank import attach, freeze, merge
from adiabat.fit.replay import Joined, Mixed, mix
from adiabat.fit.result import FitResult
from adiabat.geometry.system import check_elements
from adiabat.metrics import Evaluation, evaluate_dataset
from adiabat.model import Model, load
from adiabat.potential import Potential, Referenced
from adiabat.sums import Sum
from adiabat.training import CONFIG, MODEL, Sources, check_folder, read_parts
from adiabat.transfer.forgetting import Forgetting, forgetting
from adiabat.transfer.generate import DIMER, generate
from adiabat.transfer.options import GENERATED, FinetuneRun, ReplayConfig, joined_licenses
from adiabat.transfer.page import page
from adiabat.transfer.reference import Refit, refit, relabeled, shifted

SECOND = "base-head.adiabat"
_SEEDS = 20  # structures that others are generated from for replay
_SEEDS_REPORTED = 8  # the same for the report alone
_REPORTED = 200  # frames of the base set that the report is made from


@dataclass
class FinetuneResult:
    """What `adiabat.finetune` returns.

    Attributes:
        potential: the tuned potential, an ordinary one.
        info: of its data.
        metrics: errors on the new test frames (validation frames if there are no test frames), eV and Å.
        fit: history and receipt.
        forgetting: what was gained and lost.
        evaluation: predictions beside labels of the new test frames.
        folder: where the files are.
        second: the potential of the replayed frames' head, if two heads were asked for.
    """

    potential: Potential
    info: DataInfo
    metrics: dict[str, Any]
    fit: FitResult
    forgetting: Forgetting
    evaluation: Evaluation
    folder: Path
    second: Potential | None = None


@dataclass
class _Work:
    """What the steps of a run hand on."""

    run: FinetuneRun
    base: Potential
    info: DataInfo
    data: Sources
    change: dict[int, float] = field(default_factory=dict)
    refitted: Refit | None = None
    old: Dataset | None = None  # labeled frames for the report, never replayed
    base_set: str = ""
    own: bool = True  # whether its labels are the base model's own predictions
    receipt: dict[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> Dataset:
        """New frames that were not trained on."""
        return self.data.parts.get("test", self.data.parts["valid"])


def finetune(
    base: str | Path | Model,
    run: FinetuneRun | Mapping[str, Any],
    resume: bool = False,
    show: bool = True,
    overwrite: bool = False,
) -> FinetuneResult:
    """Goes on training a model with new data.

    Args:
        base: a checkpoint or whatever else `adiabat.load` takes, or a loaded model; it is left as it is.
        run: a FinetuneRun or the same as nested dictionaries.
        resume: continue the interrupted run in the output folder.
        show: progress and findings on the terminal.
        overwrite: start anew even if the output folder holds a run.

    Raises the AdiabatError that names what is wrong with the model, the data or the options.
    """
    if not isinstance(run, FinetuneRun):
        run = FinetuneRun.parse(dict(run))
    folder, group = Path(run.output), world()
    check_folder(folder, run, resume, overwrite)
    group.wait()
    model = base if isinstance(base, Model) else load(base)
    work = _Work(run, _base(model, run), model.info, read_parts(run.data))
    _check_data(work)
    torch.manual_seed(run.seed)
    tuned = _rereferenced(work)
    trained = [name for name, p in tuned.named_parameters() if p.requires_grad]
    if group.leader:
        write_text(folder / CONFIG, to_yaml(run))
    _restrict(tuned, work)
    mixed = _replayed(work)
    for line in _lines(work) if show and group.leader else ():
        print(line)
    heads = _two_heads(tuned, work)
    result = _fit(heads or tuned, mixed, work, folder, resume, show)
    tuned, second = (tuned, None) if heads is None else (heads.first(), heads.second())
    _plain(tuned, trained, work)
    if work.old is None:
        work.old, work.base_set = _generated(work), "structures made from the new ones, labeled by the base model"
    lost = forgetting(work.base, tuned, work.held_out, work.old, work.base_set, work.change, work.own)
    return _write(work, tuned, second, result, lost, model)


def _lines(work: _Work) -> list[str]:
    """What a person should know before the fit begins."""
    count, replay = work.receipt["parameters"], work.receipt.get("replay")
    out = [*work.data.remarks, *(work.refitted.lines() if work.refitted else ())]
    out.append(f"{count['trained']} of {count['all']} parameters are trained.")
    if replay is not None:
        again = ", some more than once" if replay["repeated"] else ""
        out.append(
            f"{replay['frames']} of {replay['of']} base frames are replayed{again}: {100 * replay['fraction']:.0f} %"
            f" of an epoch, weight {replay['weight']:g}; {work.base_set} serve for the report."
        )
    return out


def _base(model: Model, run: FinetuneRun) -> Potential:
    if model.potential.fitter != "gradient":
        raise CapabilityError(
            f"a {model.potential.config.method} model is solved at once from its data"  # type: ignore[attr-defined]
            " and cannot be fine-tuned: train it anew on both sets."
        )
    if isinstance(model.potential, Sum):
        raise CapabilityError("a model with a baseline cannot be fine-tuned: train it anew on both sets.")
    dtype = model.potential.dtype if run.dtype == "base" else getattr(torch, run.dtype)
    return copy.deepcopy(model.potential).to(device=torch.device(run.device), dtype=dtype).eval()


def _check_data(work: _Work) -> None:
    if "valid" not in work.data.parts:
        raise DataError("the new data have no validation part, which chooses the best epoch: set data.split.valid.")
    for name, part in work.data.parts.items():
        try:
            check_elements(torch.tensor(elements(part)), work.base.elements)
        except ValueError as error:
            raise DataError(f"the {name} part of the new data cannot be learned: {error}") from None
    held = work.held_out
    if not any({"energy", "forces"} & set(frame.labels) for frame in held):
        raise DataError("no held-out frame of the new data has an energy or forces: check data.keys.")


def _rereferenced(work: _Work) -> Potential:
    """A copy of the base to be trained, with reference energies of the new level of theory if they are wanted."""
    tuned = copy.deepcopy(work.base)
    if work.run.finetune.reference == "keep":
        work.receipt["reference"] = "kept"
        return tuned
    frames = (
        Joined(work.data.parts["train"], MemoryDataset(_known(work))) if _known(work) else work.data.parts["train"]
    )
    work.refitted = refit(work.base, frames)
    work.change = dict(work.refitted.change)
    work.receipt["reference"] = work.refitted.rows()
    return shifted(tuned, work.change)


def _known(work: _Work) -> list[Any]:
    """Isolated atoms of the new data, which join the fit of reference energies."""
    return [f for f in work.data.isolated if int(f.system.numbers[0]) in work.base.elements]


def _restrict(tuned: Potential, work: _Work) -> None:
    """Freezes parameters or adds low-rank updates, as asked."""
    options = work.run.finetune
    inner = tuned.model if isinstance(tuned, Referenced) else tuned
    if options.freeze:
        work.receipt["frozen"] = freeze(inner, options.freeze)
    if options.lora is not None:
        work.receipt["low_rank"] = attach(inner, options.lora)
    count = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    work.receipt["parameters"] = {"trained": count, "all": sum(p.numel() for p in work.base.parameters())}


def _replayed(work: _Work) -> Mixed:
    """The training frames with replay among them, if it is asked for."""
    run, replay, train = work.run, work.run.finetune.replay, work.data.parts["train"]
    if replay is None:
        return Mixed(train, torch.ones(len(train), dtype=torch.float64))
    old = _generated(work) if replay.data == GENERATED else _base_frames(replay, work)
    old, dimers = _apart(old) if replay.data == GENERATED else (old, None)
    count = round(replay.held_out * len(old))
    if count == 0 or count == len(old):
        raise FitError(
            f"of {len(old)} base frames a share of {replay.held_out:g} cannot be held out for the report and the rest"
            " be replayed: give more frames, or change replay.held_out."
        )
    work.own = replay.data == GENERATED
    order = np.random.default_rng([run.seed, len(old)]).permutation(len(old)).tolist()
    work.old = Subset(old, order[: min(count, _REPORTED)])
    name = "structures made from the new ones" if replay.data == GENERATED else f"held-out frames of {replay.data}"
    work.base_set = f"{len(work.old)} {name}"
    source: Dataset = Subset(old, order[count:])
    if dimers is not None:
        source = Joined(source, dimers)
    if replay.heads:
        source = OfHead(source, 1)
    elif work.change:
        source = relabeled(source, work.change)
    later = {} if run.fit.stage_two is None else run.fit.stage_two.loss.terms
    mixed = mix(train, source, replay.fraction, replay.weight, {**run.fit.loss.terms, **later}, run.seed)
    work.receipt["replay"] = {"data": replay.data, **mixed.receipt, "heads": list(replay.heads)}
    return mixed


def _apart(made: Dataset) -> tuple[Dataset, Dataset | None]:
    """Generated structures without and with those of two atoms, which the report has curves for."""
    two = [k for k, frame in enumerate(made) if frame.info["config_type"] == DIMER]
    rest = sorted(set(range(len(made))) - set(two))
    return (Subset(made, rest), Subset(made, two)) if two else (made, None)


def _base_frames(replay: ReplayConfig, work: _Work) -> Dataset:
    dataset = read(replay.data, replay.keys or None, replay.index)
    known = set(work.base.elements)
    kept = [k for k, frame in enumerate(dataset) if set(frame.system.numbers.tolist()) <= known]
    if not kept:
        names = ", ".join(symbol(z) for z in elements(dataset))
        raise FitError(
            f"replay was asked for and would have no effect: no frame of {replay.data} ({names}) has only elements"
            " that the base model knows."
        )
    work.data.remarks.append(f"replay from {replay.data}: {len(kept)} of {len(dataset)} frames can be used.")
    return Subset(dataset, kept)


def _generated(work: _Work) -> Dataset:
    """Structures made from the new training frames, labeled by the base model."""
    train = work.data.parts["train"]
    count = _SEEDS if work.run.finetune.replay is not None else _SEEDS_REPORTED
    chosen = range(0, len(train), max(1, -(-len(train) // count)))
    seeds = [train[k].to_ase() for k in chosen]
    made = generate(work.base, seeds, work.run.finetune.generate, work.run.seed)
    work.receipt["generated"] = made.remarks
    return made.frames


def _two_heads(tuned: Potential, work: _Work) -> TwoHeads | None:
    replay = work.run.finetune.replay
    if replay is None or not replay.heads:
        return None
    if work.run.finetune.lora is not None:
        raise ConfigError("replay.heads beside lora would copy frozen matrices: leave one of them out.")
    reference = work.base.reference.clone() if isinstance(work.base, Referenced) else None
    if reference is None and isinstance(tuned, Referenced):
        reference = torch.zeros_like(tuned.reference)
    return TwoHeads(tuned, replay.heads, reference)


def _fit(potential: Potential, mixed: Mixed, work: _Work, folder: Path, resume: bool, show: bool) -> FitResult:
    run, valid = work.run, work.data.parts["valid"]
    identity = ",".join([_hash(work.base), *(dataset_hash(part) for part in (mixed.train, valid))])
    options: dict[str, Any] = {"seed": run.seed, "folder": folder, "show": show, "identity": identity}
    weights = None if work.run.finetune.replay is None else mixed.weights.to(potential.device)
    return GradientFitter(potential, mixed.train, valid, run.fit, weights=weights, **options).fit(resume)


def _hash(potential: Potential) -> str:
    """SHA-256 of all weights: a resumed run must have the same base."""
    digest = hashlib.sha256()
    for name, value in potential.state_dict().items():
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def _plain(tuned: Potential, trained: list[str], work: _Work) -> None:
    """An ordinary potential again: updates merged, everything trainable; what was frozen must be as it was."""
    merge(tuned)
    prefix = "model." if isinstance(tuned, Referenced) else ""
    before = {name.removeprefix(prefix): p for name, p in _inner(work.base).named_parameters()}
    for name, parameter in tuned.named_parameters():
        parameter.requires_grad_(name in trained)
    now: dict[str, Tensor] = dict(_inner(tuned).named_parameters())
    for name in work.receipt.get("frozen", ()):
        if not torch.equal(before[name], now[name]):
            raise FitError(f"the frozen parameter {name} has changed: this is a fault of adiabat, please report it.")
    tuned.eval()


def _inner(potential: Potential) -> Potential:
    return potential.model if isinstance(potential, Referenced) else potential


def _write(
    work: _Work, tuned: Potential, second: Potential | None, result: FitResult, lost: Forgetting, model: Model
) -> FinetuneResult:
    folder = Path(work.run.output)
    part = "test" if "test" in work.data.parts else "valid"
    evaluation = evaluate_dataset(quickest(tuned), work.held_out)
    metrics = {"part": part, **evaluation.summary(), "epochs": result.epochs, "seconds": result.seconds}
    metrics["forgetting"] = {"passed": lost.passed, "verdict": lost.verdict}
    if second is not None and work.old is not None:
        metrics["base_head"] = evaluate_dataset(second, work.old).summary()
    info = _info(work, tuned)
    data = {"files": [dict(vars(r)) for r in work.data.reports], "remarks": work.data.remarks, "frames": info.frames}
    receipt = {
        **result.receipt,
        "base": {"file": str(model.source or ""), "method": work.base.config.method},  # type: ignore[attr-defined]
        "finetune": work.receipt,
        "data": data,
        "stopped": result.stopped,
    }
    tuning = FinetuneResult(tuned, info, metrics, result, lost, evaluation, folder, second)
    if not world().leader:
        return tuning
    write_text(folder / "receipt.json", json.dumps(receipt, indent=1, default=str) + "\n")
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    write_text(folder / "forgetting.json", json.dumps(lost.row(), indent=1) + "\n")
    write_text(folder / "report.html", page(lost, metrics, receipt, folder.name, result.history))
    checkpoint.save(folder / MODEL, tuned, info, metrics, info.license)
    if second is not None:
        checkpoint.save(folder / SECOND, second, model.info, {}, model.info.license)
    return tuning


def _info(work: _Work, tuned: Potential) -> DataInfo:
    old, run, parts = work.info, work.run, work.data.parts
    changed = {"reference_source": "least squares on the base model's errors"} if work.refitted else {}
    references = dict(old.reference_energies)
    for z, shift in work.change.items():
        references[z] = references.get(z, 0.0) + shift
    return old.model_copy(
        update={
            "elements": tuned.elements,
            "reference_energies": references,
            "level_of_theory": run.data.level_of_theory or (old.level_of_theory if not work.change else ""),
            "source": str(run.data.file or run.data.train),
            "keys": {label: key for report in work.data.reports for label, key in report.keys.items()},
            "hashes": {name: dataset_hash(part) for name, part in parts.items()},
            "frames": {name: len(part) for name, part in parts.items()},
            "license": joined_licenses(old.license, run.data.license),
            **changed,
        }
    )
