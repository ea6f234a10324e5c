"""Smooth two-body embedding with all directions (L. Zhang et al., DeepPot-SE, arXiv:1805.09003).

| paper | here | shape |
|---|---|---|
| R̃_i, rows s(r), s x/r, s y/r, s z/r | `rows` | [pairs, 4] |
| G(s(r_ij)) | `embedded` | [pairs, M] |
| (1/N) G^T R̃ | `moments` | [atoms, 4, M] |
| D_i = G^T R̃ R̃^T G_< / N² | `from_vectors` | [atoms, M · M_<] |
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from adiabat.descriptors.embedded import EmbeddedConfig, EmbeddedDescriptor, number_of
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.neighbor_product import NeighborProduct, Path
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import tabulate
from adiabat.nn.grouped_networks import GroupedNetworks

NEAREST = 0.3  # Å, where tables begin; nearer pairs, which no data have, get the first polynomial
ROWS = 5  # the kernel knows 1, 3, 5 and 7: the fifth row is 0
Names = tuple[str, str]


class TwoBodySettings(EmbeddedConfig):
    """Options of embedding networks that read one neighbor."""

    embedding: tuple[int, ...] = Field(default=(25, 50, 100), min_length=1)
    """Widths of the embedding networks' layers; the last is M."""
    one_side: bool = False
    """Whether a network belongs to the neighbor's element alone, or to both elements."""
    exclude: tuple[Names, ...] = ()
    """Pairs of elements that do not see each other."""
    blank: tuple[Names, ...] = ()
    """Pairs of elements whose rows are 0 and take a slot: with a mean of s there is a jump at the cutoff."""


class SeE2ASettings(TwoBodySettings):
    """Options of the descriptor; the defaults are the paper's."""

    kind: Literal["se_e2_a"] = "se_e2_a"
    """Name of the descriptor."""
    axis: int = Field(default=4, ge=1)
    """M_<, columns of G kept in its second factor."""

    def build(self, elements: Iterable[int]) -> SeE2A:
        return SeE2A(self, elements)


class TwoBodyDescriptor(EmbeddedDescriptor):
    """Embedding networks of s, one for each element or pair of elements."""

    seen: Tensor
    kept: Tensor

    def __init__(self, options: TwoBodySettings, elements: Iterable[int]):
        super().__init__(options, elements)
        self.one_side = options.one_side
        count = self.kinds if options.one_side else self.kinds**2
        self.embedding = GroupedNetworks(count, (1, *options.embedding), options.activation, options.steps)
        self.register_buffer("seen", self._without("exclude", options.exclude), persistent=False)
        self.register_buffer("kept", self._without("blank", options.blank) * self.seen, persistent=False)

    def _without(self, option: str, pairs: Iterable[Names]) -> Tensor:
        """1 for all pairs of elements `[elements²]` but these."""
        table = torch.ones(self.kinds, self.kinds)
        for names in pairs:
            if not {number_of(name) for name in names} <= set(self.elements):
                raise ConfigError(f"{option} names {' and '.join(names)}, and not both are elements of the model.")
            a, b = (self.elements.index(number_of(name)) for name in names)
            table[a, b] = table[b, a] = 0.0
        return table.flatten()

    def near(self, vectors: Tensor, both: Tensor) -> Tensor:
        """1 for pairs within the cutoff that see each other `[pairs, 1]`; `both` is center · elements + neighbor."""
        inside = vectors.detach().square().sum(dim=1) < self.cutoff**2
        return (inside.to(vectors.dtype) * self.seen.index_select(0, both))[:, None]

    def embedded(self, s: Tensor, center: Tensor, neighbor: Tensor) -> Tensor:
        """G(s) `[n, M]` of `s [n]` between elements at these places `[n]`."""
        return self.embedding(s[:, None], neighbor if self.one_side else center * self.kinds + neighbor)

    def empty(self) -> tuple[Tensor, Tensor]:
        """s of an empty slot `[elements]` and its G by center and neighbor `[elements², M]`."""
        s, places = self.environment.empty(), torch.arange(self.kinds, device=self.slots.device)
        center, neighbor = places.repeat_interleave(self.kinds), places.repeat(self.kinds)
        return s, self.embedded(s.index_select(0, center), center, neighbor)


