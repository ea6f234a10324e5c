"""Turn butane about its middle bond with everything else relaxed."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from ase.build import molecule
from ase.constraints import FixInternals
from ase.optimize import BFGS
from ase.units import kcal, mol

import adiabat


def main(name="ani-1x-two", picture="torsion.svg"):
    """Returns angles, degrees, and energies above the lowest, kcal/mol."""
    model = adiabat.load(name)
    atoms = molecule("trans-butane")
    carbons = [int(k) for k in atoms.symbols.search("C")]
    distances = atoms.get_all_distances()
    chain = chain_of(carbons, distances)
    side = [k for k in range(len(atoms)) if distances[k, chain[2]] < distances[k, chain[1]] and k not in chain[1:3]]
    angles, energies = np.arange(180, -1, -15), []
    for angle in angles:
        atoms.set_dihedral(*chain, angle, indices=side)
        atoms.calc = model.calculator()
        atoms.set_constraint(FixInternals(dihedrals_deg=[[float(angle), chain]], epsilon=1e-6))
        BFGS(atoms, logfile=None).run(fmax=0.02, steps=100)
        energies.append(atoms.get_potential_energy() / (kcal / mol))
        atoms.set_constraint()
    energies = np.array(energies) - min(energies)
    print(" ".join(f"{a}°:{e:.2f}" for a, e in zip(angles, energies, strict=True)), "kcal/mol")
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot(angles, energies, "o-")
    axes.set(xlabel="C–C–C–C angle, degrees", ylabel="energy, kcal/mol", title=f"Butane, {name}")
    figure.savefig(picture)
    return angles, energies


def chain_of(carbons, distances):
    """The four carbons from one end to the other."""
    bonded = {a: [b for b in carbons if b != a and distances[a, b] < 1.7] for a in carbons}
    chain = [next(a for a in carbons if len(bonded[a]) == 1)]
    while len(chain) < len(carbons):
        chain.append(next(b for b in bonded[chain[-1]] if b not in chain))
    return chain


if __name__ == "__main__":
    main(*sys.argv[1:])
