"""Learning-rate schedules: a factor on the initial rate, by epoch, after a linear warm-up.

With e epochs since the warm-up, of n: exponential gamma^e, cosine (1 + cos(π e/n))/2, plateau factor^drops. The
cosine falls step by step, so that short fits end at its floor too; the others change between epochs.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from adiabat.settings import Settings

_OWNERS = {
    "gamma": ("exponential",),
    "factor": ("plateau",),
    "patience": ("plateau",),
    "floor": ("exponential", "cosine", "plateau"),
}


class ScheduleConfig(Settings):
    """How the learning rate changes."""

    kind: Literal["constant", "exponential", "cosine", "plateau"] = "constant"
    """constant; exponential (factor `gamma` each epoch); cosine (towards `floor` at the end); plateau."""
    warmup: int = Field(default=0, ge=0)
    """Epochs over which the rate rises linearly from zero, step by step."""
    gamma: float = Field(default=0.99, gt=0.0, le=1.0)
    """Factor per epoch (exponential)."""
    factor: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Factor when the validation loss has not improved for `patience` epochs (plateau)."""
    patience: int = Field(default=20, ge=1)
    """Epochs without improvement before the rate drops (plateau)."""
    floor: float = Field(default=0.0, ge=0.0)
    """Smallest rate, as a fraction of the initial one."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        for name, kinds in _OWNERS.items():
            if self.kind not in kinds and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with kind {self.kind}: it belongs to {' and '.join(kinds)}")
        return self


class Schedule:
    """The factor on the learning rate; its state is a few numbers."""

    def __init__(self, config: ScheduleConfig, epochs: int):
        self.config = config
        self.epochs = epochs
        self.state: dict[str, Any] = {"drop": 1.0, "best": math.inf, "waited": 0}

    def factor(self, epoch: int, step: int, steps: int) -> float:
        """Factor of a step (from 0) of `steps` in an epoch (from 0): never 0, which L-BFGS could not search along."""
        config = self.config
        begun = epoch + step / steps
        if begun < config.warmup:
            return (epoch + (step + 1) / steps) / config.warmup
        done = max(epoch - config.warmup, 0)
        share = min(1.0, (begun - config.warmup) / max(1, self.epochs - config.warmup))
        value = {
            "constant": 1.0,
            "exponential": config.gamma**done,
            "cosine": 0.5 * (1 + math.cos(math.pi * share)),
            "plateau": self.state["drop"],
        }[config.kind]
        return max(value, config.floor)

    def after(self, loss: float) -> None:
        """Tells the schedule the validation loss of the epoch that ended."""
        if loss < self.state["best"]:
            self.state |= {"best": loss, "waited": 0}
            return
        self.state["waited"] += 1
        if self.config.kind == "plateau" and self.state["waited"] > self.config.patience:
            self.state |= {"drop": self.state["drop"] * self.config.factor, "waited": 0}