class SeE2A(TwoBodyDescriptor):
    """D_i = (G^T R̃)(R̃^T G_<) / N², invariant under rotation and permutation.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    def __init__(self, options: SeE2ASettings, elements: Iterable[int]):
        super().__init__(options, elements)
        width = options.embedding[-1]
        if options.axis > width:
            raise ConfigError(f"axis {options.axis} is more than the {width} columns of the embedding.")
        self.axis = options.axis
        self.sizes, self.vectors = (width * options.axis,) * self.kinds, width
        self.kernel: NeighborProduct | None = None

    def moments(self, vectors: Tensor, graph: Graph) -> Tensor:
        """R̃^T G / N `[atoms, 4, M]`; the last three rows turn with the atoms."""
        center, neighbor = self.ends(graph)
        both = center * self.kinds + neighbor
        near = self.near(vectors, both)
        rows = self.environment(vectors, center) * self.kept.index_select(0, both)[:, None]
        if self.kernel is None:
            embedded, hood = self.embedded(rows[:, 0], center, neighbor), graph.rows()
            sums = hood.contract(hood.pad((rows * near)[:, None]), hood.pad(embedded[:, None]))
        else:
            ones = rows.new_ones((graph.system.atoms, 1, self.kernel.channels))
            columns = functional.pad(rows * near, (0, ROWS - 4))
            pairs = PairIndex.of_graph(graph)
            sums = self.kernel([ones], columns, vectors.norm(dim=1), both, pairs)[0][:, :4]
        s, of_empty = self.empty()
        of_empty = of_empty * s.repeat_interleave(self.kinds)[:, None]
        table = of_empty.view(self.kinds, self.kinds, -1)
        element = self.element[graph.system.numbers]
        # an empty slot for each that is not taken
        place, count = graph.centers * self.kinds + neighbor, graph.system.atoms
        taken = near.new_zeros((count * self.kinds,)).index_add(0, place, near[:, 0]).view(count, self.kinds)
        first = torch.bmm((self.slots - taken)[:, None], table.index_select(0, element))
        return (sums + functional.pad(first, (0, 0, 0, 3))) / self.slots.sum()

    def freeze(self) -> None:
        """Replaces the embedding networks for good by tables of the distance, as a compressed model has them."""
        exact = copy.deepcopy(self).double()
        places = [(a, b) for a in range(self.kinds) for b in range(self.kinds)]
        tables = [tabulate(exact.of_distance(*ends), self.cutoff, NEAREST) for ends in places]
        width = self.size // self.axis
        dtype = self.slots.dtype
        self.kernel = NeighborProduct([1], [ROWS], [Path(0, 0)], width, [table.to(dtype) for table in tables])

    def of_distance(self, center: int, neighbor: int) -> Callable[[Tensor], Tensor]:
        """G between two elements as a function of the distance: `[n]` Å to `[n, M]`."""
        along = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)

        def function(r: Tensor) -> Tensor:
            a, b = torch.full_like(r, center).long(), torch.full_like(r, neighbor).long()
            return self.embedded(self.environment(r[:, None] * along, a)[:, 0], a, b)

        return function

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self.contracted(self.moments(vectors, graph))

    def with_vectors(self, graph: Graph) -> tuple[Tensor, Tensor]:
        moments = self.moments(graph.vectors(), graph)
        return self.contracted(moments), moments[:, 1:]

    def contracted(self, moments: Tensor) -> Tensor:
        """D `[atoms, M · M_<]` of the moments."""
        return torch.bmm(moments.transpose(1, 2), moments[:, :, : self.axis]).flatten(1)
