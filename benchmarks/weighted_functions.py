"""Weighted symmetry functions beside as many element-resolved ones, on energies of molecules of five elements.

    python benchmarks/weighted_functions.py QM7.extxyz

Every fifth molecule of QM7 (atomization energies), 1,000 to train and the others to test; the same element networks,
trained on energies alone, see 32 weighted functions or 30 of a recipe for every element and pair.
"""

import sys

import ase.io
import torch

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig, WACSFNNConfig
from adiabat.geometry import Graph, System

CUTOFF, TRAIN, EPOCHS, RATE = 6.0, 1000, 150, 0.003
ANGLES = {"centered": (), "shifted": 3, "start": 0.2, "angular": (2.0,), "zetas": (1.0,), "signs": (1,)}
PAIRS = {"centered": (), "shifted": 6, "start": 0.1, "angular": ()}
SETS = {
    "weighted": WACSFNNConfig(cutoff=CUTOFF),
    "resolved: 3 radial of each element, 1 angular of each two": BPNNConfig.parse(
        {"cutoff": CUTOFF, "recipe": ANGLES}
    ),
    "resolved: 6 radial of each element": BPNNConfig.parse({"cutoff": CUTOFF, "recipe": PAIRS}),
}


def residuals(graph, energies):
    """What the composition does not explain of the energies `[molecules]`, eV."""
    counts = torch.zeros((len(energies), 119)).index_put_(
        (graph.system.system, graph.system.numbers), torch.ones(graph.system.atoms), accumulate=True
    )
    return energies - counts @ torch.linalg.lstsq(counts[:TRAIN], energies[:TRAIN], driver="gelsd").solution


def error(config, graph, target):
    """Mean absolute error of the test molecules, eV, and the number of features."""
    torch.manual_seed(0)
    model = BPNN(config, torch.unique(graph.system.numbers).tolist()).double()
    element = model.descriptor.element[graph.system.numbers]
    rows = model.descriptor.values(graph)
    owner = graph.system.system
    known = owner < TRAIN
    model.scaling.adapt(rows[known], element[known])
    rows, scale = model.scaling(rows, element).detach(), target[:TRAIN].std()

    def predicted(part):
        atomic = model.networks.everywhere(rows[part], element[part])
        return torch.zeros(len(target)).index_add(0, owner[part], atomic)

    optimizer = torch.optim.Adam(model.networks.parameters(), RATE)
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - epoch / EPOCHS)
        optimizer.zero_grad()
        (predicted(known)[:TRAIN] - target[:TRAIN] / scale).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        return float((scale * predicted(~known)[TRAIN:] - target[TRAIN:]).abs().mean()), model.descriptor.size


def main():
    torch.set_default_dtype(torch.float64)
    frames = ase.io.read(sys.argv[1], "::5", format="extxyz")
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0)).tolist()
    frames = [frames[k] for k in order]
    graph = Graph.batch([Graph.build(System.from_ase(atoms), CUTOFF) for atoms in frames])
    target = residuals(graph, torch.tensor([atoms.get_potential_energy() for atoms in frames]))
    for name, config in SETS.items():
        found, size = error(config, graph, target)
        print(f"{name}: {size} features, {1000 * found:.0f} meV", flush=True)


if __name__ == "__main__":
    main()
