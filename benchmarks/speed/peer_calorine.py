"""calorine's NEP, the C++ of GPUMD for processors, as a worker."""

from importlib.metadata import version

import numpy as np
import torch
from calorine.calculators import CPUNEP

from speed.program import Program
from speed.structures import boxed


class Calorine(Program):
    """The calls that its calculator makes into C++, which finds neighbors at every call."""

    def load(self, method, folder, mode):
        self.file = folder / "nep.txt"
        return {"program": f"calorine {version('calorine')}"}

    def inputs(self, frames):
        (atoms,) = frames
        return CPUNEP(str(self.file), atoms=boxed(atoms)).nepy

    def predict(self, inputs):
        energies, forces, _ = inputs.get_potential_forces_and_virials()
        return torch.tensor([sum(energies)]), torch.from_numpy(np.array(forces).reshape(3, -1).T)


PROGRAM = Calorine
