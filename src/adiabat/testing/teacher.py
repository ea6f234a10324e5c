"""A small analytic potential that labels structures for the FIT check."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from adiabat.data.dataset import MemoryDataset
from adiabat.data.frame import Frame
from adiabat.elements import COVALENT_RADII
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import ArchitectureConfig, AtomicPotential


class TeacherConfig(ArchitectureConfig):
    """Options of the teacher."""

    method: str = "teacher"
    """Not a method that can be built by name."""
    cutoff: float = 4.0
    """Å."""
    depth: float = 0.5
    """Of each pair's well, eV."""


class Teacher(AtomicPotential):
    """Morse pairs with minima at the sums of covalent radii, smooth at the cutoff."""

    radii: Tensor

    def __init__(self, config: TeacherConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        self.depth = config.depth
        self.register_buffer("radii", torch.as_tensor(COVALENT_RADII, dtype=torch.float64))

    def atomic_energies(self, graph: Graph) -> Tensor:
        distances = graph.vectors().norm(dim=1)
        radii = self.radii[graph.system.numbers]
        decay = torch.exp(-(distances - radii[graph.centers] - radii[graph.neighbors]))
        smooth = torch.clamp(1.0 - (distances / self.cutoff) ** 2, min=0.0) ** 3
        energies = 0.5 * self.depth * (decay**2 - 2.0 * decay) * smooth
        return energies.new_zeros(graph.system.atoms).index_add(0, graph.centers, energies)


def labeled(system: System, count: int = 20, amplitude: float = 0.05, seed: int = 1) -> MemoryDataset:
    """Rattled copies of a system with the teacher's energies and forces.

    Args:
        system: one system.
        count: how many copies.
        amplitude: standard deviation of each coordinate's displacement, Å.
        seed: of the displacements.
    """
    generator = torch.Generator().manual_seed(seed)
    teacher = Teacher(TeacherConfig(), system.numbers.tolist())
    frames = []
    for _ in range(count):
        noise = torch.randn(system.positions.shape, generator=generator, dtype=torch.float64)
        moved = system.replace(positions=system.positions + amplitude * noise)
        found = evaluate(teacher, Graph.build(moved, teacher.cutoff))
        assert found.forces is not None
        frames.append(Frame(moved, {"energy": found.energy[0], "forces": found.forces}))
    return MemoryDataset(frames, "teacher")
