"""Heat gold until it melts: mean square displacements of 500 atoms at rising temperatures."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.units import fs

import adiabat


def main(name="unep-v1", picture="melting.svg", steps=1500):
    """Returns mean square displacements, Å², by temperature, K."""
    model, found = adiabat.load(name), {}
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for temperature in (600, 1200, 1800, 2400):
        random = np.random.default_rng(0)
        atoms = bulk("Au", cubic=True, a=4.17 * (1 + 1.6e-5 * (temperature - 300))) * (5, 5, 5)
        atoms.calc = model.calculator()
        MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=random)
        dynamics = Langevin(atoms, 4.0 * fs, temperature_K=temperature, friction=0.01 / fs, rng=random)
        start, moved = atoms.positions.copy(), []
        for _ in dynamics.irun(int(steps)):
            moved.append(float(np.square(atoms.positions - start).sum(axis=1).mean()))
        found[temperature] = moved[-1]
        print(f"{temperature} K: mean square displacement {moved[-1]:.2f} Å²")
        axes.plot(4e-3 * np.arange(len(moved)), moved, label=f"{temperature} K")
    axes.set(xlabel="time, ps", ylabel="mean square displacement, Å²", title=f"Gold, {name}")
    axes.legend()
    figure.savefig(picture)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
