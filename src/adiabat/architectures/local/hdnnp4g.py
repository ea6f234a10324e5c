"""Fourth-generation neural network potential: charges in equilibrium over the whole structure, felt by its energies.

T. W. Ko, J. A. Finkler, S. Goedecker and J. Behler, Nat. Commun. 12, 398 (2021), doi:10.1038/s41467-020-20427-2;
program whose numbers it gives: n2p2, doi:10.1021/acs.jctc.8b00770.

| paper | here | shape, unit |
|---|---|---|
| G_i | `scaled` symmetry functions | [atoms, size], 1 |
| χ_i | `electronegativities` | [atoms], eV/e |
| J_i | `equilibration.hardness` | [elements], eV/e² |
| σ_i | `equilibration.coulomb.widths` | [elements], Å |
| Q_i (eq. 3) | `charges` | [atoms], e |
| E_elec (eq. 8), with E_screen | `electrostatics` | [atoms], eV |
| E_i(G_i, Q_i) | `networks` | [atoms], eV |

The total charge of a system is exact. What happens far away changes the charges here, so that far fragments do not
add up, as is intended. Charges are labels like others (`loss: {charges: ...}`), fitted with energies and forces.

Departures from the paper: both networks are fitted at once, not first one and then the other; the default symmetry
functions are one compact recipe; the charge is the first of the short-range network's inputs. Unlike in n2p2, a
charged cell is in a uniform background, without which its energy would depend on how Ewald's sum is split. Systems
that are periodic in one or two directions are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.scaling import FeatureScaling, Rule
from adiabat.descriptors.symmetry_functions import Recipe, SymmetryFunction
from adiabat.elements import COVALENT_RADII, number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.activations import ACTIVATIONS
from adiabat.nn.charge_equilibration import ChargeEquilibration, GaussianCoulomb, ScreenedElectrostatics
from adiabat.nn.element_networks import ElementNetworks
from adiabat.nn.ewald_split import EwaldSplit
from adiabat.nn.inner_cutoffs import CutoffKind, InnerCutoff
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy
from adiabat.units import COULOMB


class HDNNP4GConfig(ArchitectureConfig):
    """Options of the networks, their symmetry functions and the charges."""

    method: Literal["hdnnp_4g"] = "hdnnp_4g"
    """Name of the architecture."""
    cutoff: float = Field(default=6.0, gt=0.0)
    """R_c of the recipe, Å."""
    cutoff_function: CutoffKind = "cosine"
    """f_c: hard, cosine, tanh3, tanh3-normalized, exponential or poly1 to poly4."""
    inner: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Radius up to which f_c is 1, fraction of the cutoff."""
    recipe: Recipe = Recipe()
    """Symmetry functions for every combination of elements."""
    functions: tuple[SymmetryFunction, ...] = ()
    """Symmetry functions one by one; if given, `recipe` is not used and `cutoff` is the largest of theirs."""
    hidden: tuple[int, ...] = (15, 15)
    """Nodes of each hidden layer of the short-range networks."""
    charge_hidden: tuple[int, ...] = (15, 15)
    """Nodes of each hidden layer of the networks of the electronegativities."""
    activation: tuple[str, ...] = ("tanh",)
    """Activation of all hidden layers, or one for each of either network."""
    scaling: Rule = "range-center"
    """none; range: G − min over the range; center: G − mean; range-center: both; sigma: by standard deviation."""
    widths: dict[str, float] = {}
    """σ of some elements' charges, Å; of the others, their covalent radii."""
    hardness: dict[str, float] = {}
    """J of some elements before training, eV/e²; of the others 10."""
    screening: tuple[float, float] | None = (0.4, 1.0)
    """Where charges begin to act on each other and where they fully do, fractions of the cutoff, without their own
    energy; null for at once and with it."""
    screening_function: CutoffKind = "cosine"
    """How charges begin to act, with the names of `cutoff_function`."""
    split: EwaldSplit = EwaldSplit()
    """How Ewald's sum is split in periodic systems."""
    coulomb: float = Field(default=COULOMB, gt=0.0)
    """e²/4πε₀, eV Å."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.screening is not None and not 0.0 <= self.screening[0] < self.screening[1]:
            raise ValueError(f"screening {self.screening} needs 0 ≤ start < end")
        for name in ("widths", "hardness"):
            for element, value in getattr(self, name).items():
                if value <= 0.0:
                    raise ValueError(f"{name} gives {element} {value}, which is not positive")
        unknown = set(self.activation) - set(ACTIVATIONS)
        if unknown:
            raise ValueError(f"activation {sorted(unknown)[0]!r} is none of {', '.join(ACTIVATIONS)}")
        return self

    def activations(self, layers: int) -> tuple[str, ...]:
        """One for each of so many hidden layers."""
        given = self.activation * layers if len(self.activation) == 1 else self.activation
        if len(given) != layers:
            raise ConfigError(
                f"{len(given)} activations {given} do not fit {layers} hidden layers: give one for each."
            )
        return given


class HDNNP4G(AtomicPotential):
    """Electronegativities, charges, electrostatic and short-range energies (fig. 2)."""

    config: HDNNP4GConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, config: HDNNP4GConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        functions = config.functions or config.recipe.functions(elements, config.cutoff)
        reach = max(f.cutoff for f in functions)
        start, stop = config.screening or (0.0, 0.0)
        super().__init__(config, elements, reach * max(1.0, stop))
        self.descriptor = ACSF(functions, self.elements, config.cutoff_function, config.inner)
        sizes = self.descriptor.sizes
        self.scaling = FeatureScaling(len(sizes), self.descriptor.size, config.scaling)
        layers = len(config.charge_hidden)
        self.charge_networks = ElementNetworks(sizes, config.charge_hidden, config.activations(layers))
        inputs = [size + 1 for size in sizes]
        self.networks = ElementNetworks(inputs, config.hidden, config.activations(len(config.hidden)))
        widths = _of_elements(config.widths, self.elements, {z: float(COVALENT_RADII[z]) for z in self.elements})
        coulomb = GaussianCoulomb(widths, config.split, config.coulomb)
        hardness = _of_elements(config.hardness, self.elements, dict.fromkeys(self.elements, 10.0))
        self.equilibration = ChargeEquilibration(coulomb, hardness)
        nearby = InnerCutoff(config.screening_function, reach * stop, start / stop) if stop else None
        self.electrostatics = None if nearby is None else ScreenedElectrostatics(nearby, config.coulomb)

    def prepare(self, graph: Graph) -> Graph:
        graph = self.equilibration.coulomb.prepare(super().prepare(graph))
        return graph if self.is_frozen else graph.replace(triplets=self.descriptor.triplets(graph))

    def check(self, graph: Graph) -> None:
        super().check(graph)
        self.equilibration.coulomb.check(graph)

    def freeze(self) -> None:
        self.descriptor.freeze()

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the scaling from the features of the training graphs, element by element."""
        rows = torch.cat([self.descriptor.values(g.to(dtype=torch.float64)) for g in graphs])
        numbers = torch.cat([g.system.numbers for g in graphs])
        self.scaling.adapt(rows, self.descriptor.element[numbers])

    def forward(self, graph: Graph) -> Prediction:
        graph = self.equilibration.coulomb.prepare(graph)
        element = self.descriptor.element[graph.system.numbers]
        scaled = self.scaling(self.descriptor(graph), element)
        electronegativities = self.charge_networks.everywhere(scaled, element)
        charges, potentials = self.equilibration(graph, electronegativities, element)
        if self.electrostatics is None:
            distant = 0.5 * charges * potentials
        else:
            sigma = self.equilibration.coulomb.widths[element]
            distant = self.electrostatics(graph, charges, potentials, sigma)
        near = self.networks.everywhere(torch.cat([charges[:, None], scaled], dim=1), element)
        energies = near + distant
        dipole = graph.system.sum_over_atoms(charges[:, None] * graph.system.positions)
        return Prediction(
            total_energy(energies, graph),
            atomic_energies=energies,
            charges=charges,
            dipole=dipole,
            properties={"electronegativities": electronegativities, "electrostatic_energies": distant},
        )

    def atomic_energies(self, graph: Graph) -> Tensor:
        energies = self.forward(graph).atomic_energies
        assert energies is not None
        return energies


def _of_elements(given: dict[str, float], elements: Sequence[int], others: dict[int, float]) -> list[float]:
    """Values in order of elements; ConfigError for elements that the model does not have."""
    own = {number(name): value for name, value in given.items()}
    if own.keys() - set(elements):
        names = ", ".join(symbol(z) for z in elements)
        raise ConfigError(f"{sorted(given)} are not all among the model's elements {names}: leave the others out.")
    return [own.get(z, others[z]) for z in elements]
