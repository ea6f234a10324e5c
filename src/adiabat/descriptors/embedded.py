"""What the Deep Potential descriptors share: rows of neighbors, embedding networks and the number of slots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from adiabat.descriptors.base import Descriptor, DescriptorConfig
from adiabat.elements import number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.environment_matrix import EnvironmentMatrix
from adiabat.settings import Settings

SMALLEST = 1e-2  # deviations below it count as this, as in DeePMD-kit
VIRTUAL = 200  # added to the number of an element for the virtual atoms at the tips of its magnetic moments
FRESH = 16  # slots of an element that no training data have set
Positive = Annotated[int, Field(ge=1)]


class EnvironmentSettings(Settings):
    """Options of the rows and of the embedding networks."""

    cutoff: float = Field(default=6.0, gt=0.0)
    """r_c, Å."""
    onset: float = Field(default=0.5, ge=0.0)
    """r_cs, where the weight of a neighbor begins to fall, Å."""
    neighbors: dict[str, Positive] = {}
    """Neighbors of each element that sums are divided by; none to take 1.1 times the most in the training data."""
    activation: str = "tanh"
    """Activation function of the embedding networks."""
    steps: bool = False
    """Whether layers that add their input have trained factors (resnet_dt)."""
    centered: bool = True
    """Whether the mean of s over the training data is subtracted."""
    protection: float = Field(default=0.0, ge=0.0)
    """Added to distances before they are divided by, for neighbors that may lie on the center, Å (env_protection)."""


class EmbeddedConfig(EnvironmentSettings, DescriptorConfig):
    """Base of the descriptors' configurations: their networks belong to several elements at once, or to all."""

    trained: ClassVar[bool] = True
    projected: ClassVar[bool] = False

    def build(self, elements: Iterable[int]) -> EmbeddedDescriptor:
        raise NotImplementedError


def name_of(number: int) -> str:
    """Symbol of an element, with `_spin` behind it for its virtual atoms, whose numbers begin at VIRTUAL."""
    return symbol(number) if number < VIRTUAL else f"{symbol(number - VIRTUAL)}_spin"


def number_of(name: str) -> int:
    """The number that `name_of` gives this name."""
    return number(name.removesuffix("_spin")) + (VIRTUAL if name.endswith("_spin") else 0)


class EmbeddedDescriptor(Descriptor):
    """Base of descriptors whose features are sums over embedded neighbors.

    A sum runs over as many slots as `slots` says; a slot without a neighbor counts as one at the cutoff. Then there
    is no jump where a neighbor comes in, and more neighbors than slots do no harm.

    Attributes:
        vectors: how many vectors that turn with the system an atom has.
    """

    projected: ClassVar[bool] = False
    slots: Tensor
    vectors = 0

    def __init__(self, options: EnvironmentSettings, elements: Iterable[int]):
        super().__init__(elements, options.cutoff)
        kinds = len(self.elements)
        self.options, self.kinds = options, kinds
        self.environment = EnvironmentMatrix(options.cutoff, options.onset, kinds, options.protection)
        names = [name_of(z) for z in self.elements]
        if options.neighbors and set(options.neighbors) != set(names):
            raise ConfigError(
                f"neighbors is given for {', '.join(options.neighbors)} where the elements are {', '.join(names)}:"
                " give all of them, or none."
            )
        given = {number_of(name): count for name, count in options.neighbors.items()}
        self.register_buffer("slots", torch.tensor([float(given.get(z, FRESH)) for z in self.elements]))

    def ends(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Places of the elements of each pair's center and neighbor `[pairs]`."""
        element = self.element[graph.system.numbers]
        return graph.of_centers(element), graph.of_neighbors(element)

    def prepare(self, graph: Graph) -> Graph:
        return graph.replace(layout=graph.rows(), triplets=self.triplets(graph))

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets slots, mean and deviation from training graphs; means run over all slots, empty ones included."""
        environment, kinds = self.environment, self.kinds
        count, sums = torch.zeros(kinds, dtype=torch.float64), torch.zeros((kinds, 3), dtype=torch.float64)
        most = torch.zeros(kinds, dtype=torch.int64)
        for graph in graphs:
            vectors = graph.vectors().double()
            near = vectors.norm(dim=1) < self.cutoff
            center, neighbor = (ends[near] for ends in self.ends(graph))
            rows = environment.raw(vectors[near])
            values = torch.stack((rows[:, 0], rows[:, 0] ** 2, (rows[:, 1:] ** 2).sum(dim=1) / 3), dim=1)
            sums.index_add_(0, center, values)
            count += torch.bincount(self.element[graph.system.numbers], minlength=kinds)
            place = graph.centers[near] * kinds + neighbor
            found = torch.bincount(place, minlength=graph.system.atoms * kinds).view(-1, kinds)
            most = torch.maximum(most, found.amax(dim=0))
        if not self.options.neighbors:  # the rule of DeePMD-kit's "auto"
            self.slots.copy_(((1.1 * most / 4).ceil() * 4).clamp(min=4))
        total = (count * float(self.slots.sum()))[:, None].clamp(min=1.0)
        mean, square, direction = (sums / total).unbind(1)
        mean = mean if self.options.centered else torch.zeros_like(mean)
        spread = torch.stack(((square - mean**2).clamp(min=0.0).sqrt(), direction.sqrt()), dim=1)
        known = count > 0
        environment.mean.copy_(torch.where(known, mean, torch.zeros_like(mean)))
        environment.deviation.copy_(torch.where(known[:, None], spread.clamp(min=SMALLEST), torch.ones_like(spread)))

    def with_vectors(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Features `[atoms, size]` and the atoms' vectors `[atoms, 3, vectors]`."""
        return self(graph), graph.system.positions.new_zeros((graph.system.atoms, 3, 0))

    def triplets(self, graph: Graph) -> Tensor | None:
        """Pairs of pairs that the sums run over `[2, triplets]`, or None if they run over pairs alone."""
        return None
