"""Weighted symmetry functions beside as many element-resolved ones, on energies of molecules of five elements.

    python benchmarks/weighted_functions.py QM7.extxyz [GENERATIONS]

Every fifth molecule of QM7 (atomization energies), 1,000 to train and the others to test; the same element networks,
trained on energies alone from three starts, see 32 weighted functions, as many that a genetic search with linear fits
of training molecules has found, or 30 of a recipe for every element and pair.
"""

import sys

import ase.io
import torch

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig, WACSFNNConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.descriptors.wacsf import WACSFConfig
from adiabat.fit.genetic import GeneticConfig, evolve
from adiabat.geometry import Graph, System

CUTOFF, TRAIN, EPOCHS, RATE, SEEDS = 6.0, 1000, 600, 0.003, 5
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


def error(config, graph, target, seed):
    """Mean absolute error of the test molecules, eV, and the number of features."""
    torch.manual_seed(seed)
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


def evolved(frames, generations):
    """The weighted functions after a genetic search in the training molecules, a fifth of which judges."""
    known = [Frame(System.from_ase(a), {"energy": torch.tensor(a.get_potential_energy())}) for a in frames[:TRAIN]]
    fitted, judges = MemoryDataset(known[: 4 * TRAIN // 5]), MemoryDataset(known[4 * TRAIN // 5 :])
    options = GeneticConfig(generations=generations, forces=0.0)
    start = WACSFConfig(cutoff=CUTOFF, recipe=SETS["weighted"].recipe)
    return WACSFNNConfig(cutoff=CUTOFF, functions=evolve(start, fitted, judges, options, show=True).config.functions)


def main():
    torch.set_default_dtype(torch.float64)
    frames = ase.io.read(sys.argv[1], "::5", format="extxyz")
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0)).tolist()
    frames = [frames[k] for k in order]
    graph = Graph.batch([Graph.build(System.from_ase(atoms), CUTOFF) for atoms in frames])
    target = residuals(graph, torch.tensor([atoms.get_potential_energy() for atoms in frames]))
    generations = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    for name, config in {**SETS, "weighted, evolved": evolved(frames, generations)}.items():
        found, sizes = zip(*(error(config, graph, target, seed) for seed in range(SEEDS)), strict=True)
        each = ", ".join(f"{1000 * one:.0f}" for one in found)
        print(f"{name}: {sizes[0]} features, {1000 * sum(found) / SEEDS:.0f} meV ({each})", flush=True)


if __name__ == "__main__":
    main()
