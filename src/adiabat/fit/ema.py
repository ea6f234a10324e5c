"""Exponential moving average of the weights, used for validation and as the final model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """w̄ ← d w̄ + (1 − d) w after every step, with d = min(decay, (1 + n)/(10 + n)) so that early weights fade fast."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.steps = 0
        self.shadow: dict[str, Tensor] = {k: p.detach().clone() for k, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in model.named_parameters():
            self.shadow[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within this context the model has the averaged weights."""
        kept = {k: p.detach().clone() for k, p in model.named_parameters()}
        self._put(model, self.shadow)
        try:
            yield
        finally:
            self._put(model, kept)

    @staticmethod
    @torch.no_grad()
    def _put(model: nn.Module, values: dict[str, Tensor]) -> None:
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])
