"""Short pairs seen without direction, and the angles between two of them that meet at an atom."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Bonds:
    """The nodes and edges of a line graph.

    Each bond has two ends, numbered `end · bonds + bond`: at end 0 it is seen as its first pair, at end 1 as its
    second, and the center of that pair is the atom at this end.

    Attributes:
        both: the two directed pairs of each bond `[2, bonds]`.
        angles: two ends of bonds at the same atom, each unordered couple once `[2, angles]`.
    """

    both: Tensor
    angles: Tensor

    @property
    def count(self) -> int:
        """Number of bonds."""
        return self.both.shape[1]

    def ordered(self) -> tuple[Tensor, Tensor]:
        """Ends of the first and of the second bond of every angle in one order, then in the other `[2 · angles]`."""
        return self.angles.flatten(), self.angles.flip(0).flatten()

    def centers(self, centers: Tensor) -> Tensor:
        """The atom at each end `[2 · bonds]`, of the centers of all pairs."""
        return centers.index_select(0, self.both.flatten())
