"""A correct small potential and ways to break it."""

import torch
from torch import Tensor

from adiabat.geometry import Graph
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction


class ToyConfig(ArchitectureConfig):
    method: str = "toy"
    cutoff: float = 4.0


class Toy(AtomicPotential):
    """Pair repulsion and attraction with strengths by element, brought smoothly to zero at the cutoff."""

    def __init__(self, config: ToyConfig = ToyConfig(), elements=(1, 6, 8)):
        super().__init__(config, elements, config.cutoff)
        self.depth = torch.nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def pair_energies(self, graph: Graph) -> Tensor:
        distances = graph.vectors().norm(dim=1)
        numbers = graph.system.numbers.to(distances.dtype)
        strength = self.depth * (numbers[graph.centers] * numbers[graph.neighbors]).sqrt() / 6.0
        inside = torch.clamp(1.0 - (distances / self.cutoff) ** 2, min=0.0) ** 3
        return strength * (torch.exp(-2.0 * (distances - 1.5)) - 2.0 * torch.exp(-(distances - 1.5))) * inside

    def atomic_energies(self, graph: Graph) -> Tensor:
        out = graph.system.positions.new_zeros(graph.system.atoms)
        return out.index_add(0, graph.centers, 0.5 * self.pair_energies(graph))

    def true_forces(self, graph: Graph) -> Tensor:
        with torch.enable_grad():
            positions = graph.system.positions
            if not positions.requires_grad:
                positions = positions.detach().requires_grad_()
            moved = graph.replace(system=graph.system.replace(positions=positions))
            energy = self.atomic_energies(moved).sum()
            return -torch.autograd.grad(energy, positions, create_graph=True)[0]


class Oriented(Toy):
    """Broken INV: prefers the x direction."""

    def pair_energies(self, graph: Graph) -> Tensor:
        return super().pair_energies(graph) * (1.0 + 0.01 * graph.vectors()[:, 0] ** 2)


class Handed(Toy):
    """Broken INV: tells a structure from its mirror image."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        vectors = graph.vectors()
        weights = torch.clamp(1.0 - vectors.norm(dim=1) / self.cutoff, min=0.0)[:, None] ** 2
        sums = [
            vectors.new_zeros(graph.system.atoms, 3).index_add(0, graph.centers, weights ** (k + 1) * vectors)
            for k in range(3)
        ]
        triple = (torch.linalg.cross(sums[0], sums[1], dim=1) * sums[2]).sum(dim=1)
        return super().atomic_energies(graph) + 0.1 * triple


class Indexed(Toy):
    """Broken INV: the order of the atoms matters."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        place = torch.arange(graph.system.atoms, dtype=graph.system.positions.dtype)
        return super().atomic_energies(graph) * (1.0 + 0.01 * place)


class WrongForces(Toy):
    """Broken FD: claims to be conservative, but its forces are a thousandth too large."""

    def forward(self, graph: Graph) -> Prediction:
        return super().forward(graph).replace(forces=1.001 * self.true_forces(graph))


class Detached(Toy):
    """Broken FD: a part of the energy has no gradient."""

    def pair_energies(self, graph: Graph) -> Tensor:
        distances = graph.vectors().norm(dim=1).detach()
        return super().pair_energies(graph) * (1.0 + 0.1 * distances)


class Abrupt(Toy):
    """Broken CUT: the pair energy jumps to zero at the cutoff."""

    def pair_energies(self, graph: Graph) -> Tensor:
        return super().pair_energies(graph) + 1e-4


class Kinked(Toy):
    """Broken CUT: the energy is continuous at the cutoff and the force is not."""

    def pair_energies(self, graph: Graph) -> Tensor:
        return super().pair_energies(graph) + 1e-3 * torch.clamp(self.cutoff - graph.vectors().norm(dim=1), min=0.0)


class Averaged(Toy):
    """Broken EXT: the energy depends on how many atoms there are."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        counts = graph.system.atom_counts[graph.system.system]
        return super().atomic_energies(graph) * (1.0 + 0.01 / counts)


class NoSelfImages(Toy):
    """Broken PBC: forgets that an atom is a neighbor of its own images."""

    def pair_energies(self, graph: Graph) -> Tensor:
        return torch.where(graph.centers == graph.neighbors, 0.0, super().pair_energies(graph))


class Nearest(Toy):
    """Broken PBC: of several images of one neighbor only the first counts."""

    def pair_energies(self, graph: Graph) -> Tensor:
        first = torch.ones_like(graph.centers, dtype=torch.bool)
        seen: set[tuple[int, int]] = set()
        for k, pair in enumerate(graph.pairs.T.tolist()):
            first[k] = tuple(pair) not in seen
            seen.add(tuple(pair))
        return torch.where(first, super().pair_energies(graph), 0.0)


class Leaky(Toy):
    """Broken BATCH: systems of a batch feel each other."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        atomic = super().atomic_energies(graph)
        return atomic + 1e-6 * (len(graph.system) - 1)


class Driven(Toy):
    """Broken NVE: says it is conservative, but the forces have a circulation."""

    def forward(self, graph: Graph) -> Prediction:
        x, y, z = graph.system.positions.detach().unbind(dim=1)
        swirl = 0.05 * torch.stack([-y, x, 0.0 * z], dim=1)
        return super().forward(graph).replace(forces=self.true_forces(graph) + swirl)


class Charged(Toy):
    """Predicts charges that sum to the total charge, or miss it by `error`."""

    error = 0.0

    def forward(self, graph: Graph) -> Prediction:
        counts = graph.system.atom_counts
        share = (graph.system.charge + self.error) / counts
        return super().forward(graph).replace(charges=share[graph.system.system])


class Direct(Toy):
    """Predicts forces without an energy behind them, and says so."""

    conservative = False

    def forward(self, graph: Graph) -> Prediction:
        found = super().forward(graph)
        vectors = graph.vectors()
        forces = torch.zeros_like(graph.system.positions).index_add(0, graph.centers, -vectors)
        return found.replace(forces=forces, stress=vectors.new_zeros(len(graph.system), 3, 3))
