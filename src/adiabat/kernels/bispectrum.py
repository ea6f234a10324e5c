"""Bispectrum components of SNAP in C++, a vector of atoms at a time, with their gradient and Jacobian.

Whatever is made of the components, the gradient costs one pass over the neighbors: the components' weights are first
contracted to the derivative by the atom's density, and the recursion that made a neighbor's share of it is then gone
through from its end (contracting first: R. Gayatri et al., "Rapid exploration of optimization
strategies on advanced architectures using TestSNAP and LAMMPS", 2020).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from adiabat.kernels.build import call, library, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.rows import AtomKernel

NAME = "bispectrum"
_LANES = {torch.float32: 16, torch.float64: 8}
Triple = tuple[int, int, int]
_Use = tuple[int, int, int, float]  # third channel, component, place among slopes, factor


@dataclass(frozen=True)
class DensityShape:
    """How neighbors make a density.

    Attributes:
        twojmax: 2J.
        angle: part of the half circle, and distance that is mapped to its beginning, Å.
        switching: whether neighbors fade outwards, whether inwards.
        pairs: cutoff, middle and half width of the inner switch of each two elements `[kinds, kinds, 3]`, Å.
        weights: of each element's atoms `[kinds]`.
        own: part of an atom itself in every density `[kinds, channels]`.
        channel: density that each element's atoms belong to `[kinds]`.
        norms: factors of the rows in the half order.
    """

    twojmax: int
    angle: tuple[float, float]
    switching: tuple[bool, bool]
    pairs: np.ndarray
    weights: np.ndarray
    own: np.ndarray
    channel: np.ndarray
    norms: np.ndarray


class Bispectrum(Kernel):
    """Rows of components, differentiable once in the pair vectors.

    Args:
        density: how neighbors make it.
        labels: (j1, j2, j), j2 ≤ j1 ≤ j, of each component of three channels.
        scale: factor of each `[labels]`.
        coupling: Clebsch-Gordan coefficients `[j + 1, j1 + 1]` of every (j1, j2, j) with j2 ≤ j1.
        lone: what is subtracted `[kinds, size]`.

    Raises CapabilityError if this machine has no compiler for it.
    """

    differentiable: ClassVar[int] = 1
    kept = 1

    def __init__(
        self,
        density: DensityShape,
        labels: Sequence[Triple],
        scale: np.ndarray,
        coupling: Mapping[Triple, np.ndarray],
        lone: np.ndarray,
    ):
        library(NAME)
        kinds, channels = density.own.shape
        self.size, self.half = lone.shape[1], channels * len(density.norms)
        self.lone = torch.from_numpy(np.ascontiguousarray(lone))
        blocks = {triple: place for place, triple in enumerate(coupling)}
        begins = np.cumsum([0, *(table.size for table in coupling.values())])
        uses = _Uses(labels, scale, channels, blocks)
        values, grads = uses.tables(uses.values), uses.tables(uses.slopes)
        self._counts = (
            kinds, channels, self.size, density.twojmax, len(values[0]) - 1, len(grads[0]) - 1, uses.width,
            density.switching[0] + 2 * density.switching[1],
        )  # fmt: skip
        real = (density.angle, density.pairs, density.weights, density.own, density.norms, lone)
        flat = np.concatenate([table.ravel() for table in coupling.values()])
        whole = [(*triple, begins[place]) for triple, place in blocks.items()]
        self._tables = [torch.tensor(np.asarray(t, dtype=np.float64)).contiguous() for t in (*real, flat)]
        self._tables += [torch.tensor(np.asarray(t, dtype=np.int32)).contiguous() for t in (density.channel, whole)]
        self._tables += [*values, *grads, *uses.places()]

    def __call__(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> Tensor:
        """Components `[atoms, size]`.

        Args:
            vectors: from center to neighbor `[pairs, 3]`, Å.
            kinds: each atom's element, a place `[atoms]`.
            pairs: from `PairIndex.of`.
        """
        return self.apply(vectors, kinds, pairs.neighbors, pairs.begins)[0]

    def jacobian(self, vectors: Tensor, kinds: Tensor, pairs: PairIndex) -> tuple[Tensor, Tensor]:
        """Components, and slopes of the center's by each vector `[pairs, size, 3]`, without gradient history."""
        inputs = [t.detach().contiguous() for t in (vectors, kinds, pairs.neighbors, pairs.begins)]
        values, kept = made = self.outputs(*inputs)
        self.run(inputs, made)
        slopes = values.new_empty((vectors.shape[0], self.size, 3))
        self._call("jacobian", inputs, kept, slopes)
        return values, slopes

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        atoms = inputs[1].shape[0]
        return [inputs[0].new_empty((atoms, self.size)), self._kept(inputs[0], atoms)]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self._call("forward", inputs, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *given, kept = inputs
        self._call("backward", given, kept, gradients[0], made[0])

    def _kept(self, vectors: Tensor, atoms: int) -> Tensor:
        lanes = _LANES[vectors.dtype]
        return vectors.new_empty(((atoms + lanes - 1) // lanes, 2 * self.half, lanes))

    def _call(self, function: str, inputs: Sequence[Tensor], *rest: Tensor) -> None:
        vectors, kinds, neighbors, begins = inputs
        dtype = same_type(vectors, *rest)
        call(
            NAME, function, dtype, len(kinds), *self._counts, begins, neighbors, kinds, *self._tables, vectors, *rest
        )


class LinearBispectrum(AtomKernel):
    """Energies that are linear in the components, which are never made themselves.

    Args:
        components: the kernel of the components.
        weights: `[kinds, size]`, eV.
        constants: energy of each element's atoms beside that `[kinds]`, eV.
    """

    def __init__(self, components: Bispectrum, weights: Tensor, constants: Tensor):
        self.components, self.weights = components, weights.detach().contiguous()
        lone = (components.lone * weights.detach().double()).sum(dim=1)
        self.constants = (constants.detach().double() - lone).to(weights.dtype)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        atoms = inputs[1].shape[0]
        return [inputs[0].new_empty((atoms,)), self.components._kept(inputs[0], atoms)]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        self.components._call("linear", inputs, self.weights, *made)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *given, kept = inputs
        self.components._call("linear_backward", given, kept, gradients[0], made[0])


class _Uses:
    """What is made of each product z of two levels and two channels: components, and slopes by the densities.

    With B = Σ conj(u_j) z_(j1 j2 → j), the slope by u_j is z, and those by u_j1 and u_j2 are (2j + 1)/(2j1 + 1)
    z_(j j2 → j1) and (2j + 1)/(2j2 + 1) z_(j j1 → j2): the symmetry of Clebsch-Gordan coefficients.
    """

    def __init__(self, labels: Sequence[Triple], scale: np.ndarray, channels: int, blocks: Mapping[Triple, int]):
        self.blocks, self.width = blocks, 0
        self.values: dict[Triple, list[_Use]] = defaultdict(list)
        self.slopes: dict[Triple, list[_Use]] = defaultdict(list)
        self._where: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        triples = [(a, b, c) for a in range(channels) for b in range(channels) for c in range(channels)]
        for rank, (e1, e2, e3) in enumerate(triples):
            for place, (j1, j2, j) in enumerate(labels):
                label, factor = rank * len(labels) + place, float(scale[place])
                self.values[self._key((j1, j2, j), e1, e2)].append((e3, label, 0, factor))
                self._slope((j1, j2, j), (e1, e2, e3), label, factor)
                self._slope((j, j2, j1), (e3, e2, e1), label, factor * (j + 1) / (j1 + 1))
                self._slope((j, j1, j2), (e3, e1, e2), label, factor * (j + 1) / (j2 + 1))

    def _key(self, levels: Triple, e1: int, e2: int) -> Triple:
        if levels[0] == levels[1] and e1 > e2:  # the product of two of one level is symmetric
            e1, e2 = e2, e1
        return self.blocks[levels], e1, e2

    def _slope(self, levels: Triple, channels: Triple, label: int, factor: float) -> None:
        where, own = self._where[label], (channels[2], levels[2])
        if own not in where:
            where[own] = self.width
            self.width += (levels[2] // 2 + 1) * (levels[2] + 1)
        uses = self.slopes[self._key(levels, channels[0], channels[1])]
        for place, (e3, other, offset, known) in enumerate(uses):
            if (e3, other) == (channels[2], label):
                uses[place] = (e3, other, offset, known + factor)
                return
        uses.append((channels[2], label, where[own], factor))

    @staticmethod
    def tables(uses: Mapping[Triple, list[_Use]]) -> list[Tensor]:
        """Groups, the last one empty, uses and their factors."""
        groups, rows, factors = [], [], []
        for key in sorted(uses):
            groups.append((*key, len(rows)))
            rows += [use[:3] for use in uses[key]]
            factors += [use[3] for use in uses[key]]
        groups.append((0, 0, 0, len(rows)))
        whole = [torch.tensor(table, dtype=torch.int32) for table in (groups, rows)]
        return [*whole, torch.tensor(factors, dtype=torch.float64)]

    def places(self) -> list[Tensor]:
        """Channel, level and offset of every slope, component by component, and where each component's begin."""
        rows = [[(*own, offset) for own, offset in self._where[label].items()] for label in sorted(self._where)]
        begins = np.cumsum([0, *(len(row) for row in rows)])
        flat = [row for own in rows for row in own]
        return [torch.tensor(flat, dtype=torch.int32), torch.tensor(begins, dtype=torch.int32)]
