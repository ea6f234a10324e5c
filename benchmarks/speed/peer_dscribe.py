"""dscribe's atom-centered symmetry functions and SOAP as a worker."""

from importlib.metadata import version

from dscribe.descriptors import ACSF, SOAP

from speed.methods import METHODS
from speed.program import Program


class DScribe(Program):
    """Values of all atoms, or with gradients, which dscribe takes by finite differences."""

    def load(self, method, folder, mode):
        self.options = METHODS[method].options
        return {"program": f"dscribe {version('dscribe')}"}

    def describer(self, atoms, slopes):
        if "convention" in self.options:
            return self._soap(atoms, slopes)
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

    def _soap(self, atoms, slopes):
        own = {name: self.options[name] for name in ("n_max", "l_max", "sigma")}
        periodic = bool(atoms.pbc.any())
        species = sorted(set(atoms.symbols))
        descriptor = SOAP(r_cut=self.options["cutoff"], species=species, periodic=periodic, rbf="gto", **own)
        if slopes:  # of formulas where it has them: without periodicity
            method = "numerical" if periodic else "analytical"
            return lambda: descriptor.derivatives(atoms, attach=True, method=method)[1]
        return lambda: descriptor.create(atoms)


PROGRAM = DScribe
