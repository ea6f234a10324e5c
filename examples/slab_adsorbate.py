"""Carbon monoxide on copper (111): relax the molecule on three sites and compare adsorption energies."""

import sys

import matplotlib.pyplot as plt
from ase.build import add_adsorbate, fcc111, molecule
from ase.constraints import FixAtoms
from ase.optimize import FIRE
from ase.visualize.plot import plot_atoms

import adiabat

SITES = ("ontop", "bridge", "fcc")


def relaxed(atoms, model):
    """The structure after relaxation, with its calculator."""
    atoms.calc = model.calculator()
    FIRE(atoms, logfile=None).run(fmax=0.03, steps=200)
    return atoms


def main(name="sevennet-0", picture="slab_adsorbate.svg"):
    """Returns adsorption energies, eV."""
    model = adiabat.load(name)
    slab = fcc111("Cu", (2, 2, 4), vacuum=9.0)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > 2))
    clean = relaxed(slab.copy(), model)
    gas = molecule("CO", vacuum=8.0)
    apart = relaxed(gas, model).get_potential_energy() + clean.get_potential_energy()
    found = {}
    figure, rows = plt.subplots(1, len(SITES), figsize=(7, 3.6), layout="constrained")
    for site, axes in zip(SITES, rows, strict=True):
        atoms = slab.copy()
        carbon = int(gas.symbols.search("C")[0])  # the lower of the two
        add_adsorbate(atoms, molecule("CO"), height=1.9, position=site, mol_index=carbon)
        found[site] = relaxed(atoms, model).get_potential_energy() - apart
        print(f"{site:7s} {found[site]:6.3f} eV")
        plot_atoms(atoms, axes, rotation="-80x,20y", scale=0.6)
        axes.set(title=f"{site}: {found[site]:.2f} eV")
        axes.set_axis_off()
    figure.savefig(picture)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
