"""dscribe's atom-centered symmetry functions as a worker."""

from importlib.metadata import version

from dscribe.descriptors import ACSF

from speed.methods import METHODS
from speed.program import Program


class DScribe(Program):
    """Values of all atoms, or with gradients, which dscribe takes by finite differences."""

    def load(self, method, folder, mode):
        self.options = METHODS[method].options
        return {"program": f"dscribe {version('dscribe')}"}

    def describer(self, atoms, slopes):
        descriptor = ACSF(
            r_cut=self.options["cutoff"],
            g2_params=self.options["radial"],
            g4_params=self.options["angular"],
            species=sorted(set(atoms.symbols)),
            periodic=bool(atoms.pbc.any()),
        )
        if slopes:
            return lambda: descriptor.derivatives(atoms, attach=True, method="numerical")[1]
        return lambda: descriptor.create(atoms)


PROGRAM = DScribe
