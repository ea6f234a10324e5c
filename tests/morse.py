"""A tiny trainable potential, its labels, and a page entry for it: what the tests of fitting train."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from adiabat.architectures import Method
from adiabat.data import Frame, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import ArchitectureConfig, AtomicPotential

METHOD = Method("morse", "morse", "Morse", "Morse pairs with a trainable table", "10.1103/PhysRev.34.57")


class MorseConfig(ArchitectureConfig):
    """Options of the pair potential."""

    method: Literal["morse"] = "morse"
    """Name of the architecture."""
    cutoff: float = 4.0
    """Radius of an atom's neighborhood, Å."""
    hidden: int = 4
    """Size of the small network on distances."""


class Morse(AtomicPotential):
    """Pair energies from distance by a Morse curve per pair of elements plus a small network."""

    def __init__(self, config: MorseConfig, elements):
        super().__init__(config, elements, config.cutoff)
        count = len(self.elements)
        place = torch.zeros(119, dtype=torch.int64)
        place[list(self.elements)] = torch.arange(count)
        self.register_buffer("place", place)
        self.register_buffer("neighbors", torch.ones(()))
        self.depth = torch.nn.Parameter(torch.full((count, count), 0.3))
        self.length = torch.nn.Parameter(torch.full((count, count), 1.5))
        self.inner = torch.nn.Linear(1, config.hidden)
        self.outer = torch.nn.Linear(config.hidden, 1)

    def adapt(self, graphs) -> None:
        pairs = sum(g.pairs.shape[1] for g in graphs)
        self.neighbors.fill_(pairs / sum(g.system.atoms for g in graphs))

    def atomic_energies(self, graph: Graph) -> Tensor:
        distances = graph.vectors().norm(dim=1)
        kinds = self.place[graph.system.numbers]
        i, j = kinds[graph.centers], kinds[graph.neighbors]
        depth, length = (t[i, j] + t[j, i] for t in (self.depth, self.length))
        decay = torch.exp(-1.5 * (distances - 0.5 * length))
        extra = self.outer(torch.tanh(self.inner(distances[:, None])))[:, 0]
        inside = torch.clamp(1.0 - (distances / self.cutoff) ** 2, min=0.0) ** 3
        energies = (depth * (decay.square() - 2.0 * decay) + 0.05 * extra) * inside
        out = distances.new_zeros(graph.system.atoms)
        return out.index_add(0, graph.centers, 0.5 * energies)


def model(seed: int = 0, elements=(1, 6), dtype=torch.float64) -> Morse:
    """A Morse with reproducible random weights."""
    torch.manual_seed(seed)
    return Morse(MorseConfig(), elements).to(dtype)


def frames(count: int, seed: int = 0, periodic: int = 0, labels=("energy", "forces", "stress")) -> list[Frame]:
    """Random structures labeled by another Morse; the first `periodic` ones are crystals with stress."""
    rng = np.random.default_rng(seed)
    truth = model(seed=99)
    out = []
    for k in range(count):
        grid = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3)[: 4 + k % 4] * 1.6
        positions = grid + 0.15 * rng.normal(size=grid.shape)
        numbers = rng.choice([1, 6], size=len(grid))
        numbers[:2] = (1, 6)
        cell = np.eye(3) * 3.6 if k < periodic else None
        system = System.from_arrays(positions, numbers, cell, k < periodic)
        graph = Graph.build(system, truth.cutoff)
        want = ("energy", "forces", "stress") if k < periodic else ("energy", "forces")
        found = evaluate(truth, graph, want)
        values = {"energy": found.energy[0] - 3.0 * len(grid), "forces": found.forces}
        if k < periodic:
            values["stress"] = found.stress[0]
        given = {n: v for n, v in values.items() if n in labels}
        out.append(Frame(system, given, {"config_type": "crystal" if k < periodic else "cluster"}))
    return out


def dataset(count: int, seed: int = 0, **more) -> MemoryDataset:
    """The same as a data set."""
    return MemoryDataset(frames(count, seed, **more))
