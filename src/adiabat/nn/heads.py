"""Heads: what turns an atom's features into its energy. Each is one regressor; those linear in their weights show it.

| kind | energy of an atom of element Z with features B |
|---|---|
| linear | w_Z0 + Σ_k w_Zk B_k |
| quadratic | linear + Σ_{k≤l} w_Zkl B_k B_l |
| gaussian_process | w_Z0 + Σ_s w_Zs k(B, B_s), a sum over sparse points of the same element |
| network | fully connected layers, one set for each element, above a trunk for all; an average over a committee |

A head that is linear in its weights gives the columns of a design matrix, and their slopes along pair vectors, to the
linear fitter, which finds the weights in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adiabat.nn.activations import ACTIVATIONS
from adiabat.nn.element_networks import ElementNetworks
from adiabat.nn.mlp import MLP


class Head(nn.Module):
    """Base: features `[atoms, size]` and the places of the atoms' elements `[atoms]` in, energies `[atoms]` out."""

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        """Energies `[atoms]`."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Makes it faster at fixed weights, for good, where it knows how."""

    def adapt(self, values: Tensor, element: Tensor) -> None:
        """Sets constants from the features of training atoms, such as sparse points."""


class NetworkHead(Head):
    """A committee of element networks; their average is the energy.

    Args:
        sizes: number of features of each element.
        hidden: width of each hidden layer.
        activations: of each hidden layer.
        members: how many networks are averaged.
        trunk: widths of layers before those, which each member has once for the atoms of all elements.
        activation: of the trunk's layers.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: Sequence[int],
        activations: Sequence[str],
        members: int = 1,
        trunk: Sequence[int] = (),
        activation: str = "tanh",
    ):
        super().__init__()
        own = (trunk[-1],) * len(sizes) if trunk else sizes
        self.members = nn.ModuleList(ElementNetworks(own, hidden, activations) for _ in range(members))
        widths = (max(sizes), *trunk)
        self.trunks = nn.ModuleList(MLP(widths, activation) for _ in range(members if trunk else 0))
        self.after = ACTIVATIONS[activation]

    def freeze(self) -> None:
        for member in self.members:
            member.freeze()  # type: ignore[operator]

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        inputs = [self.after(trunk(values)) for trunk in self.trunks] or [values] * len(self.members)
        found = [
            member.everywhere(own, element)  # type: ignore[operator]
            for member, own in zip(self.members, inputs, strict=True)
        ]
        return found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)


@dataclass(frozen=True)
class PairEnds:
    """Where the slopes of some pairs go.

    Attributes:
        centers, neighbors: `[pairs]`, among `atoms` atoms.
        atoms: their number.
        vectors: `[pairs, 3]`, Å, if the strain is wanted.
        system: of each pair, among `systems` systems.
        systems: their number.
    """

    centers: Tensor
    neighbors: Tensor
    atoms: int
    vectors: Tensor | None
    system: Tensor
    systems: int


class LinearInWeights(Head):
    """Base of heads with E_i = Σ_c weights[Z_i, c] · column_c(B_i).

    Args:
        kinds: number of elements.
        columns: number of columns of each element.

    Attributes:
        weights: `[kinds, columns]`, eV.
        spread: `[kinds·columns, rank]` factor of the weights' covariance, eV; empty without one.
    """

    spread: Tensor

    def __init__(self, kinds: int, columns: int):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros((kinds, columns)))
        self.register_buffer("spread", torch.zeros((0, 0)))

    def columns(self, values: Tensor, place: int) -> Tensor:
        """Columns `[atoms, columns]` for atoms of the element at `place`, from features `[atoms, size]`."""
        raise NotImplementedError

    def slopes(self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int) -> Tensor:
        """Slopes of the columns along pair vectors `[pairs, columns, 3]`.

        Args:
            values: `[atoms, size]` of atoms of the element at `place`.
            jacobian: `[pairs, size, 3]` slopes of the features of each pair's center.
            owner: `[pairs]` place of each pair's center among the atoms.
            place: of the element.
        """
        raise NotImplementedError

    def pulls(
        self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int, ends: PairEnds
    ) -> tuple[Tensor, Tensor | None]:
        """Forces `[atoms, 3, columns]` and derivatives by strain `[systems, 3, 3, columns]`, if wanted.

        The first arguments are those of `slopes`.
        """
        along = self.slopes(values, jacobian, owner, place).transpose(1, 2)
        forces = along.new_zeros((ends.atoms, *along.shape[1:])).index_add(0, ends.centers, along)
        forces = forces.index_add(0, ends.neighbors, along, alpha=-1)
        if ends.vectors is None:
            return forces, None
        outer = ends.vectors[:, :, None, None] * along[:, None]
        return forces, along.new_zeros((ends.systems, *outer.shape[1:])).index_add(0, ends.system, outer)

    def penalty(self) -> Tensor | None:
        """Upper-triangular U `[kinds·columns, kinds·columns]` of the prior exp(−α |U w|² / 2), or None for the
        identity times each column's size."""
        return None

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        every = [self.columns(values, place) @ row for place, row in enumerate(self.weights)]
        return every[0] if len(every) == 1 else torch.stack(every, dim=1).gather(1, element[:, None])[:, 0]


