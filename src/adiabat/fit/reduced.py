"""Least squares with many more rows than unknowns: rows stream through, and a triangle of the unknowns' size stays.

For any w, |A w − y|² = |R w − z|² + rest with [A | y] = Q [R | z; 0 | √rest]. Blocks of rows are folded into the
triangle one after the other, so that memory does not grow with the number of rows and the condition number is not
squared as in normal equations. Every regularization then works on (R, z) alone.

References: sequential QR, Å. Björck, Numerical Methods for Least Squares Problems, doi:10.1137/1.9781611971484;
evidence, D. J. C. MacKay, Neural Comput. 4, 415 (1992), doi:10.1162/neco.1992.4.3.415; relevance determination,
M. E. Tipping, J. Mach. Learn. Res. 1, 211 (2001); coordinate descent, doi:10.18637/jss.v033.i01; groups, M. Yuan and
Y. Lin, J. R. Stat. Soc. B 68, 49 (2006), doi:10.1111/j.1467-9868.2005.00532.x, with the penalty of N. Simon and
R. Tibshirani, Stat. Sin. 22, 983 (2012), doi:10.5705/ss.2011.075.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PRUNED = 1e-10  # weight precision relative to the data's above which relevance determination drops a column
TINY = 1e-12  # singular values below this fraction of the largest count as zero


class Triangle:
    """[A | y] as its triangle `[columns + 1, columns + 1]`; `rows` counts what came in."""

    def __init__(self, columns: int, block: int = 4096):
        self.columns, self.rows = columns, 0
        self._block = max(block, columns + 1)
        self._triangle = torch.zeros((0, columns + 1), dtype=torch.float64)
        self._waiting: list[Tensor] = []
        self._count = 0

    def add(self, rows: Tensor, labels: Tensor) -> None:
        """Takes in rows `[n, columns]` with labels `[n]`."""
        self._waiting.append(torch.cat((rows, labels[:, None]), dim=1).double())
        self._count += len(rows)
        self.rows += len(rows)
        if self._count >= self._block:
            self._fold()

    def join(self, other: Triangle) -> None:
        """Takes in all rows of another one."""
        other._fold()
        self._waiting.append(other._triangle)
        self.rows += other.rows
        self._fold()

    def scaled(self, factor: float) -> Triangle:
        """The same rows multiplied by a number."""
        r, z, rest = self.parts()
        out = Triangle(self.columns)
        full = r.new_zeros((len(r) + 1, len(r)))
        full[:-1] = r * factor
        out.add(full, torch.cat((z * factor, z.new_tensor([math.sqrt(rest) * factor]))))
        out.rows = self.rows
        return out

    def _fold(self) -> None:
        if self._waiting:
            stacked = torch.cat([self._triangle, *self._waiting])
            self._waiting, self._count = [], 0
            self._triangle = torch.linalg.qr(stacked, mode="r").R

    def parts(self) -> tuple[Tensor, Tensor, float]:
        """R `[columns, columns]`, z `[columns]` and the rest."""
        self._fold()
        full = self._triangle.new_zeros((self.columns + 1, self.columns + 1))
        full[: len(self._triangle)] = self._triangle
        return full[:-1, :-1], full[:-1, -1], float(full[-1, -1] ** 2)

    def mean_square(self, weights: Tensor) -> float:
        """Mean of |A w − y|² over the rows; NaN without rows."""
        r, z, rest = self.parts()
        return (float((r @ weights - z).square().sum()) + rest) / self.rows if self.rows else float("nan")


@dataclass(frozen=True)
class Solution:
    """Weights and what is known of their errors.

    Attributes:
        weights: `[columns]`.
        alpha: strength of the prior in units of the rows; None where there is none.
        spread: `[columns, rank]` factor of the weights' covariance, or None.
        used: columns that are not zero.
    """

    weights: Tensor
    alpha: float | None
    spread: Tensor | None
    used: int


def column_sizes(r: Tensor, rows: int) -> Tensor:
    """Root mean square of each column, 1 for columns of zeros."""
    sizes = (r.square().sum(dim=0) / max(rows, 1)).sqrt()
    return torch.where(sizes > 0, sizes, torch.ones_like(sizes))


class Ridge:
    """Minimizes |R w − z|² + α |U w|² for any α after one singular value decomposition.

    Args:
        triangle: the rows.
        penalty: upper-triangular U; None for the diagonal of the columns' sizes.
    """

    def __init__(self, triangle: Triangle, penalty: Tensor | None = None):
        r, z, self.rest = triangle.parts()
        self.rows = triangle.rows
        # rounding would give columns of zeros a share of what nearly dependent columns have
        self.idle = (r.square().sum(dim=0) == 0) & (penalty is None)
        u = torch.diag(column_sizes(r, self.rows)) if penalty is None else penalty.double()
        changed = torch.linalg.solve_triangular(u, r, upper=True, left=False)
        left, self.s, right = torch.linalg.svd(changed, full_matrices=False)
        self.s = torch.where(self.s > TINY * self.s.max(), self.s, torch.zeros_like(self.s))
        self.along = left.T @ z
        self.outside = float((z - left @ self.along).square().sum())
        self.back = torch.linalg.solve_triangular(u, right.T, upper=True)  # U⁻¹ Q

    def solve(self, alpha: float, noise: float | None = None) -> Solution:
        """The minimum.

        Args:
            alpha: ≥ 0; with 0 the shortest of all minima.
            noise: mean square of the rows' noise, for the covariance; None for no covariance.
        """
        bottom = self.s.square() + alpha
        factor = torch.where(self.s > 0, self.s / bottom.clamp(min=1e-300), torch.zeros_like(self.s))
        weights = (self.back @ (factor * self.along)).masked_fill(self.idle, 0.0)
        spread = None
        if noise is not None and alpha > 0:
            spread = self.back * (noise / bottom).sqrt()
        return Solution(weights, alpha, spread, int((self.s > 0).sum()))

    def evidence(self) -> tuple[float, float]:
        """α and the noise's mean square that make the labels most probable (MacKay, eq. 4.4, over all α).

        With the noise at its best for each α, −2 log p = n log noise + Σ log(1 + s²/α). There can be several maxima,
        and the fixed points of the usual iteration are not always the highest: the whole range is searched.
        """
        highest = 2.0 * math.log10(float(self.s.max()))
        low, high = highest - 20.0, highest + 2.0
        for _ in range(3):  # each time around the best one, finer
            exponents = torch.linspace(low, high, 89, dtype=torch.float64).tolist()
            costs = [self._improbable(10.0**x)[0] for x in exponents]
            best = exponents[costs.index(min(costs))]
            step = exponents[1] - exponents[0]
            low, high = best - step, best + step
        alpha = 10.0**best
        return alpha, self._improbable(alpha)[1]

    def improbable(self) -> float:
        """−2 log p of the labels at the best α and noise, but for a constant that the columns do not enter."""
        return self._improbable(self.evidence()[0])[0]

    def _improbable(self, alpha: float) -> tuple[float, float]:
        """−2 log p but for a constant, and the noise's mean square."""
        square = self.s.square()
        misfit = float((self.along.square() * (alpha / (square + alpha))).sum()) + self.outside + self.rest
        noise = max(misfit, 1e-300) / self.rows
        return self.rows * math.log(noise) + float(torch.log1p(square / alpha).sum()), noise


