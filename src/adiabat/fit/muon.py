"""Muon: steps of orthogonalized momentum for matrices, and Adam for all other parameters.

Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein, "Muon" (2024); Liu et al., arXiv:2502.16982, whose scale makes a
step of a matrix as large as one of Adam, so that both take the same rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # steep at 0, within 0.7 to 1.2 after five rounds
_RMS = 0.2  # of a step over the rate, as Adam's usual


class Muon(torch.optim.Optimizer):
    """One step for each parameter: of its orthogonalized momentum if it is a matrix, else Adam's.

    Args:
        groups: parameters with their weight decay (decoupled).
        lr: rate of all of them.
        betas: Adam's.
        eps: Adam's.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-8
    ):
        super().__init__(list(groups), {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Changes all parameters; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                change = self._of_matrix if is_matrix(parameter) else self._of_adam
                parameter.add_(change(parameter.grad, self.state[parameter], group), alpha=-group["lr"])
        return loss

    def _of_matrix(self, slope: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(slope)
        momentum = state["momentum"].lerp_(slope, 1.0 - MOMENTUM)
        ahead = slope.lerp(momentum, MOMENTUM)
        return orthogonalized(ahead) * (_RMS * max(slope.shape) ** 0.5)

    def _of_adam(self, slope: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        first, second = group["betas"]
        if not state:
            # a tensor, for saved states hold tensors
            state |= {"step": torch.zeros(()), "mean": torch.zeros_like(slope), "square": torch.zeros_like(slope)}
        state["step"] += 1
        count = float(state["step"])
        mean = state["mean"].lerp_(slope, 1.0 - first) / (1.0 - first**count)
        square = state["square"].mul_(second).addcmul_(slope, slope, value=1.0 - second) / (1.0 - second**count)
        return mean / (square.sqrt() + group["eps"])


def is_matrix(parameter: Tensor) -> bool:
    """Whether steps are orthogonalized."""
    return parameter.dim() == 2 and min(parameter.shape) > 1


def orthogonalized(matrix: Tensor) -> Tensor:
    """Singular values brought near 1, by an iteration of odd polynomials: `[m, n]` to the same shape; 0 stays 0."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-30)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
