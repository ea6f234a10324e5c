"""Liquid water at 330 K: a short Langevin run and the oxygen-oxygen distances in it."""

import sys

import ase
import matplotlib.pyplot as plt
import numpy as np
from ase.build import molecule
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE
from ase.units import fs

import adiabat


def box(molecules=4, length=12.42, seed=0):
    """`molecules`³ turned molecules on a grid in a cubic cell (Å)."""
    random, one = np.random.default_rng(seed), molecule("H2O")
    atoms = ase.Atoms(cell=[length] * 3, pbc=True)
    for place in np.ndindex(molecules, molecules, molecules):
        turned = one.copy()
        turned.rotate(random.uniform(0, 360), random.normal(size=3))
        turned.translate((np.array(place) + 0.5) * length / molecules)
        atoms += turned
    return atoms


def main(name="sevennet-0", picture="water_dynamics.svg", steps=1000):
    """Returns the radial distribution function of oxygen."""
    atoms = box()
    atoms.calc = adiabat.load(name).calculator()
    FIRE(atoms, logfile=None).run(fmax=0.5, steps=50)
    random = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=330, rng=random)
    dynamics = Langevin(atoms, 1.0 * fs, temperature_K=330, friction=0.02 / fs, rng=random)
    edges, oxygen = np.linspace(1.5, 6.0, 61), atoms.symbols.search("O")
    counts, frames = np.zeros(60), 0
    for _ in dynamics.irun(int(steps)):
        if dynamics.nsteps > steps // 2 and dynamics.nsteps % 10 == 0:
            distances = atoms.get_all_distances(mic=True)[np.ix_(oxygen, oxygen)]
            counts += np.histogram(distances[np.triu_indices(len(oxygen), 1)], edges)[0]
            frames += 1
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    pairs = len(oxygen) * (len(oxygen) - 1) / 2
    radial = counts / max(frames, 1) / pairs * atoms.get_volume() / shells
    middle = (edges[1:] + edges[:-1]) / 2
    print(f"first peak {radial.max():.2f} at {middle[radial.argmax()]:.2f} Å; {atoms.get_temperature():.0f} K")
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot(middle, radial)
    axes.set(xlabel="O–O distance, Å", ylabel="g(r)", title=f"Water at 330 K, {name}")
    figure.savefig(picture)
    return middle, radial


if __name__ == "__main__":
    main(*sys.argv[1:])
