"""Kernels that make a row of numbers of each center's surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex


class RowKernel(Kernel):
    """Rows `[atoms, size]` of the atoms, differentiable once in the pair vectors.

    Attributes:
        size: width of a row.
    """

    differentiable: ClassVar[int] = 1
    size: int

    def __call__(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Rows `[atoms, size]`.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å.
            kinds: each atom's element, a place `[atoms]`; one that is not there makes all rows NaN.
            pairs: from `PairIndex.of`.
        """
        (made,) = self.apply(vectors, kinds, pairs.neighbors, pairs.begins)
        return made

    def jacobian(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Slopes of the center's row by each pair vector `[pairs, size, 3]`, without gradient history.

        For kernels whose C++ has `jacobian` beside `forward` and `backward`.
        """
        vectors = vectors.detach().contiguous()
        made = vectors.new_empty((len(vectors), self.size, 3))
        self.call("jacobian", (vectors, kinds.contiguous(), pairs.neighbors.contiguous(), pairs.begins), made)
        return made

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [inputs[0].new_empty((inputs[1].shape[0], self.size))]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self.call("forward", inputs, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self.call("backward", inputs, *gradients, *made)

    def call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        """Calls a function of the library with vectors, kinds, neighbors and begins, and what follows them."""
        raise NotImplementedError
