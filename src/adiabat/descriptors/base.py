"""Descriptor: neighbors of each atom in, a row of numbers out, with the slopes that forces need."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.errors import CapabilityError
from adiabat.geometry import Graph
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.rows import AtomKernel
from adiabat.settings import Settings

ROWS = 64  # features whose slopes are made together, which bounds the memory of batched backward passes


class DescriptorConfig(Settings):
    """Base of every descriptor's configuration; `kind` names its page.

    Attributes:
        trained: whether the descriptor has parameters.
        projected: whether these belong to the elements of centers, so that the projection fitter can find them.
    """

    trained: ClassVar[bool] = False
    projected: ClassVar[bool] = True

    kind: str
    """Name of the descriptor."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Radius of the environments, Å."""

    def build(self, elements: Iterable[int]) -> Descriptor:
        """The descriptor for atoms of these atomic numbers."""
        raise NotImplementedError


class Descriptor(nn.Module):
    """Base of all descriptors.

    A page gives `from_vectors`; the slopes follow from it, and a page that knows a faster way overrides `jacobian`.
    One whose features depend on more than the neighbors (`lode`) gives `forward`, `links` and `jacobian` instead.

    Attributes:
        elements: atomic numbers it knows, ascending; an element's place here is its index.
        element: table from atomic number to place, see `element_index`.
        cutoff: Å.
        sizes: number of features of each element's atoms; rows of shorter ones are padded with zeros.
        projected: whether parameters, if there are any, belong to the elements of centers, see `tangents`.
        mirrored: False if features may differ between mirror images.
    """

    projected: ClassVar[bool] = True
    mirrored: ClassVar[bool] = True
    element: Tensor

    def __init__(self, elements: Iterable[int], cutoff: float):
        super().__init__()
        self.elements = tuple(sorted(int(z) for z in elements))
        self.cutoff = float(cutoff)
        self.sizes: tuple[int, ...] = ()
        self.register_buffer("element", element_index(self.elements), persistent=False)

    @property
    def size(self) -> int:
        """Width of the feature rows: the largest of `sizes`."""
        return max(self.sizes)

    @property
    def trained(self) -> bool:
        """Whether it has parameters, so that features cannot be made once for a whole fit."""
        return any(True for _ in self.parameters())

    def prepare(self, graph: Graph) -> Graph:
        """The graph with everything whose size depends on the data made beforehand, see `Potential.prepare`."""
        return graph

    def check(self, graph: Graph) -> None:
        """Refuses systems that it cannot describe."""

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets data-dependent constants from training graphs."""

    def freeze(self) -> None:
        """Makes it take its kernel, for good; it then reads `graph.layout`, a PairIndex. See `Potential.freeze`."""
        raise CapabilityError(f"{type(self).__name__} has no fast kernels.")

    def linear(self, weights: Tensor, constants: Tensor) -> AtomKernel | None:
        """Energies linear in the features, by a kernel that never makes these; None if the page has none.

        Args:
            weights: of each element's features `[elements, size]`, eV.
            constants: energy of each element's atoms beside that `[elements]`, eV.
        """
        return None

    def given(self, graph: Graph) -> tuple[Tensor, Tensor, PairIndex]:
        """What kernels take of a graph: pair vectors `[pairs, 3]`, Å, places of elements `[atoms]` and pairs."""
        return graph.vectors(), self.element[graph.system.numbers], PairIndex.of_graph(graph)

    def restricted(self, columns: Tensor) -> Descriptor | None:
        """A descriptor of only these features, if it costs less than all of them; else None.

        Args:
            columns: `[elements, n]` places among each element's features; −1 for a feature that is zero.
        """
        return None

    def groups(self) -> Tensor:
        """Numbers of the groups that features belong to, see `group_lasso` `[elements, size]`; −1 for padding.

        Here each is a feature's place, the same for all elements.
        """
        places = torch.arange(self.size).expand(len(self.elements), -1)
        return torch.where(places < torch.tensor(self.sizes)[:, None], places, -1)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        """Features `[atoms, size]` of a graph with these pair vectors `[pairs, 3]`, Å, differentiable in them."""
        raise NotImplementedError

    def forward(self, graph: Graph) -> Tensor:
        """Features `[atoms, size]`, differentiable with respect to positions and cell."""
        return self.from_vectors(graph.vectors(), graph)

    def links(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Centers and neighbors `[2, links]` and the vectors between them `[links, 3]`, Å, that features depend on.

        These are the graph's pairs, unless a page sees farther.
        """
        return graph.pairs, graph.vectors().detach()

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Features `[atoms, size]` and their slopes `[links, size, 3]`, Å⁻¹, without gradient history.

        The slopes of a link are those of its center's features with respect to the vector r_j − r_i, see `links`.
        """
        with torch.enable_grad():
            vectors = graph.vectors().detach().requires_grad_()
            values = self.from_vectors(vectors, graph)
            return values.detach(), slopes_of(values, vectors)

    def weighted(self, graph: Graph, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of each atom's features `[atoms]` and their slopes by pair vectors `[pairs, 3]`, Å⁻¹.

        Without gradient history; weights are those of each element `[elements, size]`.
        """
        with torch.enable_grad():
            sums, slopes = self._weighted(graph, weights, history=False)
        return sums.detach(), slopes.detach()

    def tangents(self, graph: Graph, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of what `weighted` gives by the parameters of the center's element.

        A descriptor with parameters has equally many for each element; in each of its tensors those of the first
        element come first. `own` is ordered by tensors.

        Returns:
            `[atoms, own]` and `[pairs, own, 3]`, own being the number of parameters over that of elements.

        Raises:
            CapabilityError: parameters belong to other atoms than the center too.
        """
        if not self.projected:
            raise CapabilityError(
                f"parameters of {type(self).__name__} do not belong to elements of centers: fit them by gradient."
            )
        parameters = list(self.parameters())
        with torch.enable_grad():
            sums, slopes = self._weighted(graph, weights, history=True)
            both = torch.cat((sums, slopes.flatten()))
            # what belongs to a center depends on its element's parameters alone, so that the same parameter of all
            # elements is one direction; derivatives along it are those of a vector-Jacobian product by its weights
            weights = torch.zeros_like(both, requires_grad=True)
            found = torch.autograd.grad(both, parameters, weights, create_graph=True)
            along = torch.cat([f.reshape(len(self.elements), -1) for f in found], dim=1).sum(dim=0)
            rows = both.new_zeros((len(along), len(both)))
            every = torch.eye(len(along), dtype=both.dtype, device=both.device)
            for begin in range(0, len(along), ROWS):
                wanted = every[begin : begin + ROWS]
                (rows[begin : begin + ROWS],) = torch.autograd.grad(
                    along, weights, wanted, retain_graph=True, is_grads_batched=True, materialize_grads=True
                )
        atoms = len(sums)
        return rows[:, :atoms].T, rows[:, atoms:].view(len(rows), -1, 3).transpose(0, 1)

    def _weighted(self, graph: Graph, weights: Tensor, history: bool) -> tuple[Tensor, Tensor]:
        vectors = graph.vectors().detach().requires_grad_()
        place = self.element[graph.system.numbers]
        sums = (self.from_vectors(vectors, graph) * weights.detach()[place]).sum(dim=1)
        (slopes,) = torch.autograd.grad(sums.sum(), vectors, create_graph=history, materialize_grads=True)
        return sums, slopes


def slopes_of(values: Tensor, inputs: Tensor) -> Tensor:
    """Slopes `[inputs, size, n]` of rows of values `[rows, size]`, each input `[inputs, n]` entering only one row."""
    slopes = inputs.new_zeros((inputs.shape[0], values.shape[1], inputs.shape[1]))
    if inputs.shape[0] and values.requires_grad:
        every = torch.eye(values.shape[1], dtype=values.dtype, device=values.device)
        for begin in range(0, values.shape[1], ROWS):
            wanted = every[begin : begin + ROWS, None, :].expand(-1, values.shape[0], -1)
            found = torch.autograd.grad(values, inputs, wanted, retain_graph=True, is_grads_batched=True)[0]
            slopes[:, begin : begin + ROWS] = found.transpose(0, 1)
    return slopes


def row_slopes(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Derivatives `[rows, size, ...]` of rows of values `[rows, size]` by each input `[n, ...]`.

    A row depends on one entry of every input, row r on entry r or, if there are more, r modulo n. The vector-Jacobian
    product is linear in its weights, so its own derivative with respect to them is that of all values at once.
    """
    with torch.enable_grad():
        inputs = tuple(x.detach().requires_grad_() for x in inputs)
        values = function(*inputs)
        weights = torch.zeros_like(values, requires_grad=True)
        products = torch.autograd.grad(values, inputs, weights, create_graph=True)
        found = []
        for product in products:
            columns = product.reshape(product.shape[0], math.prod(product.shape[1:])).sum(dim=0)
            rows = [torch.autograd.grad(column, weights, retain_graph=True)[0] for column in columns]
            found.append(torch.stack(rows, dim=-1).reshape(*values.shape, *product.shape[1:]))
        return found


def element_index(elements: Iterable[int]) -> Tensor:
    """Table from atomic number to place among `elements`, −1 for others `[119]`, longer for numbers above 118."""
    elements = list(elements)
    table = torch.full((max([118, *elements]) + 1,), -1, dtype=torch.int64)
    for place, number in enumerate(elements):
        table[number] = place
    return table


def pair_blocks(kinds: int) -> Tensor:
    """Places of unordered pairs a ≤ b of `kinds` elements in row order `[kinds, kinds]`."""
    table = torch.zeros((kinds, kinds), dtype=torch.int64)
    rows, columns = torch.triu_indices(kinds, kinds)
    table[rows, columns] = table[columns, rows] = torch.arange(len(rows))
    return table


def forces_from_slopes(slopes: Tensor, pairs: Tensor, atoms: int) -> Tensor:
    """Forces `[atoms, 3]`, eV/Å, from the energy's slopes with respect to pair vectors `[pairs, 3]`, eV/Å."""
    forces = slopes.new_zeros((atoms, 3))
    return forces.index_add(0, pairs[0], slopes).index_add(0, pairs[1], -slopes)


def virial_from_slopes(slopes: Tensor, vectors: Tensor, system: Tensor, systems: int) -> Tensor:
    """dE/dε `[systems, 3, 3]`, eV, of a symmetric strain ε; `system [pairs]` names each pair's system."""
    outer = vectors[:, :, None] * slopes[:, None, :]
    total = slopes.new_zeros((systems, 3, 3)).index_add(0, system, outer)
    return 0.5 * (total + total.transpose(1, 2))
