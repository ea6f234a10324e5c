"""Bispectrum components of the neighbor density on the three-sphere (SNAP).

A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015), doi:10.1016/j.jcp.2014.12.018; one density for each element:
M. A. Cusentino, M. A. Wood and A. P. Thompson, J. Phys. Chem. A 124, 5456 (2020), doi:10.1021/acs.jpca.0c02450.
Program whose numbers it gives: LAMMPS.

| paper | here | shape, unit |
|---|---|---|
| R_cut (R_i + R_j) | `cutoffs` | [elements, elements], Å |
| θ_0 (eq. 2) | `angle` | [pairs], 1 |
| f_c, w | `_strength` | [pairs], 1 |
| U^j_mm' of a neighbor | `rotation_rows` | [pairs, half], 1 |
| u^j_mm' (eq. 3) | `density(vectors, graph)` | [atoms, channels, half], 1 |
| H (eq. 5) | `su2.clebsch_gordan`, squared in `Coupling` | 1 |
| B_j1j2j (eq. 5) | `from_vectors` | [atoms, size], 1 |

Departures from the paper, all but the last those of LAMMPS: a central atom weighs 1, R_cut is in units of the sum of
two radii, components have j_2 ≤ j_1 ≤ j, in the order of LAMMPS, j in steps of one half (`twojmax` is 2J), and
θ_0 goes on smoothly below rmin0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.elements import number
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.bispectrum import NAME, Bispectrum, DensityShape, LinearBispectrum
from adiabat.kernels.build import available
from adiabat.nn.constants import ConstantModule
from adiabat.nn.su2 import clebsch_gordan, full_begin, half_begin, half_order, norms, rotation_rows, unfold


class SNAPDescriptorConfig(DescriptorConfig):
    """Options of the bispectrum; defaults are those of LAMMPS."""

    kind: Literal["snap"] = "snap"
    """Name of the descriptor."""
    cutoff: float = Field(default=4.7, gt=0.0)
    """R_cut, multiplied by the sum of the two atoms' radii: Å where these are ½ (`rcutfac` of LAMMPS)."""
    twojmax: int = Field(default=8, ge=0, le=16)
    """2J, twice the highest angular momentum."""
    rfac0: float = Field(default=0.99363, gt=0.0, le=1.0)
    """Part of the half circle that distances are mapped to."""
    rmin0: float = 0.0
    """Distance that is mapped to the pole, Å."""
    radii: dict[str, float] = {}
    """Radius of each element; ½ for others."""
    weights: dict[str, float] = {}
    """Weight of each element's atoms in the density; 1 for others."""
    switch: bool = True
    """Whether neighbors fade towards the cutoff (`switchflag`)."""
    subtract: bool = False
    """Whether the components of a lone atom are subtracted (`bzeroflag`)."""
    normalized: bool = False
    """Whether components are divided by 2j + 1 (`bnormflag`)."""
    by_element: bool = False
    """A density for each element instead of one for all, and components of all triples of them (`chem`)."""
    self_in_all: bool = False
    """Whether an atom counts itself in every element's density (`wselfallflag`)."""
    inner: dict[str, tuple[float, float]] = {}
    """Middle and half width, Å, of a region of each element where near neighbors fade (`sinner`, `dinner`)."""

    def build(self, elements: Iterable[int]) -> SNAPBispectrum:
        return SNAPBispectrum(self, elements)


