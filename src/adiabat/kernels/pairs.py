"""Pairs sorted both ways, as the kernels walk them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PairIndex:
    """Where the pairs of each center and of each neighbor are.

    A forward kernel walks the pairs of a center and a backward kernel those of a neighbor, so that no two threads
    write to one place and sums do not depend on the number of threads.

    Attributes:
        centers: `[pairs]`, ascending.
        neighbors: `[pairs]`.
        begins: first pair of each center, and the number of pairs `[atoms + 1]`.
        order: pairs sorted by neighbor `[pairs]`.
        order_begins: where the pairs of each neighbor begin in `order` `[atoms + 1]`.
    """

    centers: Tensor
    neighbors: Tensor
    begins: Tensor
    order: Tensor
    order_begins: Tensor

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return self.begins.shape[0] - 1

    @classmethod
    def of(cls, pairs: Tensor, atoms: int) -> PairIndex:
        """From `pairs [2, pairs]` sorted by center."""
        centers, neighbors = pairs.contiguous()
        order = torch.argsort(neighbors, stable=True)
        return cls(centers, neighbors, _begins(centers, atoms), order, _begins(neighbors, atoms))


def _begins(indices: Tensor, atoms: int) -> Tensor:
    counts = torch.bincount(indices, minlength=atoms)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
