"""The Matérn kernel of order 5/2 and its derivatives, k(d) with d = √5 |x − y| / σ."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reduced_distance(apart: Tensor, sigma: float | Tensor) -> Tensor:
    """d = √5 |x − y| / σ of differences `[..., features]`.

    The norm has no derivative at 0, the kernel has: coinciding points get a zero slope.
    """
    square = apart.square().sum(dim=-1)
    zero = square == 0
    norm = torch.where(zero, torch.zeros_like(square), torch.where(zero, torch.ones_like(square), square).sqrt())
    return math.sqrt(5.0) / sigma * norm


def matern52(d: Tensor) -> Tensor:
    """(1 + d + d²/3) exp(−d)."""
    return (1 + d + d.square() / 3) * torch.exp(-d)


def matern52_first(d: Tensor, sigma: float | Tensor) -> Tensor:
    """a(d) of ∇_x k = −a(d) (x − y): 5/(3σ²) (1 + d) exp(−d)."""
    return 5 / (3 * sigma**2) * (1 + d) * torch.exp(-d)


def matern52_second(d: Tensor, sigma: float | Tensor) -> Tensor:
    """b(d) of ∇_x∇_yᵀ k = a(d) 1 − b(d) (x − y)(x − y)ᵀ: 25/(3σ⁴) exp(−d)."""
    return 25 / (3 * sigma**4) * torch.exp(-d)
