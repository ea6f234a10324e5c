"""The contractions of Gaussian moments as sums of products of two numbers, as `kernels/moment_tensors` walks them.

V. Zaverkin and J. Kästner, J. Chem. Theory Comput. 16, 5410 (2020), doi:10.1021/acs.jctc.0c00347; see the table of
`descriptors/gaussian_moments.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations_with_replacement, product

from adiabat.nn.monomials import Monomials

Term = tuple[int, int]
AXES = range(3)
PLANES = tuple(product(AXES, AXES))


class GaussianContractions:
    """All of the first few kinds. The first numbers are the moments' components, radial function by radial function.

    Args:
        n: number of radial functions.
        kinds: how many of the eight kinds of contractions.

    Attributes:
        products: (i, j, factor, k): number k gets factor times number i times number j.
        scalars: which numbers are the features.
        numbers: how many numbers there are.
    """

    def __init__(self, n: int, kinds: int = 8):
        self.place = {power: k for k, power in enumerate(Monomials(3).powers)}
        self.n, self.numbers = n, n * len(self.place)
        self.products: list[tuple[int, int, int, int]] = []
        both = list(combinations_with_replacement(range(n), 2))
        every: tuple[Callable[[], Iterator[int]], ...] = (
            lambda: (self._moment(s) for s in range(n)),
            *(lambda degree=degree: (self._squared(r, s, degree) for r, s in both) for degree in (1, 2, 3)),
            self._of_degree_two,
            lambda: (self._with(m, t) for r, s in both for m in [self._outer(r, s)] for t in range(n)),
            lambda: (self._with(m, t) for r, s in both for m in [self._cube(r, s)] for t in range(n)),
            self._mixed,
        )
        self.scalars = [made for kind in every[:kinds] for made in kind()]

    def _moment(self, s: int, *axes: int) -> int:
        """The number that is this component of a moment."""
        return s * len(self.place) + self.place[axes.count(0), axes.count(1), axes.count(2)]

    def _sum(self, terms: Iterable[Term]) -> int:
        """A new number, the sum of products; those that are alike are made once."""
        factors = Counter((min(term), max(term)) for term in terms)
        self.products += [(a, b, factor, self.numbers) for (a, b), factor in factors.items()]
        self.numbers += 1
        return self.numbers - 1

    def _squared(self, r: int, s: int, degree: int) -> int:
        return self._sum((self._moment(r, *axes), self._moment(s, *axes)) for axes in product(AXES, repeat=degree))

    def _matrix(self, terms: Callable[[int, int], Iterable[Term]]) -> list[int]:
        """Six numbers, each element on the diagonal and the sum of each two opposite ones of a matrix."""
        places = combinations_with_replacement(AXES, 2)
        return [self._sum(t for own in dict.fromkeys([(i, j), (j, i)]) for t in terms(*own)) for i, j in places]

    def _with(self, matrix: list[int], t: int) -> int:
        """Contracts a matrix with a moment of degree 2."""
        places = combinations_with_replacement(AXES, 2)
        return self._sum((made, self._moment(t, i, j)) for made, (i, j) in zip(matrix, places, strict=True))

    def _outer(self, r: int, s: int) -> list[int]:
        return self._matrix(lambda i, j: [(self._moment(r, i), self._moment(s, j))])

    def _cube(self, r: int, s: int) -> list[int]:
        return self._matrix(lambda k, l: [(self._moment(r, i, j, k), self._moment(s, i, j, l)) for i, j in PLANES])

    def _square(self, r: int, s: int) -> list[int]:
        return self._matrix(lambda j, k: [(self._moment(r, i, j), self._moment(s, i, k)) for i in AXES])

    def _of_degree_two(self) -> Iterator[int]:
        made = {(r, s): self._square(r, s) for r, s in combinations_with_replacement(range(self.n), 2)}
        for row in triples(self.n):
            r, s, t = sorted(row)
            yield self._with(made[r, s], t)

    def _mixed(self) -> Iterator[int]:
        for r, s in product(range(self.n), repeat=2):
            vector = [self._sum((self._moment(r, i, j, k), self._moment(s, i, j)) for i, j in PLANES) for k in AXES]
            for t in range(self.n):
                yield self._sum((made, self._moment(t, k)) for k, made in enumerate(vector))


def triples(n: int) -> list[tuple[int, int, int]]:
    """All r ≤ s ≤ t, up to their order, as the program lists them."""
    found = []
    for r in range(n):
        found.append((r, r, r))
        found += [(r, s, s) for s in range(n) if s != r]
        found += [(r, s, t) for s in range(r + 1, n) for t in range(s + 1, n)]
    return found
