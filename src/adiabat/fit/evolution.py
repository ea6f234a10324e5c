"""Separable natural evolution strategy: steps from losses of a population alone, without gradients of weights.

T. Schaul, T. Glasmachers and J. Schmidhuber, GECCO 2011, doi:10.1145/2001576.2001692, algorithm 2; as used for NEP,
Z. Fan et al., Phys. Rev. B 104, 104309 (2021), doi:10.1103/PhysRevB.104.104309.

| paper | here | shape |
|---|---|---|
| μ | the parameters | [n] |
| σ | `state[p]["sigma"]` | [n] |
| s_k | `draws` | [population, n] |
| u_k | `utilities` | [population] |
| η_μ, η_σ | `lr`, (3 + ln n) / (5 √n) | |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Evolution(torch.optim.Optimizer):
    """A search distribution with its own width for each parameter.

    Args:
        groups: parameters with their weight decay, an L2 penalty on top of the loss.
        lr: η_μ; 1 is usual.
        population: samples a step, each of which costs one evaluation of the loss.
        spread: σ at the start.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, population: int, spread: float):
        super().__init__(list(groups), {"lr": lr, "weight_decay": 0.0})
        self.utilities = utilities(population)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["sigma"] = torch.full_like(parameter, spread)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float:  # type: ignore[override]
        """Moves center and widths; returns the loss of the best sample."""
        assert closure is not None
        mine = [(p, self.state[p]["sigma"], g) for g in self.param_groups for p in g["params"]]
        centers = [p.clone() for p, _, _ in mine]
        draws = [torch.randn((len(self.utilities), *p.shape), dtype=p.dtype, device=p.device) for p, _, _ in mine]
        losses, costs = [], []
        for k in range(len(self.utilities)):
            for (parameter, sigma, _), center, draw in zip(mine, centers, draws, strict=True):
                parameter.copy_(center + sigma * draw[k])
            losses.append(float(closure()))
            costs.append(losses[-1] + sum(0.5 * g["weight_decay"] * float(p.square().sum()) for p, _, g in mine))
        # a sample whose loss is not a number is the worst of all
        order = sorted(range(len(costs)), key=lambda k: costs[k] if math.isfinite(costs[k]) else math.inf)
        weights = torch.empty(len(costs), dtype=torch.float64)
        weights[order] = self.utilities
        size = sum(p.numel() for p, _, _ in mine)
        rate = (3.0 + math.log(size)) / (5.0 * math.sqrt(size))
        for (parameter, sigma, group), center, draw in zip(mine, centers, draws, strict=True):
            own = weights.to(draw)
            parameter.copy_(center + group["lr"] * sigma * torch.tensordot(own, draw, dims=1))
            sigma.mul_(torch.exp(0.5 * rate * torch.tensordot(own, draw.square() - 1.0, dims=1)))
        return min(losses)


def utilities(population: int) -> Tensor:
    """u of ranks from the best to the worst, `[population]`; they sum to zero."""
    raw = torch.tensor([max(0.0, math.log(population / 2 + 1) - math.log(k + 1)) for k in range(population)])
    return (raw / raw.sum() - 1.0 / population).double()
