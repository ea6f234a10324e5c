"""Elastic constants of cubic crystals from the stress of small strains."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa

import adiabat

EXPERIMENT = {"Si": (166, 64, 80), "Al": (108, 62, 28), "Cu": (168, 121, 75), "Ni": (247, 153, 122)}  # GPa


def strained(crystal, strain, model):
    """Stress in ASE's Voigt order, GPa, with the atoms relaxed inside the strained cell."""
    atoms = crystal.copy()
    atoms.set_cell(crystal.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.calc = model.calculator()
    BFGS(atoms, logfile=None).run(fmax=0.002, steps=50)
    return atoms.get_stress() / GPa


def main(name="sevennet-0", picture="elastic_constants.svg", step=0.005):
    """Returns C11, C12 and C44, GPa."""
    model, found = adiabat.load(name), {}
    stretch, shear = np.zeros((3, 3)), np.zeros((3, 3))
    stretch[0, 0], shear[1, 2], shear[2, 1] = step, step / 2, step / 2
    for symbol in EXPERIMENT:
        crystal = bulk(symbol, cubic=True)
        crystal.calc = model.calculator()
        BFGS(FrechetCellFilter(crystal), logfile=None).run(fmax=0.002, steps=100)
        along = (strained(crystal, stretch, model) - strained(crystal, -stretch, model)) / (2 * step)
        across = (strained(crystal, shear, model) - strained(crystal, -shear, model)) / (2 * step)
        found[symbol] = (float(along[0]), float(along[1]), float(across[3]))
        both = zip(found[symbol], EXPERIMENT[symbol], strict=True)
        print(symbol, *(f"{value:.0f} ({known})" for value, known in both), "GPa (experiment)")
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    places = np.arange(len(found))
    for k, constant in enumerate(("C11", "C12", "C44")):
        axes.bar(places + 0.25 * (k - 1), [values[k] for values in found.values()], 0.22, label=constant)
        axes.plot(places + 0.25 * (k - 1), [EXPERIMENT[symbol][k] for symbol in found], "k_", markersize=12)
    axes.set(xticks=places, xticklabels=list(found), ylabel="GPa", title=f"{name} (lines: experiment)")
    axes.legend()
    figure.savefig(picture)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
