"""Which features of a descriptor to keep, chosen from the training data alone.

CUR and farthest points: G. Imbalzano, A. Anelli, D. Giofré, S. Klees, J. Behler and M. Ceriotti, J. Chem. Phys. 148,
241730 (2018), doi:10.1063/1.5024611.

| paper | here | shape, unit |
|---|---|---|
| XᵀX of centered features | `covariance` | [features, features] |
| leverage score π_c | `leverage` in `cur` | [features] |
| correlation of two features | `pearson` | [features, features] |

- cur: the feature with the largest leverage, its squared entries in the leading `vectors` right singular vectors of
  X; the others are made orthogonal to it, and the next is chosen.
- farthest: the feature that is farthest from all chosen ones, as points whose coordinates are the training atoms.
- pearson: features in the order of how much of the others they stand for (the sum of their squared correlations),
  each unless its correlation with a chosen one is above a threshold, in absolute value.
- random: what the others have to beat.

Departures from the paper: everything is done element by element, on features that are centered and, unless
`standardize` is off, of variance one. Only the covariance is needed, so that training atoms stream through. Features
that do not vary or, with cur, are sums of chosen ones are never chosen, so that fewer than `count` may remain.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from adiabat.settings import Settings

FLAT = 1e-10  # variance relative to the feature's mean square, or left after orthogonalization, that counts as none
FAINT = 1e-6  # variance relative to the largest that counts as none: the next to never seen extrapolates


class SelectConfig(Settings):
    """How many features of each element are kept, and which."""

    method: Literal["cur", "farthest", "pearson", "random"] = "cur"
    """cur: largest leverage, one after the other; farthest: least like the chosen ones; pearson: those that stand for
    many, without what correlates with chosen ones; random."""
    count: int = Field(ge=1)
    """Features of each element, at most."""
    standardize: bool = True
    """Whether features count alike whatever their size (cur, farthest)."""
    vectors: int = Field(default=1, ge=1)
    """Leading singular vectors that make the leverage (cur)."""
    threshold: float | None = Field(default=None, gt=0.0, le=1.0)
    """Absolute correlation above which a feature is dropped (pearson); null for the lowest that leaves `count`."""
    seed: int = 0
    """Seed of the random numbers (random)."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        owners = {
            "standardize": ("cur", "farthest"),
            "vectors": ("cur",),
            "threshold": ("pearson",),
            "seed": ("random",),
        }
        for name, owner in owners.items():
            if self.method not in owner and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} has no effect with method {self.method}: it belongs to {' and '.join(owner)}"
                )
        return self


class Moments:
    """Mean and covariance of features that come in blocks of rows.

    Args:
        size: number of features.
    """

    def __init__(self, size: int):
        self.rows = 0
        self.mean = torch.zeros(size, dtype=torch.float64)
        self.scatter = torch.zeros((size, size), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Takes in features `[atoms, size]` (Chan, Golub and LeVeque, doi:10.1080/00031305.1983.10483115)."""
        rows = rows.detach().to("cpu", torch.float64)
        if not len(rows):
            return
        mean, total = rows.mean(dim=0), self.rows + len(rows)
        shift, centered = mean - self.mean, rows - mean
        self.scatter += centered.T @ centered + torch.outer(shift, shift) * (self.rows * len(rows) / total)
        self.mean += shift * (len(rows) / total)
        self.rows = total

    def covariance(self) -> Tensor:
        """`[size, size]`, with zeros for features that do not vary."""
        found = self.scatter / max(self.rows, 1)
        variance = found.diagonal()
        flat = (variance <= FLAT * (variance + self.mean.square())) | (variance <= FAINT * variance.max())
        return found.masked_fill(flat[:, None] | flat[None, :], 0.0)


def select(options: SelectConfig, covariance: Tensor) -> list[int]:
    """The chosen features, ascending, from their covariance `[features, features]`; only such as vary."""
    varying = covariance.diagonal().nonzero()[:, 0]
    matrix = covariance[varying][:, varying]
    size = matrix.diagonal().sqrt()
    correlation = matrix / size / size[:, None]
    count = min(options.count, len(varying))
    if options.method == "cur":
        chosen = cur(correlation if options.standardize else matrix, count, options.vectors)
    elif options.method == "farthest":
        chosen = farthest(correlation if options.standardize else matrix, count)
    elif options.method == "pearson":
        chosen = pearson(correlation, count, options.threshold)
    else:
        generator = torch.Generator().manual_seed(options.seed)
        chosen = torch.randperm(len(varying), generator=generator)[:count].tolist()
    return sorted(varying[chosen].tolist())


def cur(covariance: Tensor, count: int, vectors: int = 1) -> list[int]:
    """Features of the largest leverage, each made orthogonal to before the next is chosen (Imbalzano, II.B)."""
    left, floor = covariance.clone(), FLAT * covariance.diagonal()
    chosen: list[int] = []
    while len(chosen) < count:
        leverage = torch.linalg.eigh(left).eigenvectors[:, -vectors:].square().sum(dim=1)
        leverage[left.diagonal() <= floor] = -1.0
        best = int(leverage.argmax())
        if leverage[best] < 0.0:
            break
        chosen.append(best)
        column = left[:, best] / left[best, best].sqrt()
        left -= torch.outer(column, column)
        left[best], left[:, best] = 0.0, 0.0
    return chosen


def farthest(covariance: Tensor, count: int) -> list[int]:
    """Features with the largest smallest distance from those before; the first is the one that varies most."""
    square = covariance.diagonal()
    distance = (square[:, None] + square - 2.0 * covariance).clamp(min=0.0)
    chosen: list[int] = []
    nearest = square * (1.0 + 1e-9 * _stands_for(covariance))  # of equal ones, that which stands for most
    while len(chosen) < count:
        best = int(nearest.argmax())
        if chosen and nearest[best] <= FLAT * square[best]:
            break
        nearest = distance[best] if not chosen else torch.minimum(nearest, distance[best])
        chosen.append(best)
    return chosen


def pearson(correlation: Tensor, count: int, threshold: float | None = None) -> list[int]:
    """Features that stand for many others, without those whose correlation with one of them is above the threshold.

    Without one it is the lowest that leaves `count` of them.
    """
    order = _stands_for(correlation).argsort(descending=True, stable=True).tolist()
    size = correlation.abs()
    if threshold is not None:
        return _apart(size, order, threshold)[:count]
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if len(_apart(size, order, middle)) >= count else (middle, high)
    return _apart(size, order, high)[:count]


def _stands_for(matrix: Tensor) -> Tensor:
    """Mean squared correlation of each feature with all `[features]`."""
    size = matrix.diagonal().sqrt()
    return (matrix / size / size[:, None]).square().mean(dim=1)


def _apart(size: Tensor, order: list[int], threshold: float) -> list[int]:
    """Features in order, each unless its absolute correlation with one before is above the threshold."""
    free = torch.ones(len(size), dtype=torch.bool)
    chosen = []
    for place in order:
        if bool(free[place]):
            chosen.append(place)
            free &= size[place] <= threshold
    return chosen
