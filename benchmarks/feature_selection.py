"""How many symmetry functions a linear model of ethanol needs, chosen from a large pool in four ways.

All functions are computed once. For every number of functions and each way of choosing them (for each element, from
the training features alone) energies and forces of 60 frames are fitted again, and forces of 60 others compared.

    python benchmarks/feature_selection.py [picture.svg]
"""

import sys

import matplotlib.pyplot as plt
import torch

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.data import read
from adiabat.descriptors.selection import Moments, SelectConfig, select
from adiabat.fit.reduced import Ridge, Triangle
from adiabat.geometry import Graph
from adiabat.quickstart import shipped

COUNTS = (4, 8, 16, 32, 64)
WAYS = ("cur", "farthest", "pearson", "random")
SEEDS = 3  # of random choices, whose mean is shown


def designed(model: Local, frames: list) -> tuple[torch.Tensor, torch.Tensor, list[Moments]]:
    """Rows of energies per atom and forces, their labels, and moments of each element's features."""
    rows, labels = [], []
    moments = [Moments(model.descriptor.size) for _ in model.elements]
    mean = torch.stack([f.labels["energy"] for f in frames]).double().mean()
    for frame in frames:
        features = model.features(Graph.build(frame.system, model.cutoff))
        design, atoms = model.design(features), frame.system.atoms
        rows += [design.energy / atoms, design.forces.flatten(0, 1)]
        labels += [
            (frame.labels["energy"].double() - mean).reshape(1) / atoms,
            frame.labels["forces"].double().flatten(),
        ]
        for place, number in enumerate(model.elements):
            moments[place].add(features.values[features.numbers == number])
    return torch.cat(rows), torch.cat(labels), moments


def main() -> None:
    torch.set_default_dtype(torch.float64)
    frames = [f for f in read(str(shipped("ethanol")), index=":123") if f.system.atoms > 1]
    model = Local(LocalConfig.parse({"descriptor": {"kind": "acsf", "cutoff": 5.0}}), [1, 6, 8])
    with torch.no_grad():
        rows, labels, moments = designed(model, frames[:60])
        other_rows, other_labels, _ = designed(model, frames[60:])
    size = model.descriptor.size
    is_force = torch.arange(len(other_labels)) % 28 != 0  # nine atoms: a row of energy, 27 of forces

    def error(chosen: list[list[int]]) -> float:
        """Root-mean-square error of forces, meV/Å, with these functions of each element."""
        columns = [place * (1 + size) + k for place, own in enumerate(chosen) for k in (0, *(1 + c for c in own))]
        triangle = Triangle(len(columns))
        triangle.add(rows[:, columns], labels)
        ridge = Ridge(triangle)
        left = other_rows[:, columns] @ ridge.solve(ridge.evidence()[0]).weights - other_labels
        return 1000.0 * float(left[is_force].square().mean().sqrt())

    def choice(way: str, count: int, **options) -> list[list[int]]:
        return [select(SelectConfig(method=way, count=count, **options), own.covariance()) for own in moments]

    whole = error([list(range(size))] * 3)
    print(f"all {size}: {whole:.0f} meV/Å", flush=True)
    for way in WAYS:
        seeds = [{"seed": seed} for seed in range(SEEDS)] if way == "random" else [{}]
        found = [sum(error(choice(way, count, **one)) for one in seeds) / len(seeds) for count in COUNTS]
        print(f"{way:9s} " + " ".join(f"{value:6.0f}" for value in found), flush=True)
        plt.plot(COUNTS, found, "o-", label=way)
    plt.axhline(whole, color="gray", linestyle="--", label=f"all {size}")
    plt.xscale("log", base=2)
    plt.xticks(COUNTS, [str(count) for count in COUNTS])
    plt.xlabel("symmetry functions of each element")
    plt.ylabel("error of forces (meV/Å)")
    plt.legend()
    plt.tight_layout()
    plt.savefig(sys.argv[1] if len(sys.argv) > 1 else "feature_selection.svg")


if __name__ == "__main__":
    main()
