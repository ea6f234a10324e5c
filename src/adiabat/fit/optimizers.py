"""Optimizers, from torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from adiabat.settings import Settings


class OptimizerConfig(Settings):
    """Which optimizer, and its numbers."""

    kind: Literal["adam", "amsgrad", "adamw", "lbfgs"] = "amsgrad"
    """Adam, AMSGrad (Adam with non-increasing steps), AdamW (decoupled decay) or L-BFGS (use large batches)."""
    rate: float = Field(default=0.01, gt=0.0)
    """Initial learning rate; for L-BFGS the length of the first trial step (1 is usual)."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """L2 penalty on all parameters."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of Adam's first and second moments."""
    history: int = Field(default=20, ge=1)
    """Steps that L-BFGS remembers."""
    evaluations: int = Field(default=10, ge=1)
    """Evaluations of the loss per L-BFGS step."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over these parameters."""
        if self.kind == "lbfgs":
            return torch.optim.LBFGS(
                parameters,
                lr=self.rate,
                history_size=self.history,
                max_iter=self.evaluations,
                line_search_fn="strong_wolfe",
            )
        if self.kind == "adamw":
            return torch.optim.AdamW(parameters, lr=self.rate, betas=self.betas, weight_decay=self.weight_decay)
        return torch.optim.Adam(
            parameters,
            lr=self.rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
            amsgrad=self.kind == "amsgrad",
        )
