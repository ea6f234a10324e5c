"""Invariants of the atomic cluster expansion: products of neighbor sums, coupled to scalars.

R. Drautz, Phys. Rev. B 99, 014104 (2019), doi:10.1103/PhysRevB.99.014104; symmetry of repeated factors: G. Dusson et
al., J. Comput. Phys. 454, 110946 (2022), doi:10.1016/j.jcp.2022.110946. Program whose numbers it gives: python-ace
(PACE), Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), doi:10.1038/s41524-021-00559-9.

| paper | here | shape, unit |
|---|---|---|
| g_k(r) | `radial` | [pairs, count], 1 |
| c_nlk | `coefficients` | [elements, elements, n, l + 1, count], 1 |
| R_nl(r) | in `sums` | [pairs, n, l + 1], 1 |
| A_i,μnlm | `sums(vectors, graph)` | [atoms, channels], 1 |
| generalized Clebsch-Gordan coefficients | `couplings_of` | [2l_1 + 1, ..., 2l_N + 1], 1 |
| B_i | `from_vectors` | [atoms, size], 1 |

Departures from the paper: sums are kept in real harmonics, Σ_m Y_lm² = 2l + 1 as in
python-ace, where Y_00 is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.elements import symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.cluster_products import NAME, ClusterEnergies, ClusterFeatures, ClusterRows, ClusterSums
from adiabat.nn.generalized_couplings import generalized_coupling, in_real_harmonics, independent, monomials
from adiabat.nn.pair_radial import KINDS, Bond, PairRadial
from adiabat.nn.product_terms import ProductList, ProductTerms, derivatives_of
from adiabat.nn.spherical_bessel import smooth_combinations
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.settings import Settings


class ClusterFunction(Settings):
    """One invariant: which sums are multiplied, and how they are coupled."""

    center: str
    """Element of the atom it describes."""
    neighbors: tuple[str, ...]
    """Element of each factor's neighbors."""
    n: tuple[int, ...]
    """Radial function of each factor, from 1 on."""
    l: tuple[int, ...]
    """Degree of each factor."""
    between: tuple[int, ...] = ()
    """Degrees of what factors are coupled to on the way (see nn/generalized_couplings.py)."""
    orders: tuple[tuple[int, ...], ...] = ()
    """m of each factor, term by term, if `coefficients` are given in place of `between`."""
    coefficients: tuple[float, ...] = ()
    """Coefficient of each term, in complex harmonics; the real part of the product counts."""

    @property
    def rank(self) -> int:
        """Number of factors."""
        return len(self.n)

    def coupling(self) -> np.ndarray:
        """Coefficients in complex harmonics `[2l_1+1, ..., 2l_N+1]`."""
        if not self.orders:
            return generalized_coupling(self.l, self.between)
        values = np.zeros([2 * l + 1 for l in self.l])
        for orders, value in zip(self.orders, self.coefficients, strict=True):
            values[tuple(m + l for m, l in zip(orders, self.l, strict=True))] += value
        return values


class ACEDescriptorConfig(DescriptorConfig):
    """Options of the cluster expansion; the same functions around every element unless `functions` are given."""

    kind: Literal["ace"] = "ace"
    """Name of the descriptor."""
    cutoff: float = Field(default=7.0, gt=0.0)
    """Radius of the environments, Å, of all pairs of elements that `bonds` does not name."""
    n_max: tuple[int, ...] = (15, 3, 2, 1)
    """Radial functions in products of one, two, three ... neighbors."""
    l_max: tuple[int, ...] = (0, 3, 2, 1)
    """Highest degree in products of one, two, three ... neighbors; the first is 0."""
    bond: Bond = Bond()
    """Radial functions of all pairs of elements that `bonds` does not name, but with `cutoff`."""
    bonds: dict[str, Bond] = {}
    """Radial functions of single pairs, center and neighbor such as "Cu-O"."""
    train_radial: bool = False
    """Whether the coefficients of the radial functions R_nl are trained; at first R_nl = g_n."""
    functions: tuple[ClusterFunction, ...] = ()
    """Functions one by one; if given, `n_max` and `l_max` are not used."""

    @property
    def trained(self) -> bool:  # type: ignore[override]
        return self.train_radial

    def build(self, elements: Iterable[int]) -> ACE:
        return ACE(self, elements)

    def bond_of(self, center: str, near: str) -> Bond:
        """Radial functions of a pair of elements."""
        own = self.bonds.get(f"{center}-{near}")
        return own if own is not None else self.bond.model_copy(update={"cutoff": self.cutoff})

    def every_function(self, elements: Sequence[str]) -> tuple[ClusterFunction, ...]:
        """The functions given, or all independent ones within `n_max` and `l_max`."""
        if self.functions:
            return self.functions
        if len(self.n_max) != len(self.l_max) or not self.n_max or self.l_max[0] != 0:
            raise ConfigError(f"n_max {self.n_max} and l_max {self.l_max} need as many numbers each, l_max first 0.")
        made = [f for rank in range(1, len(self.n_max) + 1) for f in self._of_rank(rank, elements)]
        named = (f.model_copy(update={"center": center}) for center in elements for f in made)
        return tuple(f for f in named if not self.vanishes(f))

    def vanishes(self, f: ClusterFunction) -> bool:
        """Whether a factor is a radial function that its pair of elements does not have."""
        mixed = self.train_radial and f.rank > 1
        counts = [self.bond_of(f.center, near).count for near in f.neighbors]
        return not mixed and any(n > count for n, count in zip(f.n, counts, strict=True))

    def _of_rank(self, rank: int, elements: Sequence[str]) -> list[ClusterFunction]:
        n_max, l_max = self.n_max[rank - 1], self.l_max[rank - 1]
        slots = [(l, mu, n) for l in range(l_max + 1) for mu in range(len(elements)) for n in range(1, n_max + 1)]
        made = []
        for row in combinations_with_replacement(slots, rank):
            degrees = tuple(l for l, _, _ in row)
            if sum(degrees) % 2:
                continue
            names = tuple(elements[mu] for _, mu, _ in row)
            n = tuple(n for _, _, n in row)
            for between in independent(degrees, [slot[1:] for slot in row]):
                made.append(ClusterFunction(center="", neighbors=names, n=n, l=degrees, between=between))
        return made


