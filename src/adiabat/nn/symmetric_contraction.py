"""The symmetric contraction of MACE: equivariant polynomials of an atom's own features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from adiabat.errors import CheckpointError
from adiabat.kernels.build import library
from adiabat.kernels.polynomial import Polynomial
from adiabat.nn.constants import ConstantModule
from adiabat.nn.couplings import Basis, Monomial, Polynomials, from_tensor, polynomials
from adiabat.nn.irreps import Irreps


class SymmetricContraction(ConstantModule):
    """B_LM = Σ_ν Σ_p w[element, ν, p] U_p^{LM}(A, ..., A), channel by channel (arXiv:2206.07697, eqs. 10 and 11).

    All monomials that any coupling needs are formed once, each from one of lower order; then one matrix product for
    each order and each irrep made couples them.

    Args:
        irreps_in: of the features, all with the same multiplicity (the channels).
        irreps_out: irreps to make, with the same multiplicity.
        correlation: highest order ν.
        elements: number of sets of weights; 1 for weights shared by all elements.
        basis: of the couplings, see `adiabat.nn.couplings.polynomials`.
    """

    def __init__(
        self, irreps_in: Irreps, irreps_out: Irreps, correlation: int, elements: int, basis: Basis = "reduced"
    ):
        super().__init__()
        self.channels = irreps_in.channels
        self.irreps_in = irreps_in
        self.correlation = correlation
        self.outputs = [ir for _, ir in irreps_out]
        parts = [ir for _, ir in irreps_in]
        tables = [
            [polynomials(parts, order, out, basis) for order in range(1, correlation + 1)] for out in self.outputs
        ]
        self.paths = [[table.paths for table in row] for row in tables]
        self.shared = elements == 1
        weights = [
            torch.cat([torch.randn(elements, n, self.channels) / max(n, 1) for n in counts], dim=1)
            for counts in self.paths
        ]
        self.weights = nn.ParameterList(weights)
        self.polynomial: Polynomial | None = None
        self._lay_out(irreps_in.dim // self.channels, tables)

    def _lay_out(self, components: int, tables: list[list[Polynomials]]) -> None:
        """Fixes the order of the monomials and registers factors and coefficients."""
        self.parities = sorted({out.parity for out in self.outputs})
        needed: list[dict[int, set[Monomial]]] = []
        for order in range(self.correlation):
            groups: dict[int, set[Monomial]] = {parity: set() for parity in self.parities}
            for out, row in zip(self.outputs, tables, strict=True):
                groups[out.parity].update(row[order].monomials)
            needed.append(groups)
        lists, ranges = _monomials(components, needed)
        # how many monomials each parity has, then how many are factors only
        ends = [[part.stop - part.start for part in where.values()] for where in ranges]
        self.sizes = [[*parts, len(full) - sum(parts)] for full, parts in zip(lists, ends, strict=True)]
        for order in range(2, self.correlation + 1):
            rows = {m: k for k, m in enumerate(lists[order - 2])}
            first, second = _factors(lists[order - 1], rows)
            self.register_buffer(f"first{order}", torch.tensor(first, dtype=torch.int64), persistent=False)
            self.register_buffer(f"second{order}", torch.tensor(second, dtype=torch.int64), persistent=False)
        self.monomials: list[list[list[Monomial]]] = []
        for place, row in enumerate(tables):
            parts = [where[self.outputs[place].parity] for where in ranges]
            self.monomials.append([lists[order][part] for order, part in enumerate(parts)])
            for order, table in enumerate(row, start=1):
                own = {m: k for k, m in enumerate(self.monomials[place][order - 1])}
                wide = np.zeros((*table.coefficients.shape[:2], len(own)))
                wide[:, :, [own[m] for m in table.monomials]] = table.coefficients
                self.register_constant(f"coupling{place}_{order}", _matrix(wide), persistent=True)

    def set_coupling(self, place: int, order: int, tensor: np.ndarray) -> None:
        """Takes over a program's own coupling tensor U, whose basis its weights belong to.

        Args:
            place: which irrep of `irreps_out`.
            order: ν.
            tensor: `[2L+1, components, ..., components, paths]`.

        Raises:
            CheckpointError: the tensor has another number of paths or couples what cannot make this irrep.
        """
        paths = self.paths[place][order - 1]
        if tensor.shape[-1] != paths:
            raise CheckpointError(
                f"the coupling tensor of order {order} has {tensor.shape[-1]} paths, and this basis has {paths}:"
                " choose the other coupling basis ('reduced' or 'full')."
            )
        values, outside = from_tensor(np.asarray(tensor, dtype=np.float64), self.monomials[place][order - 1])
        if outside > 1e-5:
            raise CheckpointError(
                f"the coupling tensor of order {order} is not equivariant (an entry of {outside:.1e} where symmetry"
                " wants 0): was it made for other irreps?"
            )
        self.set_constant(f"coupling{place}_{order}", _matrix(values))

    def forward(self, features: Sequence[Tensor], element: Tensor) -> list[Tensor]:
        """Features `[atoms, 2l+1, channels]` of each irrep to the same of each irrep made.

        Args:
            features: A, one tensor per irrep of `irreps_in`.
            element: which set of weights each atom uses `[atoms]`.
        """
        if self.polynomial is not None and element.device.type == "cpu":
            made = self.polynomial(torch.cat(list(features), dim=1), element)
            return list(made.split([out.dim for out in self.outputs], dim=1))
        atoms = element.shape[0]
        # components first: rows are then long and contiguous, for gathering as for the matrix product
        single = torch.cat(list(features), dim=1).transpose(0, 1).flatten(1)
        power, powers = single, [dict.fromkeys(self.parities, single)]
        for order in range(2, self.correlation + 1):
            first, second = self.get_buffer(f"first{order}"), self.get_buffer(f"second{order}")
            power = power.index_select(0, first) * single.index_select(0, second)
            # taken apart at once: slice by slice, the backward pass would fill a tensor of the whole size for each
            powers.append(dict(zip(self.parities, power.split(self.sizes[order - 1]), strict=False)))
        made = []
        for place, (out, weights) in enumerate(zip(self.outputs, self.weights, strict=True)):
            coupled = torch.cat(
                [
                    self.get_buffer(f"coupling{place}_{order}") @ parts[out.parity]
                    for order, parts in enumerate(powers, start=1)
                ]
            )
            own = weights if self.shared else weights.index_select(0, element)
            made.append(self._weighted(coupled.view(weights.shape[1], out.dim, atoms, self.channels), own))
        return made

    def freeze(self) -> None:
        """Multiplies weights and couplings out, so that `forward` on the CPU takes a kernel, differentiable once.

        The weights must not change afterwards.

        Raises:
            CapabilityError: there is no compiler for the kernel.
        """
        library("polynomial")
        places: list[int] = []
        monomials: list[Monomial] = []
        coefficients: list[Tensor] = []
        row = 0
        for place, (out, weights) in enumerate(zip(self.outputs, self.weights, strict=True)):
            parts = weights.detach().double().cpu().split(self.paths[place], dim=1)
            for order, (part, own) in enumerate(zip(parts, self.monomials[place], strict=True), start=1):
                couplings = self._exact[f"coupling{place}_{order}"].reshape(part.shape[1], out.dim, len(own))
                size = np.abs(couplings).max(axis=0, initial=0.0)
                used = np.nonzero(size > 1e-13 * size.max(initial=0.0))
                places += (row + used[0]).tolist()
                monomials += [own[k] for k in used[1]]
                coefficients.append(torch.einsum("epc,pt->etc", part, torch.from_numpy(couplings[:, *used])))
            row += out.dim
        components, dtype = self.irreps_in.dim // self.channels, self.weights[0].dtype
        self.polynomial = Polynomial.of(places, monomials, torch.cat(coefficients, dim=1), components, row, dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if self.polynomial is not None:
            self.freeze()
        return self

    @staticmethod
    def _weighted(coupled: Tensor, weights: Tensor) -> Tensor:
        """Σ_p w[atom, p, c] B[p, m, atom, c] as `[atoms, 2L+1, channels]`."""
        return (coupled * weights.transpose(0, 1)[:, None]).sum(dim=0).transpose(0, 1)


def _matrix(coefficients: np.ndarray) -> np.ndarray:
    """`[paths, 2L+1, monomials]` as `[paths · (2L+1), monomials]`."""
    paths, dim, monomials = coefficients.shape
    return coefficients.reshape(paths * dim, monomials)


def _monomials(
    components: int, needed: list[dict[int, set[Monomial]]]
) -> tuple[list[list[Monomial]], list[dict[int, slice]]]:
    """Monomials of each order, those of one parity side by side, and where each parity is.

    Those that are only factors of higher ones come last.
    """
    extra: set[Monomial] = set()
    lists: list[list[Monomial]] = []
    ranges: list[dict[int, slice]] = []
    for order in range(len(needed), 1, -1):
        found: list[Monomial] = []
        where = {}
        for parity, group in needed[order - 1].items():
            where[parity] = slice(len(found), len(found) + len(group))
            found += sorted(group)
        found += sorted(extra - set(found))
        if order > 2:
            extra = _prefixes(found, needed[order - 2])
        lists.insert(0, found)
        ranges.insert(0, where)
    singles: list[Monomial] = [(k,) for k in range(components)]
    lists.insert(0, singles)
    ranges.insert(0, {parity: slice(0, components) for parity in needed[0]})
    return lists, ranges


def _prefixes(monomials: list[Monomial], lower: dict[int, set[Monomial]]) -> set[Monomial]:
    """Which monomials of one order less are needed to make these, using the ones that are there anyway."""
    there: set[Monomial] = set().union(*lower.values())
    for monomial in monomials:
        parts = _parts(monomial)
        if not any(part in there for part, _ in parts):
            there.add(parts[0][0])
    return there


def _factors(monomials: list[Monomial], lower: dict[Monomial, int]) -> tuple[list[int], list[int]]:
    """Row of a lower monomial and component whose product is each monomial."""
    first, second = [], []
    for monomial in monomials:
        part, component = next((p, c) for p, c in _parts(monomial) if p in lower)
        first.append(lower[part])
        second.append(component)
    return first, second


def _parts(monomial: Monomial) -> list[tuple[Monomial, int]]:
    """The ways to leave one component out."""
    return [((*monomial[:k], *monomial[k + 1 :]), monomial[k]) for k in range(len(monomial))]
