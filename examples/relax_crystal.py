"""Relax crystals, cell included, and compare lattice constants with experiment."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

import adiabat

# experimental lattice constants at room temperature, Å
CRYSTALS = {
    "Si": ("diamond", 5.431),
    "Ge": ("diamond", 5.658),
    "GaAs": ("zincblende", 5.653),
    "NaCl": ("rocksalt", 5.640),
    "MgO": ("rocksalt", 4.212),
    "Al": ("fcc", 4.050),
    "Cu": ("fcc", 3.615),
    "Ag": ("fcc", 4.085),
}


def main(name="m3gnet-mp-2021.2.8", picture="relax_crystal.svg"):
    """Returns the relaxed lattice constants, Å."""
    model, found = adiabat.load(name), {}
    for formula, (structure, length) in CRYSTALS.items():
        atoms = bulk(formula, structure, a=1.03 * length, cubic=True)
        atoms.calc = model.calculator()
        LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=200)
        found[formula] = float(np.cbrt(atoms.get_volume()))
        print(f"{formula:5s} {found[formula]:.3f} Å, experiment {length:.3f} Å")
    figure, axes = plt.subplots(figsize=(4, 3.6), layout="constrained")
    axes.plot([3.5, 5.8], [3.5, 5.8], color="0.7", linewidth=1)
    for formula, (_, length) in CRYSTALS.items():
        axes.plot(length, found[formula], "o", color="C0")
        axes.annotate(formula, (length, found[formula]), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set(xlabel="experiment, Å", ylabel=f"{name}, Å", title="Lattice constants")
    figure.savefig(picture)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
