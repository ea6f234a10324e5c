"""The gradient fitter: optimizes any differentiable potential on energies, forces, stress and further labels."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.data.frame import Batch
from adiabat.data.loader import Loader
from adiabat.errors import ConfigError, FitError
from adiabat.fit.batches import source
from adiabat.fit.distributed import World, world
from adiabat.fit.ema import MovingAverage
from adiabat.fit.log import FitLog
from adiabat.fit.losses import LossConfig, Term, loss_sums, residual
from adiabat.fit.optimizers import OptimizerConfig
from adiabat.fit.progress import FitProgress
from adiabat.fit.receipt import check_labels
from adiabat.fit.result import FitResult
from adiabat.fit.schedules import Schedule, ScheduleConfig
from adiabat.fit.state import load_state, random_state, restore_random_state, save_state
from adiabat.potential import Potential
from adiabat.settings import Settings


class StageTwo(Settings):
    """A second stage with other weights and a lower rate, as in MACE's training."""

    start: int = Field(ge=1)
    """Epoch (from 1) after which the second stage begins."""
    loss: LossConfig = LossConfig(energy=Term(weight=1000.0), forces=Term(weight=100.0))
    """Weights of the second stage."""
    rate: float = Field(default=0.001, gt=0.0)
    """Learning rate of the second stage."""


class GradientConfig(Settings):
    """Options of the gradient fitter."""

    epochs: int = Field(default=200, ge=1)
    """Passes over the training frames."""
    batch_size: int | None = Field(default=5, ge=1)
    """Frames per step; set it to null and give `max_atoms` to batch by atoms."""
    max_atoms: int | None = Field(default=None, ge=1)
    """Largest number of atoms per step."""
    valid_batch_size: int = Field(default=50, ge=1)
    """Frames evaluated together in validation."""
    loss: LossConfig = LossConfig()
    """Weights of energy, forces, stress and further labels."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How weights are changed."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the learning rate changes."""
    stage_two: StageTwo | None = None
    """Other weights and rate for the last epochs."""
    ema_decay: float | None = Field(default=0.99, gt=0.0, lt=1.0)
    """Decay of the moving average of the weights, which is validated and returned; null for none."""
    clip: float | None = Field(default=10.0, gt=0.0)
    """Largest norm of the gradient; null for none."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a better validation loss; null for never."""
    group_key: str = "config_type"
    """Frame info that `group_weights` refers to."""
    group_weights: dict[str, float] = {}
    """Weight in the loss of frames whose `group_key` has this value; others weigh 1."""
    save_every: int = Field(default=1, ge=1)
    """Epochs between saved states: what a crash may lose."""
    tensorboard: bool = False
    """Write TensorBoard events too."""

    def check(self) -> None:
        """Raises ConfigError for options that contradict each other or have no effect."""
        if (self.batch_size is None) == (self.max_atoms is None):
            raise ConfigError("give either fit.batch_size or fit.max_atoms, and set the other to null.")
        if not self.loss.terms:
            raise ConfigError("every weight of fit.loss is 0, so there is nothing to fit: give one at least.")
        if self.stage_two is not None and self.stage_two.start >= self.epochs:
            raise ConfigError(
                f"fit.stage_two starts after epoch {self.stage_two.start} of {self.epochs} and would have no effect:"
                " start it earlier or leave it out."
            )
        if self.schedule.warmup >= self.epochs:
            raise ConfigError(
                f"fit.schedule.warmup of {self.schedule.warmup} epochs does not end within {self.epochs}."
            )