@dataclass(frozen=True)
class Coupling:
    """What products of two matrices make a component: B_l = Σ factor_l conj(u_z) Σ coefficient u_first u_second.

    Attributes:
        labels: (j1, j2, j) of each component.
        first, second, product: places of a term's two factors in the full order, and of its z `[terms]`.
        coefficient: product of two Clebsch-Gordan coefficients `[terms]`.
        third, label: place in the half order, and component, of each z.
        weight: of each z: 2 where the half order leaves its mirror image out, else 1.
    """

    labels: tuple[tuple[int, int, int], ...]
    first: np.ndarray
    second: np.ndarray
    product: np.ndarray
    coefficient: np.ndarray
    third: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    @classmethod
    @cache
    def of(cls, twojmax: int) -> Coupling:
        """All components with j2 ≤ j1 ≤ j ≤ 2J."""
        labels = component_labels(twojmax)
        terms: list[tuple[int, int, int, float]] = []
        products: list[tuple[int, int, float]] = []
        for place, (j1, j2, j) in enumerate(labels):
            table, shift = clebsch_gordan(j1, j2, j), (j1 + j2 - j) // 2
            begins = full_begin(j1), full_begin(j2)
            inside = [[(k, m - k + shift) for k in range(j1 + 1) if 0 <= m - k + shift <= j2] for m in range(j + 1)]
            for q in range(j // 2 + 1):
                for m in range(j + 1):
                    for q1, q2 in inside[q]:
                        for m1, m2 in inside[m]:
                            one, two = begins[0] + q1 * (j1 + 1) + m1, begins[1] + q2 * (j2 + 1) + m2
                            terms.append((one, two, len(products), table[q, q1] * table[m, m1]))
                    products.append((half_begin(j) + q * (j + 1) + m, place, 1.0 if 2 * q == j else 2.0))
        first, second, product, coefficient = map(np.array, zip(*terms, strict=True))
        third, label, weight = map(np.array, zip(*products, strict=True))
        return cls(labels, first, second, product, coefficient, third, label, weight)


def component_labels(twojmax: int) -> tuple[tuple[int, int, int], ...]:
    """(j1, j2, j) with j2 ≤ j1 ≤ j of each component, in the order of LAMMPS."""
    return tuple(
        (j1, j2, j)
        for j1 in range(twojmax + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(twojmax, j1 + j2) + 1, 2)
        if j >= j1
    )


class SNAPBispectrum(Descriptor, ConstantModule):
    """Bispectrum components of each atom's surroundings.

    With `by_element` a component stands for each ordered triple of elements, in the order of the first, the second,
    the third element and the component.

    Args:
        options: of the descriptor.
        elements: atomic numbers.
    """

    cutoffs: Tensor
    weights: Tensor
    inner_middle: Tensor
    inner_width: Tensor
    own: Tensor
    lone: Tensor
    norm: Tensor
    signs: Tensor
    coefficient: Tensor
    weight: Tensor
    first: Tensor
    second: Tensor
    product: Tensor
    third: Tensor
    label: Tensor
    unfolded: Tensor
    channel: Tensor

    def __init__(self, options: SNAPDescriptorConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        radii = np.array(_of_elements(options.radii, elements, 0.5))
        cutoffs = options.cutoff * (radii[:, None] + radii)
        super().__init__(elements, float(cutoffs.max()))
        if not cutoffs.min() > max(options.rmin0, 0.0):
            raise ConfigError(f"radii {options.radii} make a cutoff of {cutoffs.min():g} Å: it must exceed rmin0.")
        self.options, self.coupling = options, Coupling.of(options.twojmax)
        kinds = len(elements)
        self.channels = kinds if options.by_element else 1
        self.sizes = (len(self.coupling.labels) * self.channels**3,) * kinds
        self.register_constant("cutoffs", cutoffs)
        self.register_constant("weights", np.array(_of_elements(options.weights, elements, 1.0)))
        middles = np.array(_of_elements(options.inner, elements, (-1.0, 0.0)))
        middles = 0.5 * (middles[:, None] + middles)
        self.register_constant("inner_middle", middles[..., 0])
        self.register_constant("inner_width", middles[..., 1])
        self._kernel: Bispectrum | None = None
        self._frozen = False
        self._register_tables()

    def _register_tables(self) -> None:
        options, coupling, kinds = self.options, self.coupling, len(self.elements)
        own = np.ones((kinds, 1)) if not options.by_element else np.eye(kinds)
        own = np.ones_like(own) if options.self_in_all else own
        diagonal = np.array([float(q == m) for _, q, m in half_order(options.twojmax)])
        self.register_constant("own", own[:, :, None] * diagonal)
        scale = self._scale()
        triples = own[:, :, None, None] * own[:, None, :, None] * own[:, None, None, :]
        sizes = scale * np.array([j + 1 for _, _, j in coupling.labels]) * options.subtract
        self.register_constant("lone", (triples[..., None] * sizes).reshape(kinds, -1))
        index, signs = unfold(options.twojmax)
        self.register_constant("norm", norms(options.twojmax))
        self.register_constant("signs", signs)
        self.register_constant("coefficient", coupling.coefficient)
        self.register_constant("weight", coupling.weight * scale[coupling.label])
        tables = {name: getattr(coupling, name) for name in ("first", "second", "product", "third", "label")}
        channel = np.arange(kinds) if options.by_element else np.zeros(kinds)
        for name, values in {**tables, "unfolded": index, "channel": channel}.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def kernel(self) -> Bispectrum:
        """The same in C++, for both floating-point types; CapabilityError if this machine has no compiler."""
        if self._kernel is None:
            options, top, exact = self.options, self.options.twojmax, self._exact
            pairs = np.stack([exact["cutoffs"], exact["inner_middle"], exact["inner_width"]], axis=2)
            density = DensityShape(
                top,
                (options.rfac0, options.rmin0),
                (options.switch, bool(options.inner)),
                pairs,
                exact["weights"],
                exact["own"][:, :, 0],
                self.channel.numpy(),
                exact["norm"],
            )
            coupling = {
                (j1, j2, j): clebsch_gordan(j1, j2, j)
                for j1 in range(top + 1)
                for j2 in range(j1 + 1)
                for j in range(j1 - j2, min(top, j1 + j2) + 1, 2)
            }
            labels = self.coupling.labels
            self._kernel = Bispectrum(density, labels, self._scale(), coupling, exact["lone"])
        return self._kernel

    def linear(self, weights: Tensor, constants: Tensor) -> LinearBispectrum:
        return LinearBispectrum(self.kernel(), weights, constants)

    def freeze(self) -> None:
        self.kernel()
        self._frozen = True

    def forward(self, graph: Graph) -> Tensor:
        return self.kernel()(*self.given(graph)) if self._frozen else super().forward(graph)

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        if graph.pairs.device.type != "cpu" or available(NAME) is not None:
            return super().jacobian(graph)
        with torch.no_grad():
            return self.kernel().jacobian(*self.given(graph))

    def _scale(self) -> np.ndarray:
        return np.array([1.0 / (j + 1) if self.options.normalized else 1.0 for _, _, j in self.coupling.labels])

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        kinds = self.element[graph.system.numbers]
        real, imaginary = self.density(vectors, graph)
        full = [
            part.index_select(2, self.unfolded) * sign
            for part, sign in ((real, self.signs[0]), (imaginary, self.signs[1]))
        ]
        rows = []
        for e1 in range(self.channels):
            for e2 in range(self.channels):
                zr, zi = self._product(full[0][:, e1], full[1][:, e1], full[0][:, e2], full[1][:, e2])
                for e3 in range(self.channels):
                    ur, ui = (part[:, e3].index_select(1, self.third) for part in (real, imaginary))
                    parts = (zr * ur + zi * ui) * self.weight
                    empty = parts.new_zeros((parts.shape[0], len(self.coupling.labels)))
                    rows.append(empty.index_add(1, self.label, parts))
        return torch.cat(rows, dim=1) - self.lone.index_select(0, kinds)

    def _product(self, r1: Tensor, i1: Tensor, r2: Tensor, i2: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of z `[atoms, products]`."""
        r1, i1 = (x.index_select(1, self.first) * self.coefficient for x in (r1, i1))
        r2, i2 = (x.index_select(1, self.second) for x in (r2, i2))
        empty = r1.new_zeros((r1.shape[0], self.third.shape[0]))
        return empty.index_add(1, self.product, r1 * r2 - i1 * i2), empty.index_add(
            1, self.product, r1 * i2 + i1 * r2
        )

    def density(self, vectors: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of u `[atoms, channels, half]`, the atom's own part included."""
        kinds = self.element[graph.system.numbers]
        near = kinds.index_select(0, graph.neighbors)
        both = kinds.index_select(0, graph.centers) * len(self.elements) + near
        r = vectors.norm(dim=1)
        cutoff = self.cutoffs.view(-1).index_select(0, both)
        start = self.options.rmin0
        angle = self.options.rfac0 * math.pi * (r - start) / (cutoff - start)
        sine = angle.sin() / r
        x, y, z = vectors.unbind(1)
        strength = self._strength(r, cutoff, both) * self.weights.index_select(0, near)
        rows = rotation_rows(self.options.twojmax, (angle.cos(), -sine * z), (sine * y, -sine * x), strength)
        index, atoms = graph.centers * self.channels + self.channel.index_select(0, near), graph.system.atoms
        real, imaginary = (
            (row.new_zeros((atoms * self.channels, row.shape[1])).index_add(0, index, row) * self.norm).view(
                atoms, self.channels, row.shape[1]
            )
            for row in rows
        )
        return real + self.own.index_select(0, kinds), imaginary

    def _strength(self, r: Tensor, cutoff: Tensor, both: Tensor) -> Tensor:
        """f_c(r), with the inner switch if there is one `[pairs]`."""
        value = torch.ones_like(r)
        if self.options.switch:
            start = self.options.rmin0
            value = 0.5 * (1.0 + torch.cos(math.pi * ((r - start) / (cutoff - start)).clamp(0.0, 1.0)))
        if self.options.inner:
            middle = self.inner_middle.view(-1).index_select(0, both)
            width = self.inner_width.view(-1).index_select(0, both).clamp(min=1e-9)
            value = value * 0.5 * (1.0 + torch.sin(0.5 * math.pi * ((r - middle) / width).clamp(-1.0, 1.0)))
        return torch.where(r < cutoff, value, torch.zeros_like(value))


def _of_elements(given: Mapping[str, Any], elements: Iterable[int], otherwise: Any) -> list[Any]:
    """One value for each element."""
    known = {number(symbol): value for symbol, value in given.items()}
    return [known.get(z, otherwise) for z in elements]
