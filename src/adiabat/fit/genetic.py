"""A genetic algorithm for the parameters of symmetry functions, judged by linear fits.

M. Gastegger, L. Schwiedrzik, M. Bittermann, F. Berzsenyi and P. Marquetand, J. Chem. Phys. 148, 241709 (2018),
doi:10.1063/1.5019667.

| paper | here |
|---|---|
| gene: parameters of one function | `Gene` |
| individual: a set of functions | tuple of genes, as many of each kind as at the start |
| fitness: error of a ridge regression | validation loss of a ridge fit to energies and forces |

The best individuals pass on as they are. The others are children of two parents, each the best of a few drawn at
random: a child has every gene from either parent, and then some of its genes change: η by a factor, R_s of pairs by a
distance, ζ to another power of two, λ to its opposite.

Departures from the paper: forces are fitted too; the ridge's strength is the most probable one; columns of the design
matrix are kept for every gene, so that a generation costs its new genes and one decomposition an individual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.described import DescribedPotential
from adiabat.descriptors.acsf import ACSF, ACSFConfig
from adiabat.descriptors.symmetry_functions import SymmetryFunction, for_elements
from adiabat.elements import number
from adiabat.errors import ConfigError, FitError
from adiabat.fit.reduced import Ridge, Triangle
from adiabat.geometry import Graph
from adiabat.nn.heads import LinearHead
from adiabat.settings import Settings

ZETAS = (1.0, 2.0, 4.0, 8.0, 16.0)
WIDEST, NARROWEST = 0.01, 400.0  # η·R_c²


class GeneticConfig(Settings):
    """Options of the search."""

    generations: int = Field(default=20, ge=1)
    """Generations after the first."""
    population: int = Field(default=20, ge=4)
    """Individuals; the first is the set to improve, the others of the first generation are changed copies."""
    elite: int = Field(default=2, ge=1)
    """Best individuals that pass on as they are."""
    tournament: int = Field(default=3, ge=1)
    """Individuals of which the best becomes a parent."""
    mutation: float = Field(default=0.2, gt=0.0, le=1.0)
    """Probability that a gene changes."""
    step: float = Field(default=0.5, gt=0.0)
    """Size of changes: spread of ln η, and of R_s in units of a tenth of the cutoff."""
    forces: float = Field(default=1.0, ge=0.0)
    """Weight of the mean square of forces (eV/Å) beside that of energies per atom (eV); 0 for energies alone."""
    seed: int = 0
    """Seed of the random numbers."""


class Gene(NamedTuple):
    """Parameters of one function, whatever its elements: see `SymmetryFunction`."""

    kind: str
    eta: float
    shift: float
    zeta: float
    sign: int

    @classmethod
    def of(cls, f: SymmetryFunction) -> Gene:
        """The gene that a function is an expression of."""
        return cls(f.kind, f.eta, f.shift, f.zeta, f.sign)

    def changed(self, step: float, cutoff: float, generator: torch.Generator) -> Gene:
        """A neighbor of it."""
        first, second = torch.randn(2, generator=generator).tolist()
        eta = self.eta * math.exp(step * first)
        eta = min(max(eta, WIDEST / cutoff**2), NARROWEST / cutoff**2)
        if self.kind == "G2":
            return self._replace(eta=eta, shift=min(max(self.shift + 0.1 * step * cutoff * second, 0.0), cutoff))
        zeta, sign = self.zeta, self.sign
        drawn = int(torch.randint(2 * len(ZETAS), (), generator=generator))
        if drawn < len(ZETAS):
            zeta = ZETAS[drawn]
        if second > 1.0:
            sign = -sign
        return self._replace(eta=eta, zeta=zeta, sign=sign)


Individual = tuple[Gene, ...]


@dataclass(frozen=True)
class GeneticResult:
    """What a search found.

    Attributes:
        config: the descriptor with the best functions, one by one.
        losses: lowest validation loss of each generation; the first is that of the set to improve.
        genes: of the best individual.
    """

    config: ACSFConfig
    losses: list[float]
    genes: Individual


def evolve(
    start: ACSFConfig, train: Dataset, valid: Dataset, options: GeneticConfig | None = None, show: bool = False
) -> GeneticResult:
    """Improves the recipe of a descriptor (acsf, wacsf); the number of functions stays.

    Args:
        start: the descriptor, with a recipe; kinds other than G2, G4 and G5 are not served.
        train: frames that the linear models are fitted to; tens suffice where forces are fitted. Single atoms are
            left out.
        valid: frames that judge them.
        options: of the search.
        show: print one line a generation.

    Raises ConfigError for functions given one by one, FitError for frames without the labels.
    """
    options = options or GeneticConfig()
    if start.functions:
        raise ConfigError(
            "descriptor.functions are given one by one: the search starts from a recipe, leave them out."
        )
    generator = torch.Generator().manual_seed(options.seed)
    judge = _Judge(start, train, valid, options.forces)
    first = judge.genes
    people = [first, *(_mutated(first, options, start.cutoff, generator) for _ in range(options.population - 1))]
    losses = [judge.losses([first])[0]]
    for generation in range(options.generations + 1):
        scores = judge.losses(people)
        order = sorted(range(len(people)), key=scores.__getitem__)
        people, scores = [people[k] for k in order], sorted(scores)
        losses.append(scores[0])
        if show:
            print(f"generation {generation}: {scores[0] / losses[0]:.3f} of the first loss")
        if generation < options.generations:
            children = [_child(people, options, start.cutoff, generator) for _ in people[options.elite :]]
            people = people[: options.elite] + children
    functions = tuple(judge.expressed(people[0]))
    return GeneticResult(start.model_copy(update={"functions": functions}), losses, people[0])


def _mutated(genes: Individual, options: GeneticConfig, cutoff: float, generator: torch.Generator) -> Individual:
    drawn = torch.rand(len(genes), generator=generator) < options.mutation
    return tuple(g.changed(options.step, cutoff, generator) if d else g for g, d in zip(genes, drawn, strict=True))


def _child(
    people: Sequence[Individual], options: GeneticConfig, cutoff: float, generator: torch.Generator
) -> Individual:
    """Of two parents; `people` stand best first, so that the smallest number drawn wins."""
    shape = (2, options.tournament)
    one, two = torch.randint(len(people), shape, generator=generator).amin(dim=1).tolist()
    either = torch.rand(len(people[0]), generator=generator) < 0.5
    mixed = tuple(a if e else b for a, b, e in zip(people[one], people[two], either, strict=True))
    return _mutated(mixed, options, cutoff, generator)


class _Judge:
    """Validation losses of ridge fits; columns of the design matrix are made once a gene."""

    def __init__(self, start: ACSFConfig, train: Dataset, valid: Dataset, forces: float):
        self.start = start
        # as in training runs, isolated atoms are left out: a linear model of bonds cannot serve both
        self.parts = [[f for f in part if f.system.atoms > 1] for part in (train, valid)]
        numbers = torch.cat([frame.system.numbers for frame in self.parts[0]])
        self.elements = numbers.unique().tolist()
        found = start.recipe.functions(self.elements, start.cutoff)
        self.genes: Individual = tuple(dict.fromkeys(Gene.of(f) for f in found))
        self.wanted = ("energy", "forces") if forces > 0 else ("energy",)
        for name in self.wanted:
            if not all(name in frame.labels for part in self.parts for frame in part):
                raise FitError(
                    f"a frame has no {name}, which the search fits: give frames with it, or set forces to 0."
                )
        self.counts = [
            torch.tensor([[int((f.system.numbers == z).sum()) for z in self.elements] for f in part]).double()
            for part in self.parts
        ]
        self._columns: dict[Gene, list[Tensor]] = {}
        energies = [torch.stack([f.labels["energy"].double().reshape(()) for f in part]) for part in self.parts]
        reference = torch.linalg.lstsq(self.counts[0], energies[0][:, None], driver="gelsd").solution[:, 0]
        self.labels, self.constants = [], []
        self.scales: list[tuple[Tensor, float]] = []
        for part, counts, energy in zip(self.parts, self.counts, energies, strict=True):
            pulls = [f.labels["forces"].double().reshape(-1) for f in part] if forces > 0 else []
            pull = torch.cat(pulls) if pulls else energy.new_zeros(0)
            by_energy = 1.0 / counts.sum(dim=1) / math.sqrt(len(energy))
            by_forces = math.sqrt(forces / max(len(pull), 1))
            self.scales.append((by_energy, by_forces))
            self.labels.append(torch.cat(((energy - counts @ reference) * by_energy, pull * by_forces)))
            self.constants.append(
                torch.cat((counts * by_energy[:, None], pull.new_zeros((len(pull), counts.shape[1]))))
            )

    def expressed(self, genes: Iterable[Gene]) -> list[SymmetryFunction]:
        """Functions of these genes for all elements."""
        options: list[dict[str, Any]] = [gene._asdict() for gene in dict.fromkeys(genes)]
        pairs = [{n: o[n] for n in ("kind", "eta", "shift")} for o in options if o["kind"] == "G2"]
        triplets = [o for o in options if o["kind"] != "G2"]
        return for_elements(pairs, triplets, self.elements, self.start.cutoff, self.start.recipe.weights)

    def losses(self, people: Sequence[Individual]) -> list[float]:
        """Weighted mean squares of the validation frames, eV² per atom and eV²/Å²."""
        new = [g for g in dict.fromkeys(g for genes in people for g in genes) if g not in self._columns]
        if new:
            self._make(new)
        return [self._loss(genes) for genes in people]

    def _loss(self, genes: Individual) -> float:
        fitted, judged = (
            torch.cat([self.constants[k], *(self._columns[g][k] for g in dict.fromkeys(genes))], dim=1)
            for k in range(2)
        )
        triangle = Triangle(fitted.shape[1])
        triangle.add(fitted, self.labels[0])
        ridge = Ridge(triangle)
        return float((judged @ ridge.solve(ridge.evidence()[0]).weights - self.labels[1]).square().sum())

    def _make(self, genes: Sequence[Gene]) -> None:
        """Columns of these genes in both parts."""
        functions = self.expressed(genes)
        descriptor = ACSF(functions, self.elements, self.start.cutoff_function, self.start.inner)
        head = LinearHead(len(self.elements), descriptor.size)
        potential = DescribedPotential(self.start, self.elements, descriptor, head).double()
        places: dict[Gene, list[int]] = {}
        counts = dict.fromkeys(self.elements, 0)
        for f in functions:
            z = number(f.center)
            place = self.elements.index(z) * (1 + descriptor.size) + 1 + counts[z]
            counts[z] += 1
            places.setdefault(Gene.of(f), []).append(place)
        rows = [self._rows(potential, k) for k in range(2)]
        for gene in genes:
            self._columns[gene] = [own[:, places[gene]] for own in rows]

    def _rows(self, potential: DescribedPotential, part: int) -> Tensor:
        """Rows of a part's energies and forces, weighed."""
        energy, forces = [], []
        by_energy, by_forces = self.scales[part]
        with torch.no_grad():
            for frame in self.parts[part]:
                graph = Graph.build(frame.system, potential.cutoff).to(dtype=torch.float64)
                design = potential.design(potential.features(graph))
                energy.append(design.energy)
                forces.append(design.forces.flatten(0, 1))
        rows = torch.cat(energy) * by_energy[:, None]
        return torch.cat((rows, *(f * by_forces for f in forces))) if "forces" in self.wanted else rows
