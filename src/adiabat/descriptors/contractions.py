"""Contractions of moment tensors to invariants, and the shortest lists of products found that evaluate them.

A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183: a contraction is a graph whose
vertices are moments M_{μ,ν} and whose edges are contracted indices, so that a vertex has ν edges. The level of a
moment is 2 + 4μ + ν, that of a contraction the sum over its moments (I. S. Novikov et al., Mach. Learn. Sci. Technol.
2, 025002 (2021), doi:10.1088/2632-2153/abc9fe). As in MLIP-2's files, at most four moments are contracted, with μ ≤ 5
and ν ≤ 10.

A contraction is evaluated as a product of two parts, each of fewer moments with some indices left open, and so on.
Moments are symmetric, so the open indices of a vertex are counted by direction, and parts that are equal up to the
order of their vertices are made once. Of the ways to cut a graph the one with the fewest new products is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, combinations_with_replacement, groupby, permutations, product
from math import factorial

from adiabat.errors import ConfigError

COUNTS = dict(zip(range(2, 30, 2), (1, 2, 5, 9, 16, 29, 52, 92, 163, 288, 500, 864, 1464, 2445), strict=True))
"""Number of contractions up to each level."""
MOST_MOMENTS, MOST_RADIAL, MOST_RANK = 4, 5, 10  # the limits of MLIP-2's files

Basic = tuple[int, int, int, int]
"""μ and the powers of x, y and z: one component of a moment."""
Vertex = tuple[int, int, int, int, int]
"""μ, ν and how many open indices point along x, y and z."""
Part = tuple[tuple[Vertex, ...], tuple[int, ...]]
"""Vertices in canonical order and the number of edges between each two of them (0-1, 0-2 ... 1-2 ...)."""
Terms = Mapping[tuple[Part, Part], int]


@dataclass(frozen=True)
class Contractions:
    """How to make all invariants of a level.

    Attributes:
        basic: components of moments `[basic]`, (μ, n_x, n_y, n_z).
        products: (i, j, factor, k): number k gets factor times number i times number j, in order of k.
        scalars: which numbers are the invariants, ordered by their number of moments, level and graph.
        stages: how many numbers there are after the basic ones, after those made of these alone, and so on.
    """

    basic: tuple[Basic, ...]
    products: tuple[tuple[int, int, int, int], ...]
    scalars: tuple[int, ...]
    stages: tuple[int, ...]

    @property
    def moments(self) -> int:
        """How many numbers there are."""
        return self.stages[-1]

    @property
    def radial(self) -> int:
        """Number of radial functions, the largest μ + 1."""
        return 1 + max(b[0] for b in self.basic)


@lru_cache(maxsize=4)
def contractions(level: int) -> Contractions:
    """The contractions up to a level, 2 to 28. Raises ConfigError for another one."""
    if level not in COUNTS:
        raise ConfigError(f"level {level} is not one of {', '.join(map(str, COUNTS))}.")
    graphs = sorted(_graphs(level), key=lambda g: (len(g[0]), _level(g), g))
    plan = _Plan()
    for graph in graphs:
        plan.add(graph)
    radial = {v[0] for g in graphs for v in g[0]}
    most = {mu: max(v[1] for g in graphs for v in g[0] if v[0] == mu) for mu in radial}
    basic = [
        (mu, x, n - x - z, z)
        for mu in sorted(radial)
        for n in range(most[mu] + 1)
        for x in range(n, -1, -1)
        for z in range(n - x + 1)
    ]
    place: dict[Part, int] = {(((mu, x + y + z, x, y, z),), ()): k for k, (mu, x, y, z) in enumerate(basic)}
    depth = dict.fromkeys(place, 0)
    for part, terms in plan.made.items():
        depth[part] = 1 + max(depth[p] for pair in terms for p in pair)
    products, stages = [], [len(basic)]
    for stage in range(1, 1 + max(depth.values())):
        for part in (p for p in plan.made if depth[p] == stage):
            place[part] = len(place)
            terms = plan.made[part]
            products += [(place[a], place[b], factor, place[part]) for (a, b), factor in terms.items()]
        stages.append(len(place))
    scalars = tuple(place[g] for g in graphs)  # in an order that saved weights can rely on, however they are made
    return Contractions(tuple(basic), tuple(products), scalars, tuple(stages))


def _level(graph: Part) -> int:
    return sum(2 + 4 * v[0] + v[1] for v in graph[0])


def _graphs(level: int) -> Iterator[Part]:
    """Every contraction up to a level once."""
    moments = [(mu, nu) for mu in range(MOST_RADIAL + 1) for nu in range(MOST_RANK + 1) if 2 + 4 * mu + nu <= level]
    for count in range(1, MOST_MOMENTS + 1):
        for chosen in combinations_with_replacement(moments, count):
            total = sum(nu for _, nu in chosen)
            if total % 2 or sum(2 + 4 * mu for mu, _ in chosen) + total > level:
                continue
            vertices = [(mu, nu, 0, 0, 0) for mu, nu in chosen]
            yield from {_canonical(vertices, edges) for edges in _edges([nu for _, nu in chosen])}


def _edges(degrees: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Numbers of edges between each two vertices with which every vertex has its degree."""
    if len(degrees) == 1:
        if degrees[0] == 0:
            yield ()
        return
    first, *rest = degrees
    for own in product(*(range(min(first, d) + 1) for d in rest)):
        if sum(own) == first:
            for more in _edges([d - e for d, e in zip(rest, own, strict=True)]):
                yield own + more


