"""Power-type structure descriptors (PTSD).

S.-D. Huang, C. Shang, P.-L. Kang and Z.-P. Liu, Chem. Sci. 9, 8644 (2018), doi:10.1039/C8SC03427C; program: LASP,
doi:10.1002/wcms.1415.

| paper | equation | here | shape, unit |
|---|---|---|---|
| r_ij, θ_ijk at i, δ_ijkl about i–j | | `Surroundings` | [atoms, slots, ...], Å |
| f_c(r) = ½ tanh³(1 − r/r_c) | 2 | `tanh_cutoff` | 1 |
| R^n(r) = r^n f_c(r) | 5 | `Surroundings.power` | 1 |
| S¹ = Σ_j R^n(r_ij) | 6 | `powers` | n |
| S² = (Σ_m |Σ_j R^n(r_ij) Y_Lm(r_ij)|²)^½ | 7 | `shells` | n, L |
| S³ = 2^(1−ζ) Σ_jk (1 + λ cos θ)^ζ R^n(r_ij) R^m(r_ik) R^p(r_jk) | 8 | `triangles` | n, m, p, ζ, λ |
| S⁴, the same without R^p | 9 | `angles` | n, m, ζ, λ |
| S⁵ = (Σ_m |Σ_jk R^n R^m R^p (Y_Lm(r_ij) + Y_Lm(r_ik))|²)^½, R as in S³ | 10 | `planes` | n, m, p, L |
| S⁶ = 2^(1−ζ) Σ_jkl (1 + λ cos δ)^ζ R^n(r_ij) R^m(r_ik) R^p(r_il) | 11 | `dihedrals` | n, m, p, ζ, λ |

There is one of each for every element of the neighbor, and for every unordered two or three of them. The sums over
two neighbors cost their number squared and those over three its cube; these are made only if `dihedrals` has any.

Checked against the text of the paper: equation 5, the bodies and angles of S¹ to S⁶ and the axis of δ. Equations 2
and 6 to 11 were not compared with their printed form but with the program TorchANN, written after it (which numbers
S³ and S⁴ the other way round): ½ and the power in f_c, 2^(1−ζ), and what is summed in S⁵ rest on that alone.

Departures from the paper: one r_c for all functions of a model; r is in units of r_c, a constant factor of each
descriptor; Σ_m Y² = 1; sums go over ordered neighbors, so that none of n, m and p depends on their order in a list,
where TorchANN takes each two or three once; roots are rounded at 0, √(x + ε²) − ε, where they have a kink; the cosine
of a dihedral fades where a plane's atoms are in line and it has no value. The paper's 173 functions of boron are in
its supplement, not here: the defaults are a small set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import combinations_with_replacement, permutations
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.descriptors.symmetry_terms import power
from adiabat.geometry import Graph
from adiabat.geometry.neighborhood import Neighborhood
from adiabat.nn.spherical_harmonics import SphericalHarmonics

ROUND = 0.01  # ε of roots
STRAIGHT = 0.01  # added to the squares of the normals that a dihedral is between, Å⁴
Power = Annotated[int, Field(ge=0)]
Sharpness = Annotated[float, Field(ge=1.0)]
Sign = Literal[-1, 1]


class PTSDConfig(DescriptorConfig):
    """Options of power-type structure descriptors: a tuple of parameters for each function, see above."""

    kind: Literal["ptsd"] = "ptsd"
    """Name of the descriptor."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """r_c, Å."""
    powers: tuple[Power, ...] = (0, 1, 2, 4, 6, 8)
    """n of S¹."""
    shells: tuple[tuple[Power, Power], ...] = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4))
    """n and L of S²."""
    angles: tuple[tuple[Power, Power, Sharpness, Sign], ...] = tuple(
        (n, m, zeta, sign) for n, m in ((1, 1), (1, 4)) for zeta in (1.0, 4.0) for sign in (1, -1)
    )
    """n, m, ζ and λ of S⁴."""
    triangles: tuple[tuple[Power, Power, Power, Sharpness, Sign], ...] = ((1, 1, 1, 1.0, 1), (1, 1, 1, 4.0, -1))
    """n, m, p, ζ and λ of S³."""
    planes: tuple[tuple[Power, Power, Power, Power], ...] = ((1, 1, 1, 2),)
    """n, m, p and L of S⁵."""
    dihedrals: tuple[tuple[Power, Power, Power, Sharpness, Sign], ...] = ()
    """n, m, p, ζ and λ of S⁶, whose cost is the cube of the number of neighbors."""

    def build(self, elements: Iterable[int]) -> PTSD:
        return PTSD(self, elements)


def tanh_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """½ tanh³(1 − r/r_c), 0 beyond the cutoff."""
    return 0.5 * torch.tanh((1.0 - distances / cutoff).clamp(min=0.0)) ** 3


class Surroundings:
    """The neighbors of all atoms in rows of equal length, and what functions of two of them are made of.

    Args:
        rows: the layout of the rows.
        vectors: `[pairs, 3]`, Å.
        cutoff: Å.

    Attributes:
        live: 1 in slots with a neighbor `[atoms, slots]`.
        both: 1 for two different neighbors `[atoms, slots, slots]`.
        vectors: `[atoms, slots, 3]`; (1, 0, 0) in empty slots.
    """

    def __init__(self, rows: Neighborhood, vectors: Tensor, cutoff: float):
        shape = (rows.atoms, rows.width)
        self.cutoff = cutoff
        self.live = rows.pad(torch.ones_like(vectors[:, 0])).view(shape)
        somewhere = torch.nn.functional.pad(1.0 - self.live[:, :, None], (0, 2))
        self.vectors = rows.pad(vectors).view(*shape, 3) + somewhere
        self.distances = self.vectors.norm(dim=2)
        self.different = 1.0 - torch.eye(rows.width, dtype=vectors.dtype, device=vectors.device)
        self.both = self.live[:, :, None] * self.live[:, None] * self.different

    def power(self, n: int) -> Tensor:
        """R^n of the neighbors' distances `[atoms, slots]`."""
        return (self.distances / self.cutoff) ** n * tanh_cutoff(self.distances, self.cutoff) * self.live

    @cached_property
    def across(self) -> Tensor:
        """Distances between neighbors `[atoms, slots, slots]`, Å; 1 where there are not two."""
        apart = self.vectors[:, None] - self.vectors[:, :, None]
        return (apart.square().sum(dim=3) * self.both + (1.0 - self.both)).sqrt()

    @cached_property
    def cosines(self) -> Tensor:
        """cos θ `[atoms, slots, slots]`."""
        unit = self.vectors / self.distances[:, :, None]
        return unit @ unit.transpose(1, 2)

    @cached_property
    def dihedral_cosines(self) -> Tensor:
        """cos δ between the planes of center, j, k and of center, j, l `[atoms, slots, slots, slots]`."""
        normals = torch.linalg.cross(self.vectors[:, :, None], self.vectors[:, None])
        unit = normals / (normals.square().sum(dim=3, keepdim=True) + STRAIGHT).sqrt()
        return unit @ unit.transpose(2, 3)

    def ends(self, n: int, m: int) -> Tensor:
        """R^n of one neighbor times R^m of another `[atoms, slots, slots]`."""
        return self.power(n)[:, :, None] * self.power(m)[:, None] * self.both

    def triangle(self, n: int, m: int, p: int) -> Tensor:
        """The same times R^p of the distance between them."""
        return self.ends(n, m) * (self.across / self.cutoff) ** p * tanh_cutoff(self.across, self.cutoff)

    def chain(self, n: int, m: int, p: int) -> Tensor:
        """R^n, R^m and R^p of three different neighbors `[atoms, slots, slots, slots]`."""
        other = self.different[:, None] * self.different[None]
        return self.ends(n, m)[..., None] * self.power(p)[:, None, None] * other