def relevance(triangle: Triangle, rounds: int = 300) -> Solution:
    """A precision for each weight, most probable for the labels; columns that do not matter are dropped."""
    r, z, rest = triangle.parts()
    sizes = column_sizes(r, triangle.rows)
    r = r / sizes
    total, strongest = float(z.square().sum()) + rest, float(r.square().sum(dim=0).max())
    kept = torch.arange(len(z))
    noise = total / max(triangle.rows, 1)
    precision = torch.full((len(z),), 1e-6 * strongest / noise, dtype=torch.float64)
    for _ in range(rounds):
        mean, own = _posterior(r[:, kept], z, noise, precision[kept])
        effective = (1.0 - precision[kept] * own.square().sum(dim=1)).clamp(min=1e-12)
        misfit = float((r[:, kept] @ mean - z).square().sum()) + rest
        # labels without noise would make it zero, and every precision with it
        noise = max(misfit, 1e-16 * total) / max(triangle.rows - float(effective.sum()), 1.0)
        renewed = effective / mean.square().clamp(min=1e-300)
        change = float((renewed.log() - precision[kept].log()).abs().max())
        precision[kept] = renewed
        strong = precision[kept] * noise < strongest / PRUNED
        if bool(strong.all()) and change < 1e-3:
            break
        kept = kept[strong] if bool(strong.any()) else kept[:1]
    mean, own = _posterior(r[:, kept], z, noise, precision[kept])
    weights = torch.zeros_like(z).index_copy(0, kept, mean) / sizes
    spread = z.new_zeros((len(z), len(kept))).index_copy(0, kept, own) / sizes[:, None]
    return Solution(weights, None, spread, len(kept))


