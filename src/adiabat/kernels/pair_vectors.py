"""Vectors of pairs from positions and cells in one operation, and where the pairs of each atom are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel

NAME = "pair_vectors"


class PairVectors(Kernel):
    """r_j + shift·cell − r_i, differentiable once in the positions.

    Args:
        strained: whether it is differentiable in the cells too, for the stress.
    """

    def __init__(self, strained: bool):
        self.differentiable = 1 + strained  # type: ignore[misc]

    def __call__(
        self,
        positions: Tensor,
        cells: Tensor,
        pairs: Tensor,
        shifts: Tensor,
        system: Tensor,
        places: Sequence[Tensor],
    ) -> Tensor:
        """`[pairs, 3]`, Å.

        Args:
            positions: `[atoms, 3]`, Å.
            cells: `[systems, 3, 3]`, Å.
            pairs: `[2, pairs]`, sorted by center.
            shifts: `[pairs, 3]`.
            system: of each atom `[atoms]`.
            places: from `sort_pairs`.
        """
        (made,) = self.apply(positions, cells, pairs, shifts, system, *places)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [inputs[0].new_empty((inputs[2].shape[1], 3))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        positions, cells, pairs, shifts, system, *_ = inputs
        dtype, count = same_type(positions, cells), pairs.shape[1]
        call(NAME, "vectors", dtype, count, pairs[0], pairs[1], shifts, system, positions, cells, made[0])

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        positions, cells, pairs, shifts, system, *places = inputs
        dtype = same_type(positions, gradients[0])
        call(NAME, "positions", dtype, len(positions), *places, gradients[0], made[0])
        if self.differentiable == 2:
            sizes = pairs.shape[1], len(cells)
            call(NAME, "cells", dtype, *sizes, pairs[0], shifts, system, gradients[0], made[1])


PLAIN, STRAINED = PairVectors(False), PairVectors(True)


def sort_pairs(pairs: Tensor, atoms: int) -> tuple[Tensor, Tensor, Tensor]:
    """`begins`, `order` and `order_begins` of a `PairIndex`.

    Args:
        pairs: `[2, pairs]`, sorted by center, contiguous, on the CPU.
        atoms: their number.

    Raises CapabilityError if this machine has no compiler for it.
    """
    count = pairs.shape[1]
    begins, order, order_begins = (pairs.new_empty(n) for n in (atoms + 1, count, atoms + 1))
    call(NAME, "sort_pairs", None, atoms, count, pairs[0], pairs[1], begins, order, order_begins)
    return begins, order, order_begins
