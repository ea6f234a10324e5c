"""The gradient fitter: optimizes any differentiable potential on energies, forces, stress and further labels."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.data.frame import Batch
from adiabat.data.loader import Loader
from adiabat.errors import ConfigError, FitError
from adiabat.fit.batches import labeled, source
from adiabat.fit.compiled import PAYS, CompiledStep
from adiabat.fit.distributed import World, world
from adiabat.fit.ema import MovingAverage
from adiabat.fit.log import FitLog
from adiabat.fit.losses import Term, counts, loss_sums
from adiabat.fit.measures import Errors
from adiabat.fit.options import GradientConfig, StageTwo
from adiabat.fit.progress import FitProgress
from adiabat.fit.receipt import check_elements, check_labels, group_weights
from adiabat.fit.result import FitResult
from adiabat.fit.schedules import Schedule
from adiabat.fit.state import load_state, random_state, restore_random_state, save_state
from adiabat.kernels.memory import keep_memory
from adiabat.potential import Potential, Prediction

STATE = "state.safetensors"
_FREE_TO_CHANGE = ("epochs", "tensorboard", "patience", "save_every", "valid_batch_size", "compile")


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
        identity: hash of the data, by which a resumed run knows that they are the same.
        weights: `[frames]` weight of each training frame, times that of its group; None: all 1.

    Raises ConfigError or FitError for options and labels that would have no effect.
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
        identity: str = "",
        weights: Tensor | None = None,
    ):
        config.check()
        self.potential = potential
        self.config = config
        self.folder = folder
        self.show = show
        self.identity = identity
        self.world: World = world()
        later = {} if config.stage_two is None else config.stage_two.loss.terms
        self.labels = tuple(dict.fromkeys([*config.loss.terms, *later]))
        self.receipt = check_labels(potential, train, valid, self.labels)
        check_elements(potential, [config.loss] if config.stage_two is None else [config.loss, config.stage_two.loss])
        grouped = group_weights(train, config.group_key, config.group_weights)
        self._weights = weights if grouped is None else grouped if weights is None else grouped * weights
        common: dict[str, Any] = {"labels": self.labels, "dtype": potential.dtype}
        batching: dict[str, Any] = {"batch_size": config.batch_size, "max_atoms": config.max_atoms}
        loader = Loader(train, potential.cutoff, shuffle=True, seed=seed, **batching, **common)
        self.train = source(potential, loader, self.world)
        loader = Loader(valid, potential.cutoff, batch_size=config.valid_batch_size, **common)
        self.valid = source(potential, loader, World())
        named = [(name, p) for name, p in potential.named_parameters() if p.requires_grad]
        if not named:
            raise FitError("the potential has no parameters to fit.")
        self.parameters = [p for _, p in named]
        self.optimizer = config.optimizer.build(named)
        self.schedule = Schedule(config.schedule, config.epochs)
        self.average = None if config.ema_decay is None else MovingAverage(potential, config.ema_decay)
        self.compiled = CompiledStep(potential) if self._pays() else None
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"valid_loss": math.inf, "epoch": 0}
        self.best_weights: dict[str, Tensor] = {}
        self._progress = FitProgress(config.epochs, show=False)

    def fit(self, resume: bool = False) -> FitResult:
        """Runs to the last epoch, or until early stopping.

        Raises FitError if the loss is not a number; the state saved before stays.
        """
        start = time.monotonic()
        keep_memory()
        self.world.copy_from_leader(self.potential)
        if resume:
            self._resume()
        else:
            self._save()
        done, leader = len(self.history), self.world.leader
        log = FitLog(self.folder if leader else None, self.history, self.config.tensorboard and leader)
        self._progress = FitProgress(self.config.epochs, done, self.show and leader)
        stopped = "all epochs done"
        try:
            for epoch in range(done, self.config.epochs):
                if self._out_of_patience():
                    stopped = f"no better validation loss for {self.config.patience} epochs"
                    break
                row = self._epoch(epoch)
                # first the state, then the log: a resumed run rewrites the log from the state
                if (epoch + 1) % self.config.save_every == 0 or epoch + 1 == self.config.epochs:
                    self._save()
                log.row(row)
                self._progress.epoch(row)
        finally:
            self._progress.close()
            log.close()
        if self.best_weights:
            self.potential.load_state_dict(self.best_weights, strict=False)
        self.potential.eval()
        seconds = time.monotonic() - start
        return FitResult(self.history, self.best, len(self.history), seconds, self._full_receipt(), stopped)

    def _epoch(self, epoch: int) -> dict[str, Any]:
        began = time.monotonic()
        terms, base = self._stage(epoch)
        self.potential.train()
        errors, rate, steps = Errors(terms), base, self.train.steps(epoch)
        self._progress.step(epoch, 0, steps)
        for step, batch in enumerate(self.train.batches(epoch)):
            rate = base * self.schedule.factor(epoch, step, steps)
            self._step(batch, terms, rate, errors, epoch)
            self._progress.step(epoch, step + 1, steps)
        row: dict[str, Any] = {"epoch": epoch + 1, "rate": rate, "stage": 1 if terms is self._first else 2}
        row |= errors.summary("train", self.world)
        row |= self._validate(terms)
        row["seconds"] = time.monotonic() - began
        if not math.isfinite(row["valid_loss"]):
            raise FitError(self._broken("validation loss", row["valid_loss"], epoch))
        self.schedule.after(row["valid_loss"])
        self.history.append(row)
        if row["valid_loss"] < self.best["valid_loss"]:
            self.best = dict(row)
            with self._averaged():
                self.best_weights = {k: p.detach().clone() for k, p in self.potential.named_parameters()}
        return row

    def _stage(self, epoch: int) -> tuple[Mapping[str, Term], float]:
        """Terms of the loss and learning rate of an epoch."""
        second = self.config.stage_two
        self._first = self.config.loss.terms
        if second is None or epoch < second.start:
            return self._first, self.config.optimizer.rate
        if epoch == second.start:
            # losses of the two stages cannot be compared: the best epoch is chosen anew
            self.best = {"valid_loss": math.inf, "epoch": epoch}
            self.schedule.state["best"] = math.inf
        return second.loss.terms, second.rate

    def _step(self, batch: Batch | None, terms: Mapping[str, Term], rate: float, errors: Errors, epoch: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses: list[float] = []

        def closure() -> float:
            self.optimizer.zero_grad()
            loss = self._backward(batch, terms, errors if not losses else None)
            losses.append(loss)
            if self.config.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
            return loss

        self.optimizer.step(closure)
        if not math.isfinite(losses[0]):
            raise FitError(self._broken("loss", losses[0], epoch))
        errors.loss(losses[0])
        if self.average is not None:
            self.average.update(self.potential)

    def _backward(self, batch: Batch | None, terms: Mapping[str, Term], errors: Errors | None) -> float:
        """Gradients of the whole batch's loss on every process; returns that loss."""
        none = self.parameters[0].new_zeros(len(terms), dtype=torch.float64)
        components = self.world.sum(none if batch is None else counts(batch, terms))
        weights = none.new_tensor([term.weight for term in terms.values()])
        scales = torch.where(components > 0, weights / components.clamp(min=1.0), none)
        total = none.sum()
        if batch is not None:
            prediction, sums = self._sums(batch, terms, scales)
            total = sum((scales[k] * sums[name] for k, name in enumerate(terms) if name in sums), total)
            if total.requires_grad and self.config.optimizer.needs_gradients:
                total.backward()
            if errors is not None:
                errors.add(prediction, batch)
        if self.config.optimizer.needs_gradients:
            self.world.sum_gradients(self.parameters)
        return float(self.world.sum(total.detach()))

    def _sums(self, batch: Batch, terms: Mapping[str, Term], scales: Tensor) -> tuple[Prediction, dict[str, Tensor]]:
        """Prediction and sums of penalties, which have no history where a compiled step has set the gradients."""
        weights = None
        if self._weights is not None:
            weights = self._weights[list(batch.indices)].to(batch.graph.system.positions.device)
        if self.compiled is not None:
            found = self.compiled(batch, terms, scales, weights)
            if found is not None:
                return found
        learning = self.config.optimizer.needs_gradients
        prediction = self.train.predict(batch, labeled(batch, terms), training=learning)
        return prediction, {k: v for k, (v, _) in loss_sums(prediction, batch, terms, weights).items()}

    def _pays(self) -> bool:
        """Whether steps are compiled."""
        wanted, stored = self.config.compile, self.potential.precompute
        if not self.config.optimizer.needs_gradients:
            if wanted is True:
                raise ConfigError("fit.compile has no effect on evolution, which needs no gradients: leave it out.")
            return False
        if wanted is True and stored:
            raise ConfigError("fit.compile has no effect on a model that steps from stored features: leave it out.")
        if wanted != "auto":
            return wanted
        steps = self.config.epochs * self.train.steps(0)
        return steps >= PAYS and not stored and self.potential.device.type == "cpu"

    def _validate(self, terms: Mapping[str, Term]) -> dict[str, Any]:
        """Every process validates everything, so that all take the same decisions without messages."""
        self.potential.eval()
        errors, sums, counts = Errors(terms), dict.fromkeys(terms, 0.0), dict.fromkeys(terms, 0.0)
        with self._averaged():
            for batch in self.valid.batches(0):
                assert batch is not None
                prediction = self.valid.predict(batch, labeled(batch, terms), training=False)
                errors.add(prediction, batch)
                for name, (part, count) in loss_sums(prediction, batch, terms).items():
                    sums[name] += float(part)
                    counts[name] += float(count)
        total = sum(terms[name].weight * sums[name] / counts[name] for name in terms)
        return {"valid_loss": total, **errors.summary("valid", World())}

    def _averaged(self) -> Any:
        return self.average.applied(self.potential) if self.average is not None else nullcontext()

    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        return patience is not None and len(self.history) - self.best["epoch"] >= patience

    def _broken(self, what: str, value: float, epoch: int) -> str:
        kept = "" if self.folder is None else f" The state after epoch {len(self.history)} is kept in {self.folder}."
        where = f"the {what} is {value} in epoch {epoch + 1}"
        return f"{where}: lower fit.optimizer.rate, or lint the data for outliers.{kept}"

    def _full_receipt(self) -> dict[str, Any]:
        flags = self.config.model_dump(mode="json")
        return {**self.receipt, "processes": self.world.size, "dtype": str(self.potential.dtype), "options": flags}

    def _save(self) -> None:
        if self.folder is None or not self.world.leader:
            return
        average = None if self.average is None else {"steps": self.average.steps, "shadow": self.average.shadow}
        state = {
            "config": self.config.model_dump(mode="json"),
            "identity": self.identity,
            "weights": dict(self.potential.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state,
            "average": average,
            "best": self.best,
            "best_weights": self.best_weights,
            "history": self.history,
            "random": random_state(self.potential.device),
        }
        save_state(self.folder / STATE, state)

    def _resume(self) -> None:
        if self.folder is None:
            raise ConfigError("resume needs the folder of the interrupted run.")
        state = load_state(self.folder / STATE)
        ours, theirs = self.config.model_dump(mode="json"), dict(state["config"])
        changed = sorted(k for k in ours if ours[k] != theirs.get(k) and k not in _FREE_TO_CHANGE)
        if changed:
            raise ConfigError(
                f"the run to resume had another fit.{', fit.'.join(changed)}: keep the options, or start a new run."
            )
        if state["identity"] != self.identity:
            raise ConfigError("the run to resume had other data or another base: restore it, or start a new run.")
        device = self.potential.device
        self.potential.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.state = state["schedule"]
        if self.average is not None:
            self.average.steps = state["average"]["steps"]
            self.average.shadow = {k: v.to(device) for k, v in state["average"]["shadow"].items()}
        self.best, self.history = state["best"], state["history"]
        self.best_weights = {k: v.to(device) for k, v in state["best_weights"].items()}
        restore_random_state(state["random"], device)


__all__ = ["Errors", "GradientConfig", "GradientFitter", "StageTwo"]
