"""Kernels that make of each center's surroundings a row of numbers, or its energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
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
        return self.apply(vectors, kinds, pairs.neighbors, pairs.begins)[0]

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
        """Calls a function of the library with vectors, kinds, neighbors and begins, and what follows them.

        Where `outputs` keeps something, this is the last input of `backward`.
        """
        raise NotImplementedError


class AtomKernel(Kernel):
    """Energies of the atoms, differentiable once in the pair vectors; `run` makes the slopes along the way.

    Attributes:
        constants: energy of each element's atoms that is added to what `run` gives `[kinds]`, eV.
    """

    differentiable: ClassVar[int] = 1
    kept = 1
    constants: Tensor

    def __call__(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Energies `[atoms]`, eV; arguments as those of RowKernel."""
        made = self.apply(vectors, kinds, pairs.neighbors, pairs.begins)[0]
        return made + self.constants.index_select(0, kinds)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        return [inputs[0].new_empty((inputs[1].shape[0],)), torch.empty_like(inputs[0])]

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *_, begins, slopes = inputs
        torch.mul(slopes, gradients[0].repeat_interleave(begins.diff())[:, None], out=made[0])
