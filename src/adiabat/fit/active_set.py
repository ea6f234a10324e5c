"""Active sets: the training environments that span all others, and how far a new one lies outside of them.

E. V. Podryabinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017), doi:10.1016/j.commatsci.2017.08.031: of all
rows b of derivatives of an environment's energy with respect to the parameters, those are kept whose matrix A has the
largest volume |det A|. The grade of an environment is the largest of |b A⁻¹|: up to 1 its energy is interpolated, and
the larger the grade, the farther it is extrapolated. As in MLIP-2 the rows have columns for linear weights and, where
the descriptor is trained, for its parameters (the linearized basis); with `linear` for the weights alone.

The matrix begins as a small multiple of the identity, so that directions that no environment has count as foreign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.described import DescribedPotential
from adiabat.errors import CapabilityError
from adiabat.geometry import Graph
from adiabat.nn.heads import LinearHead, LinearInWeights
from adiabat.potential import Potential, Referenced

Basis = Literal["linearized", "linear"]
FOREIGN = 1e-6  # of the identity, against columns whose mean square is 1


@dataclass
class ActiveSet:
    """The chosen rows of one potential.

    Attributes:
        potential: whose parameters the columns belong to.
        basis: which parameters have columns.
        sizes: what columns are divided by `[columns]`.
        inverse: A⁻¹ `[columns, columns]`.
        owners: for each row of A the frame it is from, −1 for one of the identity.
        tolerance: a row takes the place of another if it makes the volume larger by more than this part.
    """

    potential: Potential
    basis: Basis
    sizes: Tensor
    inverse: Tensor
    owners: Tensor
    tolerance: float = 1e-3

    @classmethod
    def of(
        cls, potential: Potential, frames: Dataset, basis: Basis = "linearized", tolerance: float = 1e-3
    ) -> ActiveSet:
        """The active set of the environments in these frames.

        Args:
            potential: linear in the features of a descriptor; fitted, because derivatives depend on the weights.
            frames: at least one; afterwards no environment in them has a grade above 1 + tolerance.
            basis: linearized or linear.
            tolerance: where the search ends.

        Raises:
            CapabilityError: the potential is not linear in the features of a descriptor.
        """
        rows, owners = _all_rows(potential, frames, range(len(frames)), basis)
        sizes = rows.square().mean(dim=0).sqrt()
        sizes = torch.where(sizes > 0, sizes, torch.ones_like(sizes))
        start = torch.eye(rows.shape[1], dtype=torch.float64) / FOREIGN
        empty = torch.full((rows.shape[1],), -1)
        made = cls(potential, basis, sizes, start, empty, tolerance)
        made.add(rows / sizes, owners)
        return made

    def grades(self, graph: Graph) -> Tensor:
        """Extrapolation grade of every atom `[atoms]`; that of a structure is the largest of its atoms'."""
        return (environment_rows(self.potential, graph, self.basis) / self.sizes @ self.inverse).abs().amax(dim=1)

    def select(self, frames: Dataset, threshold: float = 2.0) -> list[int]:
        """Frames of a pool that are worth labeling, in order: those whose environments join the active set.

        The set takes them in, so that a second call with the same pool selects nothing.

        Args:
            frames: the pool; labels are not needed.
            threshold: grade above which an environment may join, at least 1.
        """
        rows, owners = _all_rows(self.potential, frames, range(len(frames)), self.basis)
        rows = rows / self.sizes
        far = (rows @ self.inverse).abs().amax(dim=1) > threshold
        return sorted(set(self.add(rows[far], owners[far]).tolist()))

    def add(self, rows: Tensor, owners: Tensor) -> Tensor:
        """Exchanges rows of A for these `[n, columns]` while its volume grows; owners of those that stayed."""
        found = rows @ self.inverse
        joined = torch.full_like(self.owners, -1)
        while found.numel():
            place = int(found.abs().argmax())
            row, column = divmod(place, found.shape[1])
            if float(found[row, column].abs()) <= 1.0 + self.tolerance:
                break
            step = found[row].clone()
            step[column] -= 1.0
            step /= found[row, column]
            self.inverse = self.inverse - torch.outer(self.inverse[:, column], step)
            found = found - torch.outer(found[:, column], step)
            joined[column] = owners[row]
        self.owners = torch.where(joined >= 0, joined, self.owners)
        return joined[joined >= 0].unique()


def environment_rows(potential: Potential, graph: Graph, basis: Basis = "linearized") -> Tensor:
    """Derivatives of every atom's energy with respect to the parameters `[atoms, columns]`, float64.

    Raises CapabilityError if the potential is not linear in the features of a descriptor.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, DescribedPotential) or not isinstance(model.head, LinearInWeights):
        raise CapabilityError(f"{type(model).__name__} is not linear in features, as an active set needs it to be.")
    head, trained = model.head, model.descriptor.trained and basis == "linearized"
    if trained and not isinstance(head, LinearHead):
        raise CapabilityError("a linearized active set needs a linear regressor above a trained descriptor.")
    graph = model.descriptor.prepare(graph.to(dtype=torch.float64))
    with torch.no_grad():
        element = model.element[graph.system.numbers]
        values = model.descriptor(graph)
        values = values if model.scaling is None else model.scaling(values, element)
        parts = [
            (element == place).to(values)[:, None] * head.columns(values, place) for place in range(len(head.weights))
        ]
        return torch.cat([*parts, *(_tangents(model, graph) if trained else ())], dim=1).detach()


def _tangents(model: DescribedPotential, graph: Graph) -> Iterable[Tensor]:
    """Columns of the descriptor's parameters, one block for each element of the center."""
    descriptor = model.descriptor
    weights = model.head.weights.detach()[model.element[torch.tensor(descriptor.elements)], 1:]  # type: ignore[index]
    values, _ = descriptor.tangents(graph, weights)
    element = descriptor.element[graph.system.numbers]
    return [(element == place).to(values)[:, None] * values for place in range(len(descriptor.elements))]


def _all_rows(potential: Potential, frames: Dataset, chosen: Sequence[int], basis: Basis) -> tuple[Tensor, Tensor]:
    """Rows of all environments, and the frames they are from."""
    rows, owners = [], []
    for index in chosen:
        found = environment_rows(potential, Graph.build(frames[index].system, potential.cutoff), basis)
        rows.append(found)
        owners.append(torch.full((len(found),), index))
    return torch.cat(rows), torch.cat(owners)
