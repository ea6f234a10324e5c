"""NICE: N-body iterative contraction of equivariants (Nigam, Pozdnyakov & Ceriotti, doi:10.1063/5.0021116).

| paper | here | shape, unit |
|---|---|---|
| ⟨n l m; ρ_i⟩, ν = 1 | `DensityExpansion`, as in `soap` | [atoms, elements · n_max, (l_max + 1)²] |
| ⟨q; σλμ; ρ_i^ν⟩ | one tensor for each irrep (λ, σ) | [atoms, 2λ + 1, channels] |
| ρ^(ν+1) = Σ_mk ⟨l m; λ' k; λ μ⟩ ρ^ν_k ρ^1_m (eq. 15) | `Step.products` | [atoms, 2λ + 1, channels] |
| U^(ν,σλ), contraction (eq. 21) | `Contraction.mixing`, from training environments | [channels, components] |
| ⟨q; ρ_i^ν⟩, invariants | λ = 0 and σ = 1 of every order | [atoms, features] |

Equivariants of ν neighbors are coupled with the density to those of ν + 1, and of each irrep only the `components` of
largest variance in the training data go on, so that the cost grows linearly with the order. Without contraction the
features are all invariant polynomials of up to ν densities: those of `soap` for ν = 2, of a bispectrum for ν = 3.

Departures from the paper: all products of the kept components are made, without choosing among them by variance
beforehand; what lower orders explain already is not projected out; all central elements share their contractions,
each order of which is divided by one number such that its invariants have variance 1; the density is featomic's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor, DescriptorConfig, slopes_of
from adiabat.descriptors.soap import SOAPConfig
from adiabat.geometry import Graph
from adiabat.nn.clebsch_gordan import coupling
from adiabat.nn.constants import ConstantModule
from adiabat.nn.irreps import Irrep, Irreps

SCALAR = Irrep(0, 1)
ENVIRONMENTS = 2000  # of the training data that contractions are made of
CHUNK = 100  # environments whose products are made together
PAIRS = 20_000  # pairs whose slopes are made together


class NICEConfig(DescriptorConfig):
    """Options of NICE; null for `components` and `invariants` leaves the contractions out."""

    kind: Literal["nice"] = "nice"
    """Name of the descriptor."""
    order: int = Field(default=3, ge=1, le=6)
    """ν: densities in the highest products."""
    n_max: int = Field(default=4, ge=1)
    """Radial functions."""
    l_max: int = Field(default=3, ge=0)
    """Highest degree of the spherical harmonics."""
    lambda_max: int | None = Field(default=None, ge=0)
    """Highest degree λ of the equivariants on the way; null for all that invariants can be made of."""
    sigma: float = Field(default=0.5, gt=0.0)
    """Width of an atom's Gaussian, Å."""
    width: float = Field(default=0.5, gt=0.0)
    """Width of the cosine that ends the neighborhood, Å."""
    components: int | None = Field(default=10, ge=1)
    """Components of each irrep that the next order is made of; null for all."""
    invariants: int | None = Field(default=100, ge=1)
    """Features of each order from the second on: its main components; null for all."""
    threshold: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Components with less than this share of their irrep's variance are set to zero."""

    def build(self, elements: Iterable[int]) -> NICE:
        return NICE(self, elements)


class Contraction(ConstantModule):
    """The main components of one irrep's channels; the first channels until `adapt`.

    Args:
        channels: how many there are.
        kept: how many components.
    """

    mixing: Tensor

    def __init__(self, channels: int, kept: int):
        super().__init__()
        self.register_constant("mixing", np.eye(channels)[:, :kept], persistent=True)

    def forward(self, values: Tensor) -> Tensor:
        """`[..., channels]` to `[..., components]`."""
        return values @ self.mixing.to(values.dtype)

    def adapt(self, moments: Tensor, threshold: float, size: float) -> None:
        """Takes eigenvectors of second moments `[channels, channels]`, divided by `size`, as the components."""
        variances, directions = torch.linalg.eigh(moments)
        kept = self.mixing.shape[1]
        enough = variances.flip(0) >= threshold * variances.clamp(min=0.0).sum()
        found = (directions.flip(1) * enough)[:, :kept] / size
        signs = found.gather(0, found.abs().argmax(dim=0, keepdim=True)).sign()  # the same on every machine
        self.set_constant("mixing", (found * torch.where(signs == 0, 1.0, signs)).cpu().numpy())


