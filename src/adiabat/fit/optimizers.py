"""Which optimizer, from torch, `adiabat.fit.muon` or `adiabat.fit.evolution`."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from adiabat.errors import ConfigError
from adiabat.fit.evolution import Evolution
from adiabat.fit.muon import Muon
from adiabat.settings import Settings

_OWNERS = {
    "betas": ("adam", "amsgrad", "adamw", "muon"),
    "epsilon": ("adam", "amsgrad", "adamw", "muon"),
    "weight_decay": ("adam", "amsgrad", "adamw", "muon", "evolution"),
    "history": ("lbfgs",),
    "evaluations": ("lbfgs",),
    "population": ("evolution",),
    "spread": ("evolution",),
}


class OptimizerConfig(Settings):
    """Which optimizer, and its numbers."""

    kind: Literal["adam", "amsgrad", "adamw", "muon", "lbfgs", "evolution"] = "amsgrad"
    """Adam, AMSGrad (Adam with non-increasing steps), AdamW (decoupled decay), Muon (orthogonalized steps for
    matrices, AdamW for the rest), L-BFGS (use large batches), or the natural evolution strategy that fits NEP."""
    rate: float = Field(default=0.01, gt=0.0)
    """Initial learning rate; 1 is usual for the first trial step of L-BFGS and for the η_μ of evolution."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """L2 penalty (Adam, AMSGrad, evolution) or decoupled decay (AdamW, Muon) of the parameters that `decay` names."""
    decay: tuple[str, ...] = ("*",)
    """Names of the parameters that decay, with * for any text; what they do not match stays free."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of Adam's first and second moments."""
    epsilon: float = Field(default=1e-8, gt=0.0)
    """Added to the root of Adam's second moment."""
    history: int = Field(default=20, ge=1)
    """Steps that L-BFGS remembers."""
    evaluations: int = Field(default=10, ge=1)
    """Evaluations of the loss per L-BFGS step."""
    population: int = Field(default=50, ge=4)
    """Samples of the weights in a step of evolution."""
    spread: float = Field(default=0.1, gt=0.0)
    """Width of evolution's samples at the start."""

    @property
    def needs_gradients(self) -> bool:
        """Whether steps are made from gradients of the loss."""
        return self.kind != "evolution"

    @model_validator(mode="after")
    def _effective(self) -> Self:
        fields = type(self).model_fields
        for name, kinds in _OWNERS.items():
            if self.kind not in kinds and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect with {self.kind}: it belongs to {', '.join(kinds)}")
        if self.decay != fields["decay"].default and self.weight_decay == 0:
            raise ValueError("decay has no effect while weight_decay is 0")
        return self

    def build(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """The optimizer over these named parameters.

        Raises ConfigError if a name in `decay` matches none of them.
        """
        named = list(parameters)
        if self.kind == "lbfgs":
            return torch.optim.LBFGS(
                [p for _, p in named],
                lr=self.rate,
                history_size=self.history,
                max_iter=self.evaluations,
                line_search_fn="strong_wolfe",
            )
        groups = self._groups(named)
        if self.kind == "evolution":
            return Evolution(groups, self.rate, self.population, self.spread)
        if self.kind == "muon":
            return Muon(groups, self.rate, self.betas, self.epsilon)
        fused = all(p.device.type in ("cpu", "cuda") for _, p in named)  # all parameters in one loop
        common: dict[str, Any] = {"lr": self.rate, "betas": self.betas, "eps": self.epsilon, "fused": fused}
        if self.kind == "adamw":
            return torch.optim.AdamW(groups, **common)
        return torch.optim.Adam(groups, amsgrad=self.kind == "amsgrad", **common)

    def _groups(self, named: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
        for pattern in self.decay:
            if not any(fnmatchcase(name, pattern) for name, _ in named):
                raise ConfigError(
                    f"fit.optimizer.decay names '{pattern}', which matches no parameter: they are"
                    f" {', '.join(name for name, _ in named[:8])} ..."
                )
        decaying = [p for name, p in named if any(fnmatchcase(name, pattern) for pattern in self.decay)]
        chosen = {id(p) for p in decaying}
        free = [p for _, p in named if id(p) not in chosen]
        groups = [{"params": decaying, "weight_decay": self.weight_decay}, {"params": free, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]
