"""featomic's SOAP power spectrum as a worker."""

from importlib.metadata import version

import numpy as np
from featomic import SoapPowerSpectrum

from speed.methods import METHODS
from speed.program import Program


class Featomic(Program):
    """Values of all atoms, or with gradients by positions."""

    def load(self, method, folder, mode):
        self.options = METHODS[method].options
        return {"program": f"featomic {version('featomic')}"}

    def describer(self, atoms, slopes):
        own = self.options
        calculator = SoapPowerSpectrum(
            cutoff={"radius": own["cutoff"], "smoothing": {"type": "ShiftedCosine", "width": own["width"]}},
            density={"type": "Gaussian", "width": own["sigma"]},
            basis={
                "type": "TensorProduct",
                "max_angular": own["l_max"],
                "radial": {"type": "Gto", "max_radial": own["n_max"] - 1},
            },
        )
        gradients = ["positions"] if slopes else None
        first = []

        def values():
            found = calculator.compute(atoms, gradients=gradients)
            if first:
                return None
            # in ours' order once, for the comparison; later calls are for the clock
            first.append(True)
            bare = calculator.compute(atoms)
            bare = bare.keys_to_properties(["neighbor_1_type", "neighbor_2_type"])
            rows = np.concatenate([block.values for block in bare.blocks()])
            places = np.concatenate([np.asarray(block.samples["atom"]) for block in bare.blocks()])
            assert len(found)
            return rows[np.argsort(places)]

        return values


PROGRAM = Featomic
