"""How many symmetry functions a linear model of ethanol needs, chosen from a large pool in four ways or by hand.

All functions are computed once. For every number of functions and each way of choosing them (for each element, from
the training features alone) energies and forces of 60 frames are fitted again, and forces of 60 others compared. Sets
by hand are recipes: evenly shifted Gaussians, and angles of every width, power and sign for every two elements.

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

COUNTS = (4, 8, 15, 33, 63)
HAND = {
    15: {"centered": (), "shifted": 3, "angular": (0.5,), "zetas": (1.0,), "signs": (1,)},
    33: {"centered": (), "shifted": 7, "angular": (0.5,), "zetas": (1.0,)},
    63: {"centered": (), "shifted": 5, "angular": (0.5, 4.0), "zetas": (1.0, 4.0)},
}
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


class Pool:
    """Symmetry functions of a recipe, in 60 frames to fit and 60 to compare."""

    def __init__(self, recipe: dict, frames: list):
        descriptor = {"kind": "acsf", "cutoff": 5.0, "recipe": recipe}
        model = Local(LocalConfig.parse({"descriptor": descriptor}), [1, 6, 8])
        with torch.no_grad():
            self.rows, self.labels, self.moments = designed(model, frames[:60])
            self.other_rows, self.other_labels, _ = designed(model, frames[60:])
        self.size = model.descriptor.size
        self.is_force = torch.arange(len(self.other_labels)) % 28 != 0  # nine atoms: a row of energy, 27 of forces

    def error(self, chosen: list[list[int]] | None = None) -> float:
        """Root-mean-square error of forces, meV/Å, with these functions of each element, or all."""
        chosen = chosen or [list(range(self.size))] * 3
        columns = [k * (1 + self.size) + c for k, own in enumerate(chosen) for c in (0, *(1 + c for c in own))]
        triangle = Triangle(len(columns))
        triangle.add(self.rows[:, columns], self.labels)
        ridge = Ridge(triangle)
        left = self.other_rows[:, columns] @ ridge.solve(ridge.evidence()[0]).weights - self.other_labels
        return 1000.0 * float(left[self.is_force].square().mean().sqrt())

    def choice(self, way: str, count: int, **options) -> list[list[int]]:
        """Functions of each element."""
        return [select(SelectConfig(method=way, count=count, **options), own.covariance()) for own in self.moments]


def main() -> None:
    torch.set_default_dtype(torch.float64)
    frames = [f for f in read(str(shipped("ethanol")), index=":123") if f.system.atoms > 1]
    pool = Pool({}, frames)
    whole = pool.error()
    print(f"all {pool.size}: {whole:.0f} meV/Å", flush=True)
    by_hand = [Pool(recipe, frames).error() for recipe in HAND.values()]
    print("by hand                 " + " ".join(f"{value:6.0f}" for value in by_hand), flush=True)
    plt.plot(list(HAND), by_hand, "s-", label="by hand")
    for way in WAYS:
        seeds = [{"seed": seed} for seed in range(SEEDS)] if way == "random" else [{}]
        found = [sum(pool.error(pool.choice(way, count, **one)) for one in seeds) / len(seeds) for count in COUNTS]
        print(f"{way:9s} " + " ".join(f"{value:6.0f}" for value in found), flush=True)
        plt.plot(COUNTS, found, "o-", label=way)
    plt.axhline(whole, color="gray", linestyle="--", label=f"all {pool.size}")
    plt.xscale("log", base=2)
    plt.xticks(COUNTS, [str(count) for count in COUNTS])
    plt.xlabel("symmetry functions of each element")
    plt.ylabel("error of forces (meV/Å)")
    plt.legend()
    plt.tight_layout()
    plt.savefig(sys.argv[1] if len(sys.argv) > 1 else "feature_selection.svg")


if __name__ == "__main__":
    main()
