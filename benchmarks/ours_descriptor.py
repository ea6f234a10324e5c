"""adiabat's descriptors as a worker of the speed comparison."""

from speed.methods import METHODS
from speed.program import Program

import adiabat
from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.soap import SOAPConfig
from adiabat.descriptors.symmetry_functions import SymmetryFunction
from adiabat.elements import number
from adiabat.geometry import Graph, System


def functions(elements, options):
    """The symmetry functions of every element in the peer's order, which sorts by atomic number."""
    names, cutoff, found = sorted(elements, key=number), options["cutoff"], []
    for center in names:
        own = {"center": center, "cutoff": cutoff}
        for near in names:
            radial = [(0.0, 0.0), *options["radial"]]  # the peer puts the plain sum of cutoff functions first
            found += [SymmetryFunction(kind="G2", neighbors=(near,), eta=e, shift=s, **own) for e, s in radial]
        for last, near in enumerate(names):
            for other in names[: last + 1]:
                own["neighbors"] = (near, other)
                angular = options["angular"]
                found += [SymmetryFunction(kind="G4", eta=e, zeta=z, sign=s, **own) for e, z, s in angular]
    return found


class Adiabat(Program):
    """Values of all atoms, or with gradients; neighbor lists are part of the work, as in the peer."""

    def load(self, method, folder, mode):
        self.options = METHODS[method].options
        return {"program": f"adiabat {adiabat.__version__}"}

    def mode(self, work):
        return "kernels"

    def describer(self, atoms, slopes):
        elements = [number(s) for s in set(atoms.symbols)]
        if "convention" in self.options:
            descriptor = SOAPConfig.parse(self.options).build(elements)
        else:
            descriptor = ACSF(functions(set(atoms.symbols), self.options), elements)
        cutoff = descriptor.cutoff

        def values():
            graph = Graph.build(System.from_ase(atoms), cutoff)
            return descriptor.jacobian(graph)[0] if slopes else descriptor.values(graph)

        return values


PROGRAM = Adiabat
