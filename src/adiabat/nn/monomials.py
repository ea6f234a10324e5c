"""Products of the components of vectors."""

from __future__ import annotations

from math import factorial, prod

import torch
from torch import Tensor, nn


class Monomials(nn.Module):
    """Products of the components of a direction up to a degree, each made of one of a lower degree.

    Attributes:
        powers: of x, y and z, degree by degree.
        parents: (which monomial, which component) each is the product of; none for the first, which is 1.
        degree: the highest.
    """

    def __init__(self, degree: int):
        super().__init__()
        self.powers = [
            (x, n - x - z, z) for n in range(degree + 1) for x in range(n, -1, -1) for z in range(n - x + 1)
        ]
        place = {power: k for k, power in enumerate(self.powers)}
        self.parents: list[tuple[int, int]] = [(0, 0)]
        for power in self.powers[1:]:
            axis = next(k for k in (0, 1, 2) if power[k])
            parent = (*power[:axis], power[axis] - 1, *power[axis + 1 :])
            self.parents.append((place[parent], axis))  # type: ignore[index]
        self.degree = degree

    def forward(self, directions: Tensor) -> Tensor:
        """`[pairs, 3]` to `[pairs, monomials]`."""
        made = [torch.ones_like(directions[:, :1])]
        begin = 0
        for n in range(1, self.degree + 1):
            below, end = made[-1], (n + 1) * (n + 2) * (n + 3) // 6
            begin = n * (n + 1) * (n + 2) // 6
            start = (n - 1) * n * (n + 1) // 6
            own = self.parents[begin:end]
            parts = [below[:, [p - start for p, a in own if a == k]] * directions[:, k, None] for k in (0, 1, 2)]
            made.append(torch.cat(parts, dim=1))  # parents are listed x first, then y, then z
        return torch.cat(made, dim=1)

    def multinomials(self) -> list[int]:
        """l!/(a! b! c!) of each x^a y^b z^c: how often it stands among the products of l components."""
        return [factorial(sum(p)) // prod(map(factorial, p)) for p in self.powers]

    def derivatives(self) -> Tensor:
        """What turns monomials into their derivatives by x, y and z, `[monomials, monomials, 3]`, in float64."""
        place = {power: k for k, power in enumerate(self.powers)}
        made = torch.zeros((len(place), len(place), 3), dtype=torch.float64)
        for k, power in enumerate(self.powers):
            for axis in (0, 1, 2):
                if power[axis]:
                    below = (*power[:axis], power[axis] - 1, *power[axis + 1 :])
                    made[place[below], k, axis] = power[axis]  # type: ignore[index]
        return made