class GradientFitter:
    """Fits one potential; `fit` can be interrupted and resumed with identical results.

    Args:
        potential: changed in place; holds the best weights afterwards.
        train: training frames.
        valid: validation frames, which choose the best epoch.
        config: options.
        seed: of the batch order.
        folder: where `state.safetensors` and `log.jsonl` go; None for neither.
        show: show progress.
    """

    def __init__(
        self,
        potential: Potential,
        train: Dataset,
        valid: Dataset,
        config: GradientConfig,
        *,
        seed: int = 0,
        folder: Path | None = None,
        show: bool = False,
    ):
        config.check()
        self.potential = potential
        self.config = config
        self.folder = folder
        self.show = show
        self.world: World = world()
        self.device = potential.device
        later = {} if config.stage_two is None else config.stage_two.loss.terms
        self.labels = tuple(dict.fromkeys([*config.loss.terms, *later]))
        self.receipt = check_labels(potential, train, self.labels)
        self._weights = self._frame_weights(train)
        common = {"labels": self.labels, "dtype": potential.dtype}
        loader = Loader(
            train,
            potential.cutoff,
            batch_size=config.batch_size,
            max_atoms=config.max_atoms,
            shuffle=True,
            seed=seed,
            rank=self.world.rank,
            world=self.world.size,
            **common,
        )
        self.train = source(potential, loader, self.device)
        self.valid = source(
            potential, Loader(valid, potential.cutoff, batch_size=config.valid_batch_size, **common), self.device
        )
        self.parameters = [p for p in potential.parameters() if p.requires_grad]
        if not self.parameters:
            raise FitError("the potential has no parameters to fit.")
        self.optimizer = config.optimizer.build(self.parameters)
        self.schedule = Schedule(config.schedule, config.epochs)
        self.average = None if config.ema_decay is None else MovingAverage(potential, config.ema_decay)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"valid_loss": math.inf, "epoch": 0}
        self.best_weights: dict[str, Tensor] = {}

    def fit(self, resume: bool = False) -> FitResult:
        """Runs to the last epoch, or until early stopping.

        Raises FitError if the loss is not a number; the state saved before stays.
        """
        start = time.monotonic()
        if resume:
            self._resume()
        done = len(self.history)
        leader = self.world.leader
        log = FitLog(self.folder if leader else None, self.history, self.config.tensorboard and leader)
        progress = FitProgress(self.config.epochs, done, self.show and leader)
        stopped = "all epochs done"
        try:
            for epoch in range(done, self.config.epochs):
                row = self._epoch(epoch)
                log.row(row)
                progress.epoch(row)
                if leader and self.folder and ((epoch + 1) % self.config.save_every == 0):
                    save_state(self.folder / "state.safetensors", self._state())
                if self._out_of_patience(epoch):
                    stopped = f"no better validation loss for {self.config.patience} epochs"
                    break
        finally:
            progress.close()
            log.close()
        if self.best_weights:
            self.potential.load_state_dict(self.best_weights, strict=False)
        seconds = time.monotonic() - start
        return FitResult(self.history, self.best, len(self.history), seconds, self._full_receipt(), stopped)

    def _epoch(self, epoch: int) -> dict[str, Any]:
        began = time.monotonic()
        second = self.config.stage_two
        in_second = second is not None and epoch >= second.start
        terms = (second.loss if in_second else self.config.loss).terms  # type: ignore[union-attr]
        if in_second and epoch == second.start:  # type: ignore[union-attr]
            # losses of the two stages cannot be compared: the best epoch is chosen anew
            self.best = {"valid_loss": math.inf, "epoch": epoch}
            self.schedule.state["best"] = math.inf
        base = second.rate if in_second else self.config.optimizer.rate  # type: ignore[union-attr]
        self.potential.train()
        errors, rate = Errors(), base
        steps = len(self.train.loader.batches(epoch))
        for step, batch in enumerate(self.train.batches(epoch)):
            rate = base * self.schedule.factor(epoch, (step + 1) / steps)
            self._step(batch, terms, rate, errors, epoch)
        row: dict[str, Any] = {"epoch": epoch + 1, "rate": rate, "stage": 2 if in_second else 1}
        row |= errors.summary("train", self.world)
        row |= self._validate(terms)
        row["seconds"] = time.monotonic() - began
        self.schedule.after(row["valid_loss"])
        self.history.append(row)
        if row["valid_loss"] < self.best["valid_loss"]:
            self.best = dict(row)
            with self._averaged():
                self.best_weights = {k: p.detach().clone() for k, p in self.potential.named_parameters()}
        return row

    def _step(self, batch: Batch, terms: Mapping[str, Term], rate: float, errors: Errors, epoch: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weights = self._weights[list(batch.indices)].to(self.device) if self._weights is not None else None
        first = True

        def closure() -> Tensor:
            nonlocal first
            self.optimizer.zero_grad()
            prediction = self.train.predict(batch, tuple(terms), training=True)
            total = self._total(loss_sums(prediction, batch, terms, weights), terms)
            total.backward()
            self.world.sum_gradients(self.parameters)
            if first:
                errors.add(prediction, batch, terms)
                errors.loss(total)
                first = False
            if self.config.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
            return total.detach()

        loss = self.optimizer.step(closure)
        if not math.isfinite(float(loss)):  # type: ignore[arg-type]
            raise FitError(
                f"the loss is {float(loss)} in epoch {epoch + 1}: lower fit.optimizer.rate, or lint the data"  # type: ignore[arg-type]
                " for outliers. The state of the last finished epoch is kept."
            )
        if self.average is not None:
            self.average.update(self.potential)

    def _total(self, sums: Mapping[str, tuple[Tensor, Tensor]], terms: Mapping[str, Term]) -> Tensor:
        counts = self.world.sum(torch.stack([sums[name][1] for name in terms]))
        total = next(iter(sums.values()))[0].new_zeros(())
        for k, name in enumerate(terms):
            total = total + terms[name].weight * sums[name][0] / counts[k].clamp_min(1.0)
        return total

    def _validate(self, terms: Mapping[str, Term]) -> dict[str, Any]:
        """Every process validates everything, so that all take the same decisions without messages."""
        self.potential.eval()
        errors, sums = Errors(), dict.fromkeys(terms, 0.0)
        counts = dict.fromkeys(terms, 0.0)
        with self._averaged():
            for batch in self.valid.batches(0):
                prediction = self.valid.predict(batch, tuple(terms), training=False)
                errors.add(prediction, batch, terms)
                for name, (part, count) in loss_sums(prediction, batch, terms).items():
                    sums[name] += float(part)
                    counts[name] += float(count)
        missing = [name for name in terms if counts[name] == 0]
        if missing:
            raise FitError(f"no validation frame has the label {', '.join(missing)}: choose another split.")
        total = sum(terms[name].weight * sums[name] / counts[name] for name in terms)
        return {"valid_loss": total, **errors.summary("valid", World())}

    def _averaged(self) -> Any:
        return self.average.applied(self.potential) if self.average is not None else nullcontext()

    def _out_of_patience(self, epoch: int) -> bool:
        patience = self.config.patience
        return patience is not None and epoch + 1 - self.best["epoch"] >= patience

    def _frame_weights(self, train: Dataset) -> Tensor | None:
        config = self.config
        if not config.group_weights:
            return None
        groups = [str(frame.info.get(config.group_key, "")) for frame in train]
        absent = sorted(set(config.group_weights) - set(groups))
        if absent:
            raise FitError(
                f"fit.group_weights names {', '.join(absent)}, which no training frame has as {config.group_key}"
                f" (found: {', '.join(sorted(set(groups)))})."
            )
        return torch.tensor([config.group_weights.get(g, 1.0) for g in groups], dtype=torch.float64)

    def _full_receipt(self) -> dict[str, Any]:
        flags = self.config.model_dump(mode="json")
        return {**self.receipt, "processes": self.world.size, "dtype": str(self.potential.dtype), "options": flags}

    def _state(self) -> dict[str, Any]:
        average = None if self.average is None else {"steps": self.average.steps, "shadow": self.average.shadow}
        return {
            "config": self.config.model_dump(mode="json"),
            "weights": dict(self.potential.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state,
            "average": average,
            "best": self.best,
            "best_weights": self.best_weights,
            "history": self.history,
            "random": random_state(),
        }

    def _resume(self) -> None:
        if self.folder is None:
            raise ConfigError("resume needs the folder of the interrupted run.")
        state = load_state(self.folder / "state.safetensors")
        ours, theirs = self.config.model_dump(mode="json"), dict(state["config"])
        changed = sorted(
            k for k in ours if ours[k] != theirs.get(k) and k not in ("epochs", "tensorboard", "patience")
        )
        if changed:
            raise ConfigError(
                f"the run to resume had another fit.{', fit.'.join(changed)}: keep the options, or start a new run."
            )
        self.potential.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.state = state["schedule"]
        if self.average is not None:
            self.average.steps = state["average"]["steps"]
            self.average.shadow = {k: v.to(self.device) for k, v in state["average"]["shadow"].items()}
        self.best, self.best_weights, self.history = state["best"], state["best_weights"], state["history"]
        restore_random_state(state["random"])


class Errors:
    """Mean absolute and root-mean-square errors in users' units, summed over batches."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._loss: list[Tensor] = []

    @torch.no_grad()
    def add(self, prediction: Any, batch: Batch, names: Mapping[str, Any]) -> None:
        """Takes in a batch."""
        for name in names:
            difference, index = residual(name, prediction, batch)
            key = name
            if name == "energy":
                difference, key = difference / batch.graph.system.atom_counts[index], "energy_per_atom"
            flat = difference.detach().reshape(-1)
            row = torch.stack([flat.abs().sum(), flat.square().sum(), flat.new_tensor(float(len(flat)))])
            self._sums[key] = self._sums[key] + row if key in self._sums else row

    def loss(self, value: Tensor) -> None:
        """Takes in the loss of a step."""
        self._loss.append(value.detach().double())

    def summary(self, part: str, group: World) -> dict[str, float]:
        """`<part>_<label>_mae`, `..._rmse` in eV, Å and e; energies per atom."""
        out: dict[str, float] = {}
        if self._loss:
            out[f"{part}_loss"] = float(group.sum(torch.stack(self._loss).mean()))
        for key, sums in self._sums.items():
            absolute, square, count = group.sum(sums).tolist()
            name, suffix = (key.removesuffix("_per_atom"), "_per_atom") if key == "energy_per_atom" else (key, "")
            if count:
                out[f"{part}_{name}_mae{suffix}"] = absolute / count
                out[f"{part}_{name}_rmse{suffix}"] = math.sqrt(square / count)
        return out


__all__ = ["Errors", "GradientConfig", "GradientFitter", "StageTwo"]
