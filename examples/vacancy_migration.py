"""The barrier of a vacancy's jump in copper, by a climbing nudged elastic band."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.mep import NEB
from ase.optimize import FIRE

import adiabat


def main(name="unep-v1", picture="vacancy_migration.svg", images=5):
    """Returns energies along the path, eV."""
    model = adiabat.load(name)
    crystal = bulk("Cu", cubic=True, a=3.63) * (3, 3, 3)
    neighbor = int(np.argsort(crystal.get_distances(0, range(len(crystal)), mic=True))[1])
    start = crystal.copy()
    del start[0]
    end = start.copy()
    end.positions[neighbor - 1] = crystal.positions[0]
    for atoms in (start, end):
        atoms.calc = model.calculator()
        FIRE(atoms, logfile=None).run(fmax=0.01, steps=200)
    path = [start, *(start.copy() for _ in range(images)), end]
    for atoms in path[1:-1]:
        atoms.calc = model.calculator()
    band = NEB(path, climb=True, allow_shared_calculator=False)
    band.interpolate(mic=True)
    FIRE(band, logfile=None).run(fmax=0.05, steps=200)
    energies = np.array([atoms.get_potential_energy() for atoms in path]) - start.get_potential_energy()
    ideal = model.predict(crystal)["energy"] / len(crystal)
    formation = start.get_potential_energy() - len(start) * ideal
    print(f"formation {formation:.2f} eV (experiment 1.28), barrier {energies.max():.2f} eV (experiment 0.70)")
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot(np.linspace(0, 1, len(path)), energies, "o-")
    axes.set(xlabel="path", ylabel="energy, eV", title=f"Vacancy in copper, {name}")
    figure.savefig(picture)
    return energies


if __name__ == "__main__":
    main(*sys.argv[1:])
