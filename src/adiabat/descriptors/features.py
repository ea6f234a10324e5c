"""Features: a descriptor's values and slopes for some systems, computed once and used at every step of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from adiabat.descriptors.base import Descriptor, forces_from_slopes, virial_from_slopes
from adiabat.geometry import Graph


@dataclass(frozen=True)
class Features:
    """Descriptor values, their slopes, and what of the graph is needed to make forces and stress from them.

    Attributes:
        values: `[atoms, size]`.
        jacobian: `[pairs, size, 3]`, Å⁻¹, slopes of the center's values with respect to the pair vector.
        pairs: `[2, pairs]`, center and neighbor: the descriptor's `links`.
        vectors: `[pairs, 3]`, Å.
        numbers: `[atoms]`.
        system: `[atoms]`, the system each atom belongs to.
        volume: `[systems]`, Å³; NaN without periodicity.
    """

    values: Tensor
    jacobian: Tensor
    pairs: Tensor
    vectors: Tensor
    numbers: Tensor
    system: Tensor
    volume: Tensor

    def __len__(self) -> int:
        return len(self.volume)

    @classmethod
    def batch(cls, parts: Sequence[Features]) -> Features:
        """Several as one, in order."""
        if len(parts) == 1:
            return parts[0]
        pairs, system, atoms, systems = [], [], 0, 0
        for part in parts:
            pairs.append(part.pairs + atoms)
            system.append(part.system + systems)
            atoms, systems = atoms + len(part.numbers), systems + len(part)
        joined = {
            name: torch.cat([getattr(p, name) for p in parts])
            for name in ("values", "jacobian", "vectors", "numbers", "volume")
        }
        return cls(pairs=torch.cat(pairs, dim=1), system=torch.cat(system), **joined)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Features:
        """A copy on another device or with another floating-point type."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = value.to(device, dtype if value.is_floating_point() else None)
        return Features(**moved)

    def sum_over_atoms(self, values: Tensor) -> Tensor:
        """Sums `[atoms]` to `[systems]`."""
        return values.new_zeros(len(self)).index_add(0, self.system, values)

    def pair_slopes(self, slopes: Tensor) -> Tensor:
        """dE/dr of each pair vector `[pairs, 3]` from dE/dG `[atoms, size]`."""
        return torch.bmm(slopes[self.pairs[0]][:, None, :], self.jacobian)[:, 0, :]

    def forces(self, pair_slopes: Tensor) -> Tensor:
        """`[atoms, 3]`, eV/Å."""
        return forces_from_slopes(pair_slopes, self.pairs, len(self.numbers))

    def stress(self, pair_slopes: Tensor) -> Tensor:
        """`[systems, 3, 3]`, eV/Å³, tension positive; NaN without periodicity."""
        system = self.system[self.pairs[0]]
        virial = virial_from_slopes(pair_slopes, self.vectors, system, len(self))
        volume = self.volume[:, None, None]
        # NaN is chosen after the division: dividing by it would make the weights' gradient NaN in mixed batches
        return torch.where(volume.isnan(), volume, virial / volume.nan_to_num(1.0))


def describe(descriptor: Descriptor, graph: Graph) -> Features:
    """Values and slopes of a descriptor for a graph, without gradient history."""
    values, jacobian = descriptor.jacobian(graph)
    pairs, vectors = descriptor.links(graph)
    system = graph.system
    volume = torch.where(system.pbc.any(dim=1), system.volume, torch.full_like(system.volume, float("nan")))
    return Features(values, jacobian, pairs, vectors, system.numbers, system.system, volume)