class LinearHead(LinearInWeights):
    """w_0 + Σ_k w_k B_k; without `constant` w_0 is not fitted."""

    def __init__(self, kinds: int, size: int, constant: bool = True):
        super().__init__(kinds, 1 + size)
        self.constant = constant

    def columns(self, values: Tensor, place: int) -> Tensor:
        return torch.cat((torch.full_like(values[:, :1], float(self.constant)), values), dim=1)

    def slopes(self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int) -> Tensor:
        return torch.cat((torch.zeros_like(jacobian[:, :1]), jacobian), dim=1)

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        chosen = self.weights.index_select(0, element)
        return chosen[:, 0] + (chosen[:, 1:] * values).sum(dim=1)


class QuadraticHead(LinearInWeights):
    """Linear plus Σ_{k≤l} w_kl B_k B_l, the square with a factor ½ as in LAMMPS; products in rows of the upper
    triangle."""

    first: Tensor
    second: Tensor
    factor: Tensor

    def __init__(self, kinds: int, size: int, constant: bool = True):
        super().__init__(kinds, 1 + size + size * (size + 1) // 2)
        self.constant = constant
        first, second = torch.triu_indices(size, size)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.register_buffer("factor", torch.where(first == second, 0.5, 1.0), persistent=False)

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        size, every = values.shape[1], []
        for row in self.weights:  # as a form: a column for each product would be the larger part of all memory
            form = row.new_zeros((size, size)).index_put((self.first, self.second), row[1 + size :] * self.factor)
            every.append(row[0] + values @ row[1 : 1 + size] + ((values @ form) * values).sum(dim=1))
        return every[0] if len(every) == 1 else torch.stack(every, dim=1).gather(1, element[:, None])[:, 0]

    def columns(self, values: Tensor, place: int) -> Tensor:
        products = values[:, self.first] * values[:, self.second] * self.factor
        return torch.cat((torch.full_like(values[:, :1], float(self.constant)), values, products), dim=1)

    def slopes(self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int) -> Tensor:
        own = (values * 1.0)[owner]
        products = own[:, self.first, None] * jacobian[:, self.second]
        products = products + own[:, self.second, None] * jacobian[:, self.first]
        return torch.cat((torch.zeros_like(jacobian[:, :1]), jacobian, products * self.factor[:, None]), dim=1)

    def pulls(
        self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int, ends: PairEnds
    ) -> tuple[Tensor, Tensor | None]:
        own = values[owner]
        at_centers = self._summed(own, jacobian, ends.centers, ends.atoms)
        forces = (at_centers - self._summed(own, jacobian, ends.neighbors, ends.atoms)).transpose(1, 2)
        if ends.vectors is None:
            return forces, None
        outer = (jacobian[:, :, None, :] * ends.vectors[:, None, :, None]).flatten(2)
        strain = self._summed(own, outer, ends.system, ends.systems)
        return forces, strain.transpose(1, 2).unflatten(1, (3, 3))

    def _summed(self, own: Tensor, jacobian: Tensor, target: Tensor, count: int) -> Tensor:
        """Slopes summed over the pairs of each target `[count, columns, ...]`, never made for single pairs.

        Those of the products are the sums of B_k ∂B_l, one matrix product for each target.
        """
        size, parts = jacobian.shape[1:]
        linear = jacobian.new_zeros((count, size, parts)).index_add(0, target, jacobian)
        products = jacobian.new_zeros((count, len(self.first), parts))
        order = torch.argsort(target, stable=True)
        own, jacobian = own[order], jacobian[order].flatten(1)
        end = 0
        for place, number in enumerate(torch.bincount(target, minlength=count).tolist()):
            begin, end = end, end + number
            if number:
                both = (own[begin:end].T @ jacobian[begin:end]).view(size, size, parts)
                both = (both + both.transpose(0, 1)).flatten(0, 1)
                products[place] = both[self.first * size + self.second] * self.factor[:, None]
        return torch.cat((torch.zeros_like(linear[:, :1]), linear, products), dim=1)
