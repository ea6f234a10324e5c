"""Least squares by iteration, for more unknowns than a triangle has room for.

Rows are kept as they come, and products with them are all that is needed: LSMR, D. C.-L. Fong and M. Saunders,
SIAM J. Sci. Comput. 33, 2950 (2011), doi:10.1137/10079687X, as scipy has it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, lsmr
from torch import Tensor

from adiabat.fit.reduced import Solution

TOLERANCE = 1e-12  # of LSMR: relative to |A| and |y|


class Rows:
    """[A | y] in the blocks that came in, with a factor each; `rows` counts them. Blocks are shared, not copied."""

    def __init__(self, columns: int):
        self.columns, self.rows = columns, 0
        self._blocks: list[tuple[Tensor, Tensor, float]] = []

    def add(self, rows: Tensor, labels: Tensor) -> None:
        """Takes in rows `[n, columns]` with labels `[n]`."""
        self._blocks.append((rows.double(), labels.double(), 1.0))
        self.rows += len(rows)

    def join(self, other: Rows) -> None:
        """Takes in all rows of another one."""
        self._blocks += other._blocks
        self.rows += other.rows

    def scaled(self, factor: float) -> Rows:
        """The same rows multiplied by a number."""
        out = Rows(self.columns)
        out._blocks = [(rows, labels, own * factor) for rows, labels, own in self._blocks]
        out.rows = self.rows
        return out

    def mean_square(self, weights: Tensor) -> float:
        """Mean of |A w − y|² over the rows; NaN without rows."""
        total = sum(own**2 * float((rows @ weights - labels).square().sum()) for rows, labels, own in self._blocks)
        return total / self.rows if self.rows else float("nan")

    def labels(self) -> Tensor:
        """y `[rows]`."""
        return torch.cat([own * labels for _, labels, own in self._blocks])

    def times(self, weights: Tensor) -> Tensor:
        """A w `[rows]`."""
        return torch.cat([own * (rows @ weights) for rows, _, own in self._blocks])

    def back(self, values: Tensor) -> Tensor:
        """Aᵀ v `[columns]`."""
        out, begin = values.new_zeros(self.columns), 0
        for rows, _, own in self._blocks:
            out += own * (values[begin : begin + len(rows)] @ rows)
            begin += len(rows)
        return out

    def column_sizes(self) -> Tensor:
        """Root mean square of each column, 1 for columns of zeros."""
        total = torch.zeros(self.columns, dtype=torch.float64)
        for rows, _, own in self._blocks:
            total += own**2 * rows.square().sum(dim=0)
        sizes = (total / max(self.rows, 1)).sqrt()
        return torch.where(sizes > 0, sizes, torch.ones_like(sizes))


def damped(rows: Rows, penalty: Tensor | None, alpha: float, iterations: int) -> tuple[Solution, int]:
    """Minimizes |A w − y|² + α |U w|²; gives the minimum and the iterations it took.

    Args:
        rows: A and y.
        penalty: upper-triangular U; None for the diagonal of the columns' sizes.
        alpha: ≥ 0.
        iterations: most of them.
    """
    u = rows.column_sizes() if penalty is None else penalty.double()

    def solved(v: Tensor, transposed: bool = False) -> Tensor:
        """U⁻¹ v or U⁻ᵀ v."""
        if u.ndim == 1:
            return v / u
        return torch.linalg.solve_triangular(u.T if transposed else u, v[:, None], upper=not transposed)[:, 0]

    def forward(v: np.ndarray) -> np.ndarray:
        return rows.times(solved(torch.from_numpy(v.ravel()))).numpy()

    def backward(v: np.ndarray) -> np.ndarray:
        return solved(rows.back(torch.from_numpy(v.ravel())), transposed=True).numpy()

    shape = (rows.rows, rows.columns)
    operator = LinearOperator(shape, matvec=forward, rmatvec=backward, dtype=np.float64)  # type: ignore[call-arg]
    options = {"damp": alpha**0.5, "atol": TOLERANCE, "btol": TOLERANCE, "conlim": 0.0, "maxiter": iterations}
    found, _, count, *_ = lsmr(operator, rows.labels().numpy(), **options)
    return Solution(solved(torch.from_numpy(found)), alpha, None, rows.columns), int(count)