def _canonical(vertices: Sequence[Vertex], edges: Sequence[int]) -> Part:
    """The same part with its vertices in an order that does not depend on the one given."""
    count = len(vertices)
    if count == 1:
        return tuple(vertices), ()
    order = sorted(range(count), key=vertices.__getitem__)
    ranked = tuple(vertices[k] for k in order)
    runs = [list(g) for _, g in groupby(order, key=vertices.__getitem__)]
    if len(runs) == count:
        return ranked, _reordered(edges, order)
    orders = product(*(permutations(run) for run in runs))
    return ranked, min(_reordered(edges, [k for run in o for k in run]) for o in orders)


_PLACES = {n: {pair: k for k, pair in enumerate(combinations(range(n), 2))} for n in range(1, MOST_MOMENTS + 1)}


def _reordered(edges: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    places = _PLACES[len(order)]
    return tuple(edges[places[(a, b) if a < b else (b, a)]] for a, b in combinations(order, 2))


class _Plan:
    """Products made so far, in an order in which they can be evaluated."""

    def __init__(self) -> None:
        self.made: dict[Part, Terms] = {}

    def add(self, graph: Part) -> None:
        """Whatever it takes to evaluate a contraction."""
        self.made.update(self._cheapest([graph], {}))

    def _cheapest(self, parts: Iterable[Part], pending: Mapping[Part, Terms]) -> dict[Part, Terms]:
        """New products for parts that differ in the directions of their open indices alone."""
        missing = [p for p in parts if len(p[0]) > 1 and p not in self.made and p not in pending]
        if not missing:
            return {}
        best, fewest = None, 0
        cuts = [{part: _terms(part, side) for part in missing} for side in _cuts(len(missing[0][0]))]
        for own in sorted(cuts, key=lambda cut: sum(map(len, cut.values()))):
            count = sum(map(len, own.values()))
            if best is not None and count >= fewest:
                break
            found: dict[Part, Terms] = {}
            for k in (0, 1):
                wanted = {pair[k] for terms in own.values() for pair in terms}
                for _, same in groupby(sorted(wanted, key=_shape), key=_shape):
                    found.update(self._cheapest(sorted(same), {**pending, **found}))
            count += sum(map(len, found.values()))
            if best is None or count < fewest:
                best, fewest = found | own, count
        assert best is not None
        return best


def _shape(part: Part) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    return tuple((v[0], v[1]) for v in part[0]), part[1]


def _cuts(count: int) -> Iterator[tuple[int, ...]]:
    """One side of every way to cut vertices in two."""
    for size in range(1, count // 2 + 1):
        for side in combinations(range(count), size):
            if 2 * size < count or 0 in side:
                yield side


def _terms(part: Part, side: Sequence[int]) -> dict[tuple[Part, Part], int]:
    """The part as a sum of products of its two sides, with the number of times that each product occurs."""
    vertices, edges = part
    places = _PLACES[len(vertices)]
    other = [k for k in range(len(vertices)) if k not in side]
    across = [(a, b, edges[places[min(a, b), max(a, b)]]) for a in side for b in other]
    across = [bundle for bundle in across if bundle[2]]
    inner = [tuple(edges[places[pair]] for pair in combinations(own, 2)) for own in (side, other)]
    found: dict[tuple[Part, Part], int] = {}
    for chosen in product(*(_directions(n) for _, _, n in across)):
        open_ = [list(v) for v in vertices]
        factor = 1
        for (a, b, _), (x, y, z, ways) in zip(across, chosen, strict=True):
            factor *= ways
            for k in (a, b):
                open_[k][2] += x
                open_[k][3] += y
                open_[k][4] += z
        first, second = (
            _canonical([tuple(open_[k]) for k in own], within)  # type: ignore[misc]
            for own, within in zip((side, other), inner, strict=True)
        )
        pair = (first, second) if first <= second else (second, first)
        found[pair] = found.get(pair, 0) + factor
    return found


@lru_cache(maxsize=32)
def _directions(count: int) -> tuple[tuple[int, int, int, int], ...]:
    """Powers of x, y and z that equal indices can have together, with the number of ways they can."""
    out = []
    for x in range(count, -1, -1):
        for y in range(count - x, -1, -1):
            z = count - x - y
            out.append((x, y, z, factorial(count) // (factorial(x) * factorial(y) * factorial(z))))
    return tuple(out)