class ACE(Descriptor):
    """Invariants of each atom's surroundings.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    choice: Tensor
    degree: Tensor
    coefficients: Tensor

    def __init__(self, options: ACEDescriptorConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        names = [symbol(z) for z in elements]
        bonds = [options.bond_of(center, near) for center in names for near in names]
        super().__init__(elements, max(bond.cutoff for bond in bonds))
        self.options, self.functions = options, options.every_function(names)
        self.radial = PairRadial(bonds)
        many = [f for f in self.functions if f.rank > 1]
        self.n_max = max((max(f.n) for f in many), default=0)
        self.l_max = max((max(f.l) for f in many), default=0)
        self.harmonics = SphericalHarmonics(self.l_max)
        kinds = len(elements)
        shape = (kinds, kinds, self.n_max, self.l_max + 1, self.radial.count)
        delta = torch.eye(max(self.n_max, self.radial.count))[: self.n_max, None, : self.radial.count].expand(shape)
        if options.train_radial:
            self.coefficients = nn.Parameter(delta.clone())
        else:
            self.register_buffer("coefficients", delta.clone())
        degree = [l for l in range(self.l_max + 1) for _ in range(2 * l + 1)]
        self.register_buffer("degree", torch.tensor(degree), persistent=False)
        self._register_functions(names)
        self._kernel: ClusterFeatures | None = None
        self._frozen: ClusterRows | None = None

    def _register_functions(self, names: Sequence[str]) -> None:
        """Distinct functions, and `choice [elements, size]`: which of them is which feature; the last is zero."""
        distinct: dict[tuple[object, ...], int] = {}
        features: list[Mapping[tuple[int, ...], float]] = []
        rows: list[list[int]] = [[] for _ in names]
        for f in self.functions:
            key = (f.neighbors, f.n, f.l, f.between, f.orders, f.coefficients)
            if key not in distinct:
                distinct[key] = len(features)
                features.append(self._monomials(f, names))
            rows[names.index(f.center)].append(distinct[key])
        self.sizes = tuple(len(row) for row in rows)
        self.terms = ProductTerms(features, self.channels)
        padded = [row + [len(features)] * (self.size - len(row)) for row in rows]
        self.register_buffer("choice", torch.tensor(padded, dtype=torch.int64), persistent=False)

    @property
    def channels(self) -> int:
        """Sums of each atom: for each element the g_k, then for each element, n and lm the R_nl Y_lm."""
        return len(self.elements) * (self.radial.count + self.n_max * (self.l_max + 1) ** 2)

    def _monomials(self, f: ClusterFunction, names: Sequence[str]) -> Mapping[tuple[int, ...], float]:
        if not (len(f.neighbors) == len(f.n) == len(f.l)) or set(f.neighbors) - set(names) or min(f.n) < 1:
            raise ConfigError(f"the function {f.model_dump_json()} needs an element, n and l of each factor.")
        places = [names.index(name) for name in f.neighbors]
        if f.rank == 1:
            if f.l != (0,) or f.n[0] > self.radial.count:
                raise ConfigError(
                    f"a function of one neighbor has l = 0 and n up to {self.radial.count}, not {f.n[0]}."
                )
            scale = float(np.sum(f.coefficients)) if f.orders else 1.0
            return {(places[0] * self.radial.count + f.n[0] - 1,): scale}
        begin, width = len(names) * self.radial.count, (self.l_max + 1) ** 2
        channels = []
        for place, n, l in zip(places, f.n, f.l, strict=True):
            first = begin + (place * self.n_max + n - 1) * width + l**2
            channels.append(range(first, first + 2 * l + 1))
        return monomials(in_real_harmonics(f.coupling()), channels)

    def _cluster_sums(self, products: ProductList) -> ClusterSums:
        radial, table = self.radial, self.coefficients.detach().double().cpu().numpy()
        kinds, count = len(self.elements), radial.count
        bonds = np.zeros((kinds * kinds, 8))
        for k, (row, bond) in enumerate(zip(bonds, radial.bonds, strict=True)):
            own = table[k // kinds, k % kinds]
            delta = np.eye(max(self.n_max, count))[: self.n_max, None, :count]
            plain = bool((np.abs(own - delta)[:, :, : bond.count] == 0).all())
            inner = bond.inner or (0.0, 0.0)
            row[:] = (KINDS.index(bond.basis), bond.decay, bond.cutoff, bond.width, *inner, bond.count, plain)
        mixing = smooth_combinations(count, 1.0)
        return ClusterSums(bonds, mixing, table, products.first, products.second)

    def linear(self, weights: Tensor, constants: Tensor) -> ClusterEnergies:
        plain = np.tile(np.array([1.0, 1.0, 0.0]), (len(self.elements), 1, 1))
        return self.energies(weights[:, None], plain, constants)

    def energies(self, weights: Tensor, embeddings: np.ndarray, constants: Tensor) -> ClusterEnergies:
        """Energies of atoms in C++.

        Args:
            weights: of the features in each density `[elements, densities, size]`.
            embeddings: factor, power and kind of each density, see ClusterEnergies.
            constants: energy of a lone atom of each element `[elements]`, eV.
        """
        rows = weights.detach().double().cpu().numpy()
        place = self.terms.products.place
        terms: list[dict[int, np.ndarray]] = []
        for own, choice in zip(rows, self.choice.tolist(), strict=True):
            found: dict[int, np.ndarray] = {}
            for column, feature in enumerate(choice):
                if feature < self.terms.count:
                    for monomial, value in self.terms.features[feature].items():
                        node = place[monomial]
                        found[node] = found.get(node, 0.0) + value * own[:, column]
            terms.append(found)
        return ClusterEnergies(self._cluster_sums(self.terms.products), terms, embeddings, constants)

    def freeze(self) -> None:
        products = self.terms.products
        terms = [[(products.place[m], c) for m, c in feature.items()] for feature in self.terms.features]
        self._frozen = ClusterRows(self._cluster_sums(products), terms, self.choice.cpu().numpy())

    def forward(self, graph: Graph) -> Tensor:
        return super().forward(graph) if self._frozen is None else self._frozen(*self.given(graph))

    def feature_kernel(self) -> ClusterFeatures:
        """Features and slopes in C++, in which the products of all factors but one are values too."""
        if self._kernel is None:
            features = self.terms.features
            derivatives = [derivatives_of(feature) for feature in features]
            wanted = [m for feature in features for m in feature]
            wanted += [m for own in derivatives for row in own.values() for m in row if m]
            products = ProductList.of(wanted, self.channels)
            place = {(): -1, **products.place}
            terms = [[(place[m], c) for m, c in feature.items()] for feature in features]
            slopes = [
                {channel: [(place[m], c) for m, c in row.items()] for channel, row in own.items()}
                for own in derivatives
            ]
            sums = self._cluster_sums(products)
            self._kernel = ClusterFeatures(sums, terms, slopes, self.choice.cpu().numpy())
        elif self.trained:
            table = self.coefficients.detach().double().cpu().numpy()
            self._kernel = self._kernel.with_coefficients(table)
        return self._kernel

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        if graph.pairs.device.type != "cpu" or available(NAME) is not None:
            return super().jacobian(graph)
        with torch.no_grad():
            return self.feature_kernel()(*self.given(graph))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        values = self.terms(self.sums(vectors, graph))
        values = torch.cat((values, values.new_zeros((values.shape[0], 1))), dim=1)
        return values.gather(1, self.choice.index_select(0, self.element[graph.system.numbers]))

    def sums(self, vectors: Tensor, graph: Graph) -> Tensor:
        """Sums over neighbors `[atoms, channels]`."""
        kinds, atoms = self.element[graph.system.numbers], graph.system.atoms
        near, count = kinds.index_select(0, graph.neighbors), len(self.elements)
        bond = kinds.index_select(0, graph.centers) * count + near
        r = vectors.norm(dim=1)
        radial = self.radial(r, bond)
        index = graph.centers * count + near
        made = [radial]
        if self.n_max:
            # z is the polar axis: components of these harmonics are those of (y, z, x)
            harmonics = self.harmonics(torch.stack((vectors[:, 1], vectors[:, 2], vectors[:, 0]), dim=1))
            table = self.coefficients.flatten(0, 1).to(radial.dtype)  # fixed ones are zeros and ones in any type
            if count == 1:
                functions = torch.einsum("nlk,pk->pnl", table[0], radial)
            else:
                functions = torch.einsum("pnlk,pk->pnl", table.index_select(0, bond), radial)
            products = functions.index_select(2, self.degree) * harmonics[:, None, :]
            made.append(products.flatten(1))
        return torch.cat(
            [
                row.new_zeros((atoms * count, row.shape[1]))
                .index_add(0, index, row)
                .view(atoms, count * row.shape[1])
                for row in made
            ],
            dim=1,
        )
