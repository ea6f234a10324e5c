"""Tantalum fitted with an input of FitSNAP, beside the potential that FitSNAP published with it.

    python benchmarks/fitsnap_ta.py Ta.extxyz.xz Ta-example.in Ta_pot.snapcoeff

Prints a row for each group of frames: mean absolute errors of both, evaluated here, and the largest difference of the
coefficients. Inputs and potentials are those of FitSNAP's examples Ta_Linear_JCP2014 and Ta_Quadratic_JCP2018.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import torch

import adiabat
from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.data import MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph
from adiabat.pretrained.fitsnap import read_fitsnap
from adiabat.pretrained.importers.snap import read_snap


def errors(model: SNAP, frames) -> dict[tuple[str, str], float]:
    """Mean absolute errors by group and label, meV/atom and meV/Å."""
    found = defaultdict(list)
    frozen = model.frozen()
    for frame in frames:
        made = evaluate(frozen, Graph.build(frame.system, model.cutoff), ("energy", "forces"))
        for group in (frame.info["group"], "all"):
            off = (made.energy - frame.labels["energy"]).abs() / frame.system.atoms
            found[group, "energy"].append(off.reshape(-1))
            found[group, "forces"].append((made.forces - frame.labels["forces"]).abs().reshape(-1))
    return {key: 1000.0 * float(torch.cat(values).mean()) for key, values in found.items()}


def main() -> None:
    """Fits, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "input", "published"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    frames = adiabat.read(str(given.data))
    recipe = read_fitsnap(given.input)
    model = SNAP(SNAPConfig.parse(recipe["model"]), [73])
    began = time.process_time()
    LinearFitter(model, frames, MemoryDataset([frames[0]]), LinearConfig.parse(recipe["fit"])).fit()
    seconds = time.process_time() - began
    published = read_snap(given.published, repulsion=recipe["model"].get("repulsion"))
    change = float((model.head.weights - published.head.weights).detach().abs().max())
    print(f"{model.head.weights.numel()} coefficients in {seconds:.0f} s of processor time, off by {change:.1e} eV\n")
    ours, theirs = errors(model, frames), errors(published, frames)
    print("| group | energy, meV/atom | forces, meV/Å |\n|---|---|---|")
    for group in sorted({group for group, _ in ours}):
        cells = (f"{ours[group, n]:.4g} / {theirs[group, n]:.4g}" for n in ("energy", "forces"))
        print(f"| {group} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
