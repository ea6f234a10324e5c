"""Options of the gradient fitter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adiabat.errors import ConfigError
from adiabat.fit.losses import LossConfig, Term
from adiabat.fit.optimizers import OptimizerConfig
from adiabat.fit.schedules import ScheduleConfig
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
    """Frames per step, over all processes; set it to null and give `max_atoms` to batch by atoms."""
    max_atoms: int | None = Field(default=None, ge=1)
    """Largest number of atoms per step, over all processes."""
    valid_batch_size: int = Field(default=50, ge=1)
    """Frames evaluated together in validation."""
    loss: LossConfig = LossConfig()
    """Weights of energy, forces, stress and further labels."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How weights are changed."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the learning rate changes."""
    stage_two: StageTwo | None = None
    """Other weights and rate for the last epochs, such as {start: 150, rate: 0.001}; null for none."""
    ema_decay: float | None = Field(default=0.99, gt=0.0, lt=1.0)
    """Decay of the moving average of the weights, which is validated and returned; null for none."""
    clip: float | None = Field(default=10.0, gt=0.0)
    """Largest norm of the gradient; null for none (and for L-BFGS)."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a better validation loss; null for never."""
    group_key: str = "config_type"
    """Frame info that `group_weights` refers to."""
    group_weights: dict[str, float] = {}
    """Weight in the loss of frames whose `group_key` has this value; others weigh 1."""
    save_every: int = Field(default=1, ge=1)
    """Epochs between saved states: what a crash may lose."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the training step: takes a minute or more once, then a step takes a third; auto: in long fits."""
    tensorboard: bool = False
    """Write TensorBoard events too."""

    def check(self) -> None:
        """Raises ConfigError for options that contradict each other or have no effect."""
        if (self.batch_size is None) == (self.max_atoms is None):
            raise ConfigError("give either fit.batch_size or fit.max_atoms, and set the other to null.")
        if not self.loss.terms or (self.stage_two is not None and not self.stage_two.loss.terms):
            raise ConfigError("every weight of fit.loss is 0, so there is nothing to fit: give one at least.")
        if self.optimizer.kind == "lbfgs" and self.clip is not None:
            raise ConfigError("fit.clip would spoil the line search of L-BFGS: set it to null.")
        if self.group_key != type(self).model_fields["group_key"].default and not self.group_weights:
            raise ConfigError("fit.group_key has no effect without fit.group_weights: give both or none.")
        if any(weight < 0 for weight in self.group_weights.values()):
            raise ConfigError(f"fit.group_weights {self.group_weights} has a negative weight.")
        self._check_epochs()

    def _check_epochs(self) -> None:
        limits = {
            "stage_two.start": self.stage_two.start if self.stage_two is not None else 0,
            "schedule.warmup": self.schedule.warmup,
            "patience": self.patience or 0,
        }
        for name, value in limits.items():
            if value >= self.epochs:
                raise ConfigError(
                    f"fit.{name} = {value} would have no effect within fit.epochs = {self.epochs}: lower it,"
                    " or leave it out."
                )
        if self.save_every > self.epochs:
            raise ConfigError(
                f"fit.save_every = {self.save_every} is beyond fit.epochs = {self.epochs}: no state would be saved."
            )
