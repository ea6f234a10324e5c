"""Equations of state and bulk moduli of three metals and a semiconductor."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.eos import EquationOfState
from ase.units import GPa

import adiabat

EXPERIMENT = {"Si": 99.0, "Al": 76.0, "Cu": 137.0, "Ni": 186.0}  # bulk moduli, GPa


def main(name="sevennet-0", picture="equation_of_state.svg"):
    """Returns bulk moduli, GPa."""
    model, found = adiabat.load(name), {}
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for symbol, experiment in EXPERIMENT.items():
        crystal, volumes, energies = bulk(symbol), [], []
        for strain in np.linspace(0.96, 1.04, 13):
            atoms = crystal.copy()
            atoms.set_cell(crystal.cell * strain, scale_atoms=True)
            volumes.append(atoms.get_volume() / len(atoms))
            energies.append(model.predict(atoms)["energy"] / len(atoms))
        volume, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
        found[symbol] = modulus / GPa
        print(f"{symbol}: {volume:.2f} Å³/atom, {found[symbol]:.0f} GPa, experiment {experiment:.0f} GPa")
        axes.plot(np.array(volumes) / volume, np.array(energies) - energy, "o-", markersize=3, label=symbol)
    axes.set(xlabel="volume / equilibrium volume", ylabel="energy, eV/atom", title=f"Equations of state, {name}")
    axes.legend()
    figure.savefig(picture)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
