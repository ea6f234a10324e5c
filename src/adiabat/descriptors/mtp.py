"""Moment tensors: invariant contractions of weighted sums of neighbors' directions, with trained radial functions.

A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183; several elements, the numbers of the
program MLIP-2: I. S. Novikov et al., Mach. Learn.: Sci. Technol. 2, 025002 (2021), doi:10.1088/2632-2153/abc9fe.

| paper | here | shape, unit |
|---|---|---|
| r_ij, R_min, R_cut | `r`, `inner`, `cutoff` | [pairs], Å |
| φ^(β)(r) = T_β(x) (R_cut − r)², x from −1 to 1 between R_min and R_cut | `basis` | [pairs, basis], Å² |
| c^(β)_{μ,z_i,z_j} | `coefficients` | [elements², radial, basis], Å⁻² |
| f_μ(r, z_i, z_j) = Σ_β c φ | `radial` | [pairs, radial], 1 |
| M_{μ,ν} = Σ_j f_μ r̂_ij ⊗ … ⊗ r̂_ij | `moments`, component by component | [atoms, basic], 1 |
| B_α | `from_vectors` | [atoms, size], 1 |

Departures from the paper: directions are unit vectors, as in the program (f_μ takes up the power of r); contractions
are evaluated by lists of our own, shorter than the program's, see `contractions`; R_min is the least distance of the
training data if it is not given; below it the polynomials simply continue.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import DescriptorConfig
from adiabat.descriptors.contractions import contractions
from adiabat.descriptors.moments import MomentDescriptor
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.kernels.moment_tensors import MomentTensors, Polynomials
from adiabat.nn.monomials import Monomials
from adiabat.nn.radial import ChebyshevBasis

MIXED = 1e-3  # share of every other polynomial in a radial function at first, as in the program


class MTPConfig(DescriptorConfig):
    """Options of moment tensors; the defaults are those of MLIP-2's untrained files."""

    trained: ClassVar[bool] = True
    kind: Literal["mtp"] = "mtp"
    """Name of the descriptor."""
    level: int = Field(default=16, ge=2, le=28)
    """Highest level of the contractions, an even number; 16 gives 92 of them, 28 gives 2445."""
    basis: int = Field(default=8, ge=1)
    """Chebyshev polynomials in a radial function."""
    inner: float | None = Field(default=None, ge=0.0)
    """Distance at which the polynomials' variable is −1, Å; null for the smallest distance of the training data."""

    def build(self, elements: Iterable[int]) -> MTP:
        return MTP(self, elements)


class MTP(MomentDescriptor):
    """B_α of every contraction up to a level (2016, eqs. 3 to 7; 2021, eqs. 2 to 6).

    Attributes:
        coefficients: c `[elements², radial, basis]`, Å⁻²; pairs of elements are (center, neighbor).
        inner: R_min, Å.
    """

    inner: Tensor
    basic: Tensor
    products: Tensor
    factors: Tensor
    scalars: Tensor

    def __init__(self, config: MTPConfig, elements: Iterable[int]):
        super().__init__(elements, config.cutoff)
        self.config, self.lists = config, contractions(config.level)
        if config.inner is not None and config.inner >= config.cutoff:
            raise ConfigError(f"inner {config.inner} Å must be smaller than the cutoff {config.cutoff} Å.")
        kinds, radial = len(self.elements), self.lists.radial
        if config.basis < radial:
            raise ConfigError(f"basis is {config.basis}, and level {config.level} needs at least {radial}.")
        self.sizes = (len(self.lists.scalars),) * kinds
        self.polynomials = ChebyshevBasis(config.basis)
        start = torch.full((kinds * kinds, radial, config.basis), MIXED)
        start[:, range(radial), range(radial)] = 1.0
        self.coefficients = nn.Parameter(start * self.cutoff**-2)
        self.register_buffer("inner", torch.tensor(0.4 * self.cutoff if config.inner is None else config.inner))
        monomials = Monomials(max(sum(b[1:]) for b in self.lists.basic))
        self.monomials = monomials
        place = {power: k for k, power in enumerate(monomials.powers)}
        basic = [b[0] * len(place) + place[b[1], b[2], b[3]] for b in self.lists.basic]
        products = torch.tensor(self.lists.products, dtype=torch.int64).reshape(-1, 4)
        made = [k for *_, k in self.lists.products]
        self.stages = [(bisect_left(made, end), end) for end in self.lists.stages[1:]]
        self.register_buffer("basic", torch.tensor(basic), persistent=False)
        self.register_buffer("products", products[:, [0, 1, 3]].T.contiguous(), persistent=False)
        self.register_buffer("factors", products[:, 2].to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("scalars", torch.tensor(self.lists.scalars), persistent=False)

    def radial(self, r: Tensor, kinds: Tensor) -> Tensor:
        """f_μ `[pairs, radial]` of distances (Å) and the places of the pairs' elements, both `[pairs]`."""
        x = (2.0 * r - self.inner - self.cutoff) / (self.cutoff - self.inner)
        basis = self.polynomials(x) * (self.cutoff - r).clamp(min=0.0).square()[:, None]
        return (self.coefficients.index_select(0, kinds) @ basis[:, :, None])[:, :, 0]

    def moments(self, vectors: Tensor, graph: Graph) -> Tensor:
        """The components of M that contractions need `[atoms, basic]`."""
        r = vectors.norm(dim=1)
        rows = graph.rows()
        shapes = self.monomials(vectors / r[:, None])
        radial = self.radial(r, self.kinds(graph))
        every = rows.contract(rows.pad(radial[:, None]), rows.pad(shapes[:, None]))
        return every.flatten(1).index_select(1, self.basic)

    def contracted(self, moments: Tensor) -> Tensor:
        """B `[atoms, size]` of moments `[atoms, basic]`."""
        first, begin = 0, self.basic.shape[0]
        for last, end in self.stages:
            a, b, made = self.products[:, first:last]
            terms = moments.index_select(1, a) * moments.index_select(1, b) * self.factors[first:last]
            new = terms.new_zeros((terms.shape[0], end - begin)).index_add(1, made - begin, terms)
            moments, first, begin = torch.cat((moments, new), dim=1), last, end
        return moments.index_select(1, self.scalars)

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self.contracted(self.moments(vectors, graph))

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets R_min to the smallest distance unless it was given, and the radial functions' size.

        Afterwards Σ_j f_0 is of order one in the training data, so that products of four of them are, too.
        """
        graphs = [g.to(dtype=self.coefficients.dtype) for g in graphs if g.pairs.shape[1]]
        if not graphs:
            return
        with torch.no_grad():
            if self.config.inner is None:
                self.inner.fill_(min(float(g.vectors().norm(dim=1).min()) for g in graphs))
            found = torch.cat([self.moments(g.vectors(), g)[:, 0] for g in graphs])
            size = float(found.square().mean().sqrt())
            self.coefficients.mul_(1.0 / size if size > 0 else 1.0)

    def kernel(self) -> MomentTensors:
        width = len(self.monomials.powers)
        basic = [divmod(k, width) for k in self.basic.tolist()]
        lists, kinds = self.lists, len(self.elements)
        tables = (basic, self.monomials.parents, lists.products, lists.scalars, lists.moments)
        return MomentTensors(*tables, kinds, Polynomials(float(self.inner), self.cutoff))