def _posterior(r: Tensor, z: Tensor, noise: float, precision: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[columns]` and a factor of the covariance `[columns, columns]`."""
    stacked = torch.cat((r / math.sqrt(noise), torch.diag(precision.sqrt())))
    q, upper = torch.linalg.qr(stacked)
    own = torch.linalg.solve_triangular(upper, torch.eye(len(precision), dtype=torch.float64), upper=True)
    return own @ (q[: len(z)].T @ (z / math.sqrt(noise))), own


def lasso(triangle: Triangle, alpha: float, start: Tensor | None = None, rounds: int = 1000) -> Solution:
    """Minimizes |R w − z|² / 2 + α Σ_k size_k |w_k| by coordinate descent."""
    r, z, _ = triangle.parts()
    sizes = column_sizes(r, triangle.rows)
    r = r / sizes
    gram, right = r.T @ r, r.T @ z
    diagonal = gram.diagonal().clamp(min=1e-300)
    weights = torch.zeros_like(z) if start is None else start * sizes
    slope = right - gram @ weights
    for _ in range(rounds):
        largest = 0.0
        for k in range(len(z)):
            before = float(weights[k])
            target = float(slope[k]) + float(diagonal[k]) * before
            after = max(abs(target) - alpha, 0.0) * (1.0 if target > 0 else -1.0) / float(diagonal[k])
            if after != before:
                slope -= gram[:, k] * (after - before)
                weights[k] = after
                largest = max(largest, abs(after - before) * float(diagonal[k]) ** 0.5)
        if largest < 1e-7 * float(z.norm()):
            break
    return Solution(weights / sizes, alpha, None, int((weights != 0).sum()))


class GroupLasso:
    """Minimizes |R w − z|² / 2 + α Σ_g √p_g |R_g w_g| / √rows over groups g of p_g columns, for any α.

    A group is penalized by the size of what it adds to the labels, whatever the scales and correlations of its
    columns: in orthonormal directions within the group its minimum is known in closed form. Groups are visited in
    turn. One of a single column counts as in `lasso`.

    Args:
        triangle: the rows.
        groups: `[columns]` number of each column's group; those of −1 are not penalized.
    """

    def __init__(self, triangle: Triangle, groups: Tensor):
        self.r, self.z, _ = triangle.parts()
        self.rows, self.groups = max(triangle.rows, 1), groups
        self.members = [(groups == g).nonzero()[:, 0] for g in groups.unique().tolist()]
        parts = [self._orthonormal(own) for own in self.members]
        self.bases, self.back = [q for q, _ in parts], [b for _, b in parts]
        self.penalties = [0.0 if int(groups[own[0]]) < 0 else math.sqrt(len(own) / self.rows) for own in self.members]
        self.start = [q.new_zeros(q.shape[1]) for q in self.bases]

    def _orthonormal(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """Orthonormal directions `[columns, rank]` of a group and the weights that make them `[members, rank]`."""
        left, s, right = torch.linalg.svd(self.r[:, own], full_matrices=False)
        kept = s > 1e-9 * s.max()
        return left[:, kept], right[kept].T / s[kept]

    def solve(self, alpha: float, rounds: int = 1000) -> Solution:
        """The minimum, starting from that of the call before: go from the largest α down."""
        along = self.start
        left = self.z - sum((q @ a for q, a in zip(self.bases, along, strict=True)), torch.zeros_like(self.z))
        for _ in range(rounds):
            largest = 0.0
            for g, q in enumerate(self.bases):
                target = q.T @ left + along[g]
                limit, size = alpha * self.penalties[g], float(target.norm())
                after = target * (1.0 - limit / size) if size > limit else torch.zeros_like(target)
                change = after - along[g]
                along[g] = after
                left = left - q @ change
                largest = max(largest, float(change.norm()))
            if largest < 1e-7 * float(self.z.norm()):
                break
        weights = torch.zeros_like(self.z)
        for own, back, a in zip(self.members, self.back, along, strict=True):
            weights[own] = back @ a
        return Solution(weights, alpha, None, int((weights != 0).sum()))

    def used(self, weights: Tensor) -> int:
        """Number of penalized groups with weights that are not zero."""
        return len(self.groups[(weights != 0) & (self.groups >= 0)].unique())


def refitted(triangle: Triangle, kept: Tensor) -> Solution:
    """Ridge of the most probable strength on some columns `[columns]` alone, without a lasso's shrinking."""
    r, z, rest = triangle.parts()
    places = kept.nonzero()[:, 0]
    part = Triangle(len(places))
    outside = torch.cat((z, z.new_tensor([math.sqrt(rest)])))
    part.add(torch.cat((r[:, places], r.new_zeros((1, len(places))))), outside)
    part.rows = triangle.rows
    ridge = Ridge(part)
    alpha, noise = ridge.evidence()
    found = ridge.solve(alpha, noise)
    assert found.spread is not None
    weights = torch.zeros_like(z).index_copy(0, places, found.weights)
    spread = found.spread.new_zeros((len(z), found.spread.shape[1])).index_copy(0, places, found.spread)
    return Solution(weights, alpha, spread, int((weights != 0).sum()))
