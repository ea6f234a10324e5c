"""Energies and forces of `local` models by automatic differentiation and frozen, µs an atom on one core.

256 atoms of AlCu at random displacements; models have random weights, which cost what fitted ones do.

    python benchmarks/local_kernels.py [descriptor ...]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from ase.build import bulk

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.compile.frozen import Frozen
from adiabat.evaluate import derive
from adiabat.geometry import Graph, System

DESCRIPTORS = {
    "ace": {"cutoff": 5.0, "n_max": (8, 4, 2), "l_max": (0, 3, 2), "bond": {"count": 8}},
    "mtp": {"cutoff": 5.0, "level": 16, "inner": 2.0},
    "gaussian_moments": {"cutoff": 5.0},
    "chebyshev": {"cutoff": 6.0, "angular_cutoff": 5.0},
    "aev": {"cutoff": 5.0, "angular_cutoff": 3.5},
    "nep": {"cutoff": 5.0, "angular_cutoff": 5.0},
}
REGRESSORS = {"linear": {}, "quadratic": {}, "gaussian_process": {"points": 100}, "network": {}}
WANT = ("energy", "forces")


def crystal() -> System:
    """Half aluminium, half copper on copper's lattice."""
    atoms, random = bulk("Cu", cubic=True) * (4, 4, 4), np.random.default_rng(0)
    atoms.rattle(0.1, seed=1)
    numbers = np.where(random.permutation(len(atoms)) % 2, 13, 29)
    return System.from_arrays(atoms.positions, numbers, np.array(atoms.cell), True)


def fastest(run: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest call after the first."""
    found = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return min(found[1:])


def row(kind: str, regressor: str, system: System) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    options = {
        "descriptor": {"kind": kind} | DESCRIPTORS[kind],
        "regressor": {"kind": regressor} | REGRESSORS[regressor],
    }
    model = Local(LocalConfig.parse(options), [13, 29])
    graph = Graph.build(system, model.cutoff)
    model.adapt([graph])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    prepared, frozen = model.prepare(graph), Frozen(model, patience=0)
    plain = fastest(lambda: derive(model, prepared, WANT), 3)
    quick = fastest(lambda: frozen.evaluate(graph, WANT), 12)
    size = 1e6 / system.atoms
    return f"| `{kind}` | {model.descriptor.size} | {regressor} | {size * plain:.0f} | {size * quick:.0f} |"


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    system = crystal()
    print("| descriptor | features | regressor | differentiated | frozen |\n|---|---|---|---|---|")
    for kind in sys.argv[1:] or DESCRIPTORS:
        for regressor in REGRESSORS:
            print(row(kind, regressor, system), flush=True)


if __name__ == "__main__":
    main()