class PTSD(Descriptor):
    """Sums over one, two and three neighbors, for every combination of their elements.

    Args:
        config: options.
        elements: atomic numbers.
    """

    def __init__(self, config: PTSDConfig, elements: Iterable[int]):
        super().__init__({int(z) for z in elements}, config.cutoff)
        self.config, self.kinds = config, len(self.elements)
        degrees = [L for _, L in config.shells] + [L for *_, L in config.planes]
        self.harmonics = SphericalHarmonics(max(degrees, default=0), "norm")
        near = [len(config.powers) + len(config.shells)]
        near += [len(config.angles) + len(config.triangles) + len(config.planes), len(config.dihedrals)]
        blocks = [len(list(combinations_with_replacement(range(self.kinds), k))) for k in (1, 2, 3)]
        self.sizes = (sum(a * b for a, b in zip(near, blocks, strict=True)),) * self.kinds

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=Neighborhood.of(graph.pairs, graph.system.atoms))

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        found = graph.layout if isinstance(graph.layout, Neighborhood) else self.prepare(graph).layout
        assert isinstance(found, Neighborhood)
        near = Surroundings(found, vectors, self.cutoff)
        kinds = self.element[graph.system.numbers].index_select(0, found.neighbors).view(found.table.shape)
        is_kind = [(kinds == kind).to(vectors.dtype) * near.live for kind in range(self.kinds)]
        config = self.config
        shapes = self.harmonics(near.vectors.to(self.harmonics.scale.dtype)).to(vectors.dtype)
        columns: list[Tensor] = []
        for n in config.powers:
            columns += [(near.power(n) * own).sum(dim=1) for own in is_kind]
        for n, l in config.shells:
            radial, own_shapes = near.power(n), shapes[:, :, l * l : (l + 1) ** 2]
            columns += [rounded_root(((radial * own)[:, :, None] * own_shapes).sum(dim=1)) for own in is_kind]
        for n, m, zeta, sign in config.angles:
            columns += self._over_two(near.ends(n, m) * power(1.0 + sign * near.cosines, zeta), is_kind)
        for n, m, p, zeta, sign in config.triangles:
            columns += self._over_two(near.triangle(n, m, p) * power(1.0 + sign * near.cosines, zeta), is_kind)
        for n, m, p, l in config.planes:
            own_shapes = shapes[:, :, l * l : (l + 1) ** 2]
            columns += self._over_planes(near.triangle(n, m, p), own_shapes, is_kind)
        for n, m, p, zeta, sign in config.dihedrals:
            columns += self._over_three(
                near.chain(n, m, p) * power(1.0 + sign * near.dihedral_cosines, zeta), is_kind
            )
        return torch.stack(columns, dim=1)

    def _unordered(self, near: int, total: Callable[..., Tensor]) -> list[Tensor]:
        """Sums of `total` over the orders of every unordered combination of elements."""
        found = []
        for combination in combinations_with_replacement(range(self.kinds), near):
            found.append(torch.stack([total(*order) for order in sorted(set(permutations(combination)))]).sum(dim=0))
        return found

    def _over_two(self, values: Tensor, is_kind: list[Tensor]) -> list[Tensor]:
        return self._unordered(2, lambda a, b: over_two(values, is_kind[a], is_kind[b]))

    def _over_planes(self, values: Tensor, shapes: Tensor, is_kind: list[Tensor]) -> list[Tensor]:
        def total(a: int, b: int) -> Tensor:
            own = values * is_kind[a][:, :, None] * is_kind[b][:, None]
            return ((own.sum(dim=2) + own.sum(dim=1))[:, :, None] * shapes).sum(dim=1)

        return [rounded_root(sums) for sums in self._unordered(2, total)]

    def _over_three(self, values: Tensor, is_kind: list[Tensor]) -> list[Tensor]:
        def total(a: int, b: int, c: int) -> Tensor:
            return over_two((values * is_kind[c][:, None, None]).sum(dim=3), is_kind[a], is_kind[b])

        return self._unordered(3, total)


def over_two(values: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Σ_jk a_j b_k x_jk `[atoms]`; einsum would look at the number of slots."""
    return ((values * second[:, None]).sum(dim=2) * first).sum(dim=1)


def rounded_root(parts: Tensor) -> Tensor:
    """√(Σ x² + ε²) − ε of rows `[n, parts]`."""
    return (parts.square().sum(dim=1) + ROUND**2).sqrt() - ROUND
