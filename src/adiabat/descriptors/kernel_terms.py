"""Sums of kernels over the pairs, triplets or environments of an atom: the columns that Gaussian processes add up.

A. P. Bartók, M. C. Payne, R. Kondor and G. Csányi, Phys. Rev. Lett. 104, 136403 (2010),
doi:10.1103/PhysRevLett.104.136403; the sum of several processes as in doi:10.1002/qua.24927 and
doi:10.1103/PhysRevB.95.094203.

| symbol | here | shape, unit |
|---|---|---|
| q of a pair, triplet or atom | `Instances.values` | [instances, size] |
| f of it (cutoff functions) | `Instances.weights` | [instances], 1 |
| sparse points q_s, f_s | `points`, `cutoffs` | [count, size], [count] |
| δ² Σ f k(q, q_s) f_s of an atom | `KernelTerm.from_vectors` | [atoms, count], eV² |
| δ² f_s k(q_s, q_t) f_t | `KernelTerm.covariance` | [count, count], eV² |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.gaussian_process import choose
from adiabat.settings import Settings

JITTER = 1e-10  # on the diagonal of a term's covariance, relative to its mean
SAMPLE = 20_000  # instances among which points are chosen by CUR


class KernelTermConfig(Settings):
    """Base of the options of one process; `kind` names it."""

    kind: str
    """Name of the term."""
    delta: float = Field(default=1.0, gt=0.0)
    """δ: size of the energies it explains, eV."""
    points: int = Field(default=20, ge=1)
    """Sparse points."""
    selection: Literal["cur", "uniform", "random"] = "cur"
    """How they are chosen among training instances: cur; uniform, on a grid over the range; random."""

    def terms(self, elements: Sequence[int]) -> list[KernelTermConfig]:
        """The options for every combination of these elements, or just these if they name theirs."""
        raise NotImplementedError

    def build(self, elements: Sequence[int]) -> KernelTerm:
        """The process, of options that name elements."""
        raise NotImplementedError


@dataclass(frozen=True)
class Instances:
    """What a process takes as its inputs.

    Attributes:
        values: `[instances, size]`.
        weights: `[instances]`; 0 where an instance does not count.
        owner: `[instances]`, the atom whose energy it is part of.
    """

    values: Tensor
    weights: Tensor
    owner: Tensor


class KernelTerm(Descriptor):
    """Columns of one process; pages give `instances`, and `kernel` where it is not the squared exponential.

    Args:
        config: options.
        elements: atomic numbers that it may meet.
        cutoff: Å.
        size: of an instance.

    Attributes:
        points: `[count, size]`.
        cutoffs: f_s `[count]`; 0 for a point that is not used.
        theta: length scale of each component `[size]`.
    """

    points: Tensor
    cutoffs: Tensor
    theta: Tensor

    def __init__(self, config: KernelTermConfig, elements: Iterable[int], cutoff: float, size: int):
        super().__init__(elements, cutoff)
        self.config = config
        self.sizes = (config.points,) * len(self.elements)
        self.register_buffer("points", torch.zeros((config.points, size)))
        self.register_buffer("cutoffs", torch.zeros(config.points))
        self.register_buffer("theta", torch.ones(size))

    def instances(self, vectors: Tensor, graph: Graph) -> Instances:
        """The inputs, differentiable in pair vectors `[pairs, 3]`, Å."""
        raise NotImplementedError

    def kernel(self, values: Tensor, points: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """k(q, q_s) `[n, count]` with points, and a, b `[n, count]` with ∂k/∂q = (a · q_s + b · q) / θ²."""
        x, points = values / theta, points / theta
        square = x.square().sum(dim=1, keepdim=True) - 2.0 * x @ points.T + points.square().sum(dim=1)
        found = torch.exp(-0.5 * square)
        return found, found, -found

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        made = self.instances(vectors, graph)
        found = (
            self.kernel(made.values, self.points, self.theta)[0]
            * made.weights[:, None]
            * (self.config.delta**2 * self.cutoffs)
        )
        return found.new_zeros((graph.system.atoms, found.shape[1])).index_add(0, made.owner, found)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Chooses the sparse points and length scales; none without training instances: the process stays zero."""
        with torch.no_grad():
            every = [self.instances(g.vectors(), self.prepare(g)) for g in graphs]
        weights = torch.cat([one.weights for one in every]).double()
        rows = torch.cat([one.values for one in every]).double()[weights > 0]
        weights = weights[weights > 0]
        self.points.zero_()
        self.cutoffs.zero_()
        if not len(rows):
            return
        rows, first = _distinct(rows)
        self.theta.copy_(self.length_scales(rows))
        points, cutoffs = self._chosen(rows, weights[first])
        self.points[: len(points)] = points.to(self.points)
        self.cutoffs[: len(points)] = cutoffs.to(self.cutoffs)

    def length_scales(self, rows: Tensor) -> Tensor:
        """θ `[size]` for training instances."""
        return torch.ones_like(self.theta)

    def _chosen(self, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.selection == "uniform":
            if rows.shape[1] != 1:
                raise ConfigError(f"selection 'uniform' is for one-dimensional terms, and {self.config} is not.")
            grid = torch.linspace(float(rows.min()), float(rows.max()), self.config.points, dtype=rows.dtype)
            grid = grid[:, None]
            return grid, weights[torch.cdist(grid, rows).argmin(dim=1)]
        few = choose(rows, SAMPLE, "random") if len(rows) > SAMPLE else torch.arange(len(rows))
        if self.config.selection == "random" or len(few) <= self.config.points:
            kept = few[: self.config.points]
        else:  # with so few dimensions as a pair or triplet has, leverage is that of the kernel's columns
            within = rows[few]
            if rows.shape[1] < self.config.points:
                within = self._kernel_rows(within)
            kept = few[choose(within, self.config.points, "cur")]
        return rows[kept], weights[kept]

    def _kernel_rows(self, rows: Tensor) -> Tensor:
        """Kernels `[n, m]` of rows with some of themselves."""
        some = rows[choose(rows, 4 * self.config.points, "random")]
        return self.kernel(rows, some, self.theta.to(rows))[0]

    def covariance(self) -> Tensor:
        """δ² f_s k(q_s, q_t) f_t `[count, count]`, float64; 1 on the diagonal of points that are not used."""
        points = self.points.double()
        found = self.kernel(points, points, self.theta.double())[0]
        size = self.config.delta * self.cutoffs.double()
        found = 0.5 * (found + found.T) * size * size[:, None]
        used = (self.cutoffs != 0).double()
        jitter = JITTER * float(found.diagonal().sum() / used.sum().clamp(min=1.0))
        return found + torch.diag(jitter * used + (1.0 - used))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class LocalKernelTerm(KernelTerm):
    """A process of few numbers that belong to one or two pairs, whose slopes follow from those of the numbers."""

    def freeze(self) -> None:
        """Nothing: its few numbers cost little beside a SOAP's."""

    def ends(self, graph: Graph) -> tuple[Tensor, ...]:
        """The pairs that each instance depends on, `[instances]` for each."""
        raise NotImplementedError

    def measure(self, *vectors: Tensor) -> tuple[Tensor, Tensor]:
        """q `[instances, size]` and cutoff functions `[instances]` from the instances' pair vectors, each
        `[instances, 3]`."""
        raise NotImplementedError

    def counts(self, graph: Graph, *ends: Tensor) -> Tensor:
        """How often each instance counts `[instances]`."""
        raise NotImplementedError

    def instances(self, vectors: Tensor, graph: Graph) -> Instances:
        ends = self.ends(graph)
        values, weights = self.measure(*(vectors.index_select(0, end) for end in ends))
        weights = weights * self.counts(graph, *ends).to(weights.dtype)
        return Instances(values, weights, graph.centers.index_select(0, ends[0]))

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        ends = self.ends(graph)
        with torch.no_grad():  # those that do not count are left out, which only eager code can do
            count = self.counts(graph, *ends)
            _, cut = self.measure(*(graph.vectors().index_select(0, end) for end in ends))
            kept = (count.to(cut.dtype) * cut != 0).nonzero()[:, 0]
        ends, count = tuple(end[kept] for end in ends), count[kept]
        with torch.enable_grad():
            own = [graph.vectors()[end].detach().requires_grad_() for end in ends]
            values, weights = self.measure(*own)
            outputs = [*values.unbind(1), weights]
            slopes = [torch.autograd.grad(o.sum(), own, retain_graph=True, allow_unused=True) for o in outputs]
        values, weights = values.detach(), weights.detach()
        scale = self.config.delta**2 * self.cutoffs
        found, a, b = self.kernel(values, self.points, self.theta)
        rows = graph.vectors().new_zeros((graph.pairs.shape[1], self.size, 3))
        by_value = a[:, :, None] * self.points + b[:, :, None] * values[:, None, :]
        by_value = by_value / self.theta.square() * (weights * count.to(weights))[:, None, None]
        for place, end in enumerate(ends):
            each = [s[place] if s[place] is not None else torch.zeros_like(own[place]) for s in slopes]
            along = by_value @ torch.stack(each[:-1], dim=1)
            along = along + (found * count.to(found)[:, None])[:, :, None] * each[-1][:, None, :]
            rows.index_add_(0, end, along * scale[:, None])
        sums = found * (weights * count.to(weights))[:, None] * scale
        owner = graph.centers[ends[0]]
        return sums.new_zeros((graph.system.atoms, self.size)).index_add(0, owner, sums), rows


class KernelTerms(Descriptor):
    """Columns of several processes one after the other.

    Args:
        terms: the processes.
        elements: atomic numbers.
    """

    def __init__(self, terms: Sequence[KernelTerm], elements: Iterable[int]):
        super().__init__(elements, max(term.cutoff for term in terms))
        self.terms = nn.ModuleList(terms)
        self.sizes = (sum(term.size for term in terms),) * len(self.elements)

    @property
    def members(self) -> tuple[KernelTerm, ...]:
        """The processes."""
        return tuple(self.terms)  # type: ignore[return-value]

    def prepare(self, graph: Graph) -> Graph:
        for term in self.members:
            graph = term.prepare(graph)
        return graph

    def adapt(self, graphs: Sequence[Graph]) -> None:
        for term in self.members:
            term.adapt(graphs)

    def freeze(self) -> None:
        for term in self.members:
            term.freeze()

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return torch.cat([term.from_vectors(vectors, graph) for term in self.members], dim=1)

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        graph = self.prepare(graph)
        found = [term.jacobian(graph) for term in self.members]
        return torch.cat([values for values, _ in found], dim=1), torch.cat([slopes for _, slopes in found], dim=1)


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows without repeats to ten digits, and the place of the first of each."""
    size = rows.abs().max().clamp(min=1e-300)
    _, inverse = torch.unique((rows / size * 1e10).round(), dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(rows)).scatter_reduce(
        0, inverse, torch.arange(len(rows)), "amin"
    )
    return rows[first], first