class Step(ConstantModule):
    """From the equivariants of ν densities to those of ν + 1, and its invariants.

    Args:
        irreps: of ν, with their channels.
        density: of ν = 1.
        wanted: irreps of ν + 1 that the next order is made of.
        squares: whether both factors are the density, and products that differ in their order only are left out.
        config: how many components are kept.

    Attributes:
        paths: for each irrep made, which of ν and of the density are coupled; the first irrep is the scalar.
        irreps: of ν + 1, contracted.
    """

    def __init__(self, irreps: Irreps, density: Irreps, wanted: Iterable[Irrep], squares: bool, config: NICEConfig):
        super().__init__()
        made = [SCALAR] + [ir for ir in sorted(wanted) if ir != SCALAR]
        self.paths: list[tuple[Irrep, list[tuple[int, int]]]] = []
        sizes = []
        for out in made:
            own, size = [], 0
            for a, (left, one) in enumerate(irreps):
                for b, (right, two) in enumerate(density):
                    if out not in one * two or (squares and a > b):
                        continue
                    self.register_constant(_name(a, b, out), coupling(one.l, two.l, out.l))
                    choice = torch.arange(left * right)
                    if squares and a == b:
                        odd = out.l % 2
                        choice = torch.ones((left, right)).triu(odd).flatten().nonzero()[:, 0]
                    self.register_buffer(f"choice_{_name(a, b, out)}", choice, persistent=False)
                    own.append((a, b))
                    size += len(choice)
            if size:
                self.paths.append((out, own))
                sizes.append(size)
        self.passed = SCALAR in wanted
        kept = [size if config.components is None else min(size, config.components) for size in sizes]
        self.mixing = None
        if config.components is not None:
            self.mixing = nn.ModuleList(Contraction(size, k) for size, k in zip(sizes, kept, strict=True))
        self.size = sizes[0] if config.invariants is None else min(sizes[0], config.invariants)
        self.features = None if config.invariants is None else Contraction(sizes[0], self.size)
        terms = [(k, out) for k, (out, _) in zip(kept, self.paths, strict=True)]
        self.irreps = Irreps(tuple(terms if self.passed else terms[1:]))
        self.threshold = config.threshold

    def products(self, values: Sequence[Tensor], density: Sequence[Tensor]) -> list[Tensor]:
        """All of ν + 1, `[atoms, 2λ + 1, channels]` for each of `paths`."""
        made = []
        for out, own in self.paths:
            parts = []
            for a, b in own:
                name = _name(a, b, out)
                table, choice = (self.get_buffer(n) for n in (name, f"choice_{name}"))
                half = torch.einsum("zpa,pqr->zraq", values[a], table.to(values[a].dtype))
                whole = torch.bmm(half.flatten(1, 2), density[b]).unflatten(1, half.shape[1:3])
                parts.append(whole.flatten(2).index_select(2, choice))
            made.append(torch.cat(parts, dim=2))
        return made

    def forward(self, values: Sequence[Tensor], density: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Invariants `[atoms, size]`, and what the next order is made of."""
        made = self.products(values, density)
        scalars = made[0][:, 0]
        if self.mixing is not None:
            made = [mixing(part) for mixing, part in zip(self.mixing, made, strict=True)]
        scalars = scalars if self.features is None else self.features(scalars)
        return scalars, made if self.passed else made[1:]

    def adapt(self, values: Sequence[Tensor], density: Sequence[Tensor]) -> None:
        """Takes the main components of environments with these equivariants as the contractions."""
        atoms, moments, mean = density[0].shape[0], [], values[0].new_zeros(())
        for begin in range(0, atoms, CHUNK):
            part = slice(begin, begin + CHUNK)
            made = self.products([v[part] for v in values], [d[part] for d in density])
            rows = [m.flatten(0, 1) for m in made]
            found = [r.T @ r / atoms for r in rows]
            moments = [m + f for m, f in zip(moments, found, strict=True)] if moments else found
            mean = mean + rows[0].sum(dim=0) / atoms
        spread = moments[0] - mean[:, None] * mean
        size = float(spread.trace().clamp(min=1e-30).sqrt())
        for contraction, own in zip(self.mixing or (), moments, strict=True):
            assert isinstance(contraction, Contraction)
            contraction.adapt(own, self.threshold, size)
        if self.features is not None:
            self.features.adapt(spread, self.threshold, size)


class NICE(Descriptor):
    """Invariants of every order up to ν.

    Args:
        config: options.
        elements: atomic numbers.

    Attributes:
        expansion: makes the density's coefficients.
        steps: from each order to the next.
    """

    def __init__(self, config: NICEConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        super().__init__(elements, config.cutoff)
        self.config = config
        names = ("cutoff", "n_max", "l_max", "sigma", "width")
        options = {name: getattr(config, name) for name in names}
        self.expansion = SOAPConfig(convention="featomic", **options).build(elements).expansion
        density = Irreps.spherical(config.l_max, len(elements) * config.n_max)
        irreps, steps = density, []
        for order in range(2, config.order + 1):
            wanted = _useful(config.order - order, density, config.lambda_max)
            steps.append(Step(irreps, density, wanted, order == 2, config))
            irreps = steps[-1].irreps
        self.steps = nn.ModuleList(steps)
        self.sizes = (density.channels + sum(step.size for step in steps),) * len(elements)

    def freeze(self) -> None:
        self.expansion.freeze()

    def from_vectors(self, vectors: Tensor, graph: Graph) -> Tensor:
        return self.invariants(self.expansion.from_vectors(vectors, graph))

    def invariants(self, coefficients: Tensor) -> Tensor:
        """Features `[atoms, size]` of the density's coefficients `[atoms, elements, n_max, (l_max + 1)²]`."""
        density = self._by_degree(coefficients)
        values, found = density, [density[0][:, 0]]
        for step in self.steps:
            scalars, values = step(values, density)
            found.append(scalars)
        return torch.cat(found, dim=1)

    def _by_degree(self, coefficients: Tensor) -> list[Tensor]:
        rows = coefficients.flatten(1, 2).transpose(1, 2)
        return [rows[:, l * l : (l + 1) ** 2] for l in range(self.config.l_max + 1)]

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Makes the contractions of environments evenly spread over the training graphs."""
        if self.config.components is None and self.config.invariants is None:
            return
        with torch.no_grad():
            rows = torch.cat([self.expansion.from_vectors(g.vectors(), g) for g in graphs]).double()
            self.adapt_to(rows[:: max(1, -(-len(rows) // ENVIRONMENTS))])

    def adapt_to(self, coefficients: Tensor) -> None:
        """Makes the contractions, order after order, of environments with these coefficients, see `invariants`."""
        density = self._by_degree(coefficients)
        values, places = density, range(0, len(coefficients), CHUNK)
        for step in self.steps:
            assert isinstance(step, Step)
            step.adapt(values, density)
            parts = [step([v[k : k + CHUNK] for v in values], [d[k : k + CHUNK] for d in density])[1] for k in places]
            values = [torch.cat(column) for column in zip(*parts, strict=True)]

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Slopes by the coefficients once for each atom, times the coefficients' slopes by each neighbor."""
        with torch.enable_grad():
            vectors = graph.vectors().detach().requires_grad_()
            terms, channel = self.expansion.of_pairs(vectors, graph)
            along = slopes_of(terms.flatten(1), vectors)
            found = self.expansion.from_vectors(vectors, graph).detach()
            flat = found.flatten(1).requires_grad_()
            values = self.invariants(flat.unflatten(1, found.shape[1:]))
            outer = slopes_of(values, flat).unflatten(2, (found.shape[1], -1))
        slopes = vectors.new_empty((len(vectors), self.size, 3))
        for begin in range(0, len(vectors), PAIRS):
            part = slice(begin, begin + PAIRS)
            slopes[part] = torch.bmm(outer[graph.centers[part], :, channel[part]], along[part])
        return values.detach(), slopes


def _name(a: int, b: int, out: Irrep) -> str:
    return f"coupling{a}_{b}_{out}"


def _useful(steps: int, density: Irreps, lambda_max: int | None) -> set[Irrep]:
    """Irreps that this many further couplings with the density can turn into a scalar; none if there is no step."""
    found = {SCALAR}
    for _ in range(steps):
        found = {ir for wanted in found for _, own in density for ir in wanted * own}
        found = {ir for ir in found if lambda_max is None or ir.l <= lambda_max}
    return found if steps else set()
