"""Attention of each atom to all atoms of its system, at a cost linear in their number."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from adiabat.geometry import Graph, System

FLOOR = 1e-4
"""Added to the features of queries and keys, which keeps the weights positive."""
SHARPNESS = 1e-4
"""Width of the range in which the largest keys of two atoms count as equal."""


class LinearAttention(nn.Module):
    """y_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j), j over the atoms of i's system, i included.

    φ are positive orthogonal random features (FAVOR+, arXiv:2009.14794), so that
    φ(q)·φ(k) is about exp(q·k/√d). They have the form exp(u − h − max u) + floor, with the largest u of a query and,
    for keys, of all keys of the system. Where the largest of several atoms agree within `SHARPNESS`, as in atoms that
    symmetry makes equal, their weighted mean stands for it: the derivative is then shared by all of them.

    Args:
        channels: of queries, keys and values, d.
        features: random features.
        guard: added to the mean over features of the sum below the fraction.
    """

    directions: Tensor

    def __init__(self, channels: int, features: int, guard: float = 0.0):
        super().__init__()
        self.guard = guard * features
        self.register_buffer("directions", random_directions(channels, features))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, graph: Graph) -> Tensor:
        """Answers `[atoms, channels]` from queries, keys and values `[atoms, channels]`.

        Faster and smaller with the graph's `members`.
        """
        system = graph.system
        u_q, h_q = self._exponents(queries)
        u_k, h_k = self._exponents(keys)
        largest = soft_largest(u_k.amax(dim=1), system).index_select(0, system.system)
        phi_q = torch.exp(u_q - h_q - u_q.amax(dim=1, keepdim=True)) + FLOOR
        phi_k = torch.exp(u_k - h_k - largest[:, None]) + FLOOR
        norm = (phi_q * system.sum_over_atoms(phi_k).index_select(0, system.system)).sum(dim=1, keepdim=True)
        return _answers(phi_q, phi_k, values, graph) / (norm + self.guard)

    def _exponents(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """u = ωᵀx / d^¼ `[atoms, features]` and h = |x|² / 2√d `[atoms, 1]`."""
        channels = vectors.shape[1]
        h = vectors.square().sum(dim=1, keepdim=True) / (2.0 * math.sqrt(channels))
        return vectors @ self.directions / channels**0.25, h


def _answers(phi_q: Tensor, phi_k: Tensor, values: Tensor, graph: Graph) -> Tensor:
    """Σ_j φ(q_i)·φ(k_j) v_j `[atoms, channels]`."""
    system, members = graph.system, graph.members
    if members is None:
        total = system.sum_over_atoms(phi_k[:, :, None] * values[:, None, :])  # [systems, features, channels]
        return torch.bmm(phi_q[:, None], total[system.system])[:, 0]
    total = members.contract(members.pad(phi_k)[:, None], members.pad(values)[:, None])
    asked = members.pad(phi_q).view(members.atoms, members.width, phi_q.shape[1])
    return torch.bmm(asked, total).flatten(0, 1).index_select(0, members.slot)


def soft_largest(values: Tensor, system: System) -> Tensor:
    """The largest value of each system `[systems]`; a mean of those that are within about `SHARPNESS` of it."""
    fixed = values.detach()
    largest = fixed.new_full((system.systems,), -torch.inf).scatter_reduce(0, system.system, fixed, "amax")
    weights = torch.exp((values - largest[system.system]) / SHARPNESS)
    return system.sum_over_atoms(weights * values) / system.sum_over_atoms(weights)


def random_directions(channels: int, features: int) -> Tensor:
    """`[channels, features]`: columns in orthogonal groups, with lengths as of vectors of normal numbers."""
    groups = []
    for _ in range(-(-features // channels)):
        q, r = torch.linalg.qr(torch.randn(channels, channels))
        groups.append(q * r.diagonal().sign())  # without the signs some directions would never be drawn
    lengths = torch.randn(features, channels).norm(dim=1)
    return torch.cat(groups, dim=1)[:, :features] * lengths
