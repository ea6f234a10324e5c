"""Pairs, the short ones among them with features of their own, and angles between these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from adiabat.geometry import Bonds, Graph
from adiabat.nn.normalized_gated import NormalizedGatedMLP


@dataclass(frozen=True)
class BondEdges:
    """What all layers of CHGNet (doi:10.1038/s42256-023-00716-3) know about pairs, bonds and angles.

    Attributes:
        graph: the pairs, with halves and bonds.
        radial: basis times cutoff function `[halves, basis]`.
        weights: ẽ^a `[halves, channels]`.
        bond_weights: ẽ^b `[bonds, channels]`.
        angled: 1 for halves in systems that have angles, 0 elsewhere `[halves, 1]`; None where nobody asks.
        directed: whether each end of a bond has features of its own, so that "bonds" below are the ends.
    """

    graph: Graph
    radial: Tensor
    weights: Tensor
    bond_weights: Tensor
    angled: Tensor | None
    directed: bool = False

    @property
    def bonds(self) -> Bonds:
        """Of the graph."""
        assert self.graph.bonds is not None
        return self.graph.bonds

    @cached_property
    def angle_ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """The bond that an angle's message goes to, the other bond, the atom in the middle `[2 · angles]`."""
        first, second = self.bonds.ordered()
        middle = self.bonds.centers(self.graph.centers).index_select(0, first)
        if self.directed:  # the pair toward the atom in the middle gets the message
            return (first + self.bonds.count) % (2 * self.bonds.count), second, middle
        return first % self.bonds.count, second % self.bonds.count, middle

    @property
    def half_of(self) -> Tensor:
        """The half that each pair belongs to `[pairs]`."""
        assert self.graph.halves is not None
        return self.graph.halves.half_of

    @cached_property
    def bond_halves(self) -> Tensor:
        """The half that each bond is `[bonds]`."""
        return self.half_of.index_select(0, self.bonds.both.flatten() if self.directed else self.bonds.both[0])

    @cached_property
    def nowhere(self) -> Tensor:
        """The only row of a table of one row, for all pairs `[pairs]`."""
        return torch.zeros_like(self.graph.centers)

    @cached_property
    def rows(self) -> Tensor:
        """Numbers of the pairs `[pairs]`."""
        return torch.ones_like(self.graph.centers).cumsum(0) - 1

    def on_pairs(self, phi: NormalizedGatedMLP, v: Tensor, along: Tensor) -> Tensor:
        """φ of v_i, e_ij and v_j `[pairs, channels]`; `along` is `phi.part` of e_ij `[pairs, 2 · hidden]`."""
        graph = self.graph
        if phi.kernel is not None:
            first, second, nothing = phi.part(0, v), phi.part(2, v), along.new_zeros((1, along.shape[1]))
            return phi.kernel((first, second, nothing), (graph.centers, graph.neighbors, self.nowhere), along)
        return phi(graph.of_centers(phi.part(0, v)) + along + graph.of_neighbors(phi.part(2, v)))

    def on_angles(
        self, phi: NormalizedGatedMLP, v: Tensor, e: Tensor, a: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """φ of e_ij, e_ik, a_jik and v_i `[2 · angles, channels]`; with weights, their sums Σ_k ẽ_ij ẽ_ik φ."""
        first, second, middle = phi.part(0, e), phi.part(1, e), phi.part(3, v)
        if phi.kernel is not None:
            weights = torch.cat((weights, weights)) if self.directed and weights is not None else weights
            return phi.kernel((first, second, middle), self.angle_ends, phi.part(2, a), weights)
        i, j, k = self.angle_ends
        summed = first.index_select(0, i) + second.index_select(0, j) + middle.index_select(0, k)
        values = phi(summed + phi.part(2, a))
        if weights is None:
            return values
        bonds = self.bonds.count
        values = values * weights.index_select(0, i % bonds) * weights.index_select(0, j % bonds)
        return torch.zeros_like(e).index_add(0, i, values)
