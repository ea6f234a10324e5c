"""Curves of two atoms: the quickest look at what a potential does where it has seen no data."""

import sys

import ase
import matplotlib.pyplot as plt
import numpy as np

import adiabat

PAIRS = ("SiSi", "OO", "SiO", "CuCu", "CO", "HO")


def main(name="m3gnet-mp-2021.2.8", picture="dimer_curves.svg"):
    """Returns the curves, eV, at the distances, Å."""
    model, distances = adiabat.load(name), np.linspace(0.6, 6.5, 119)
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    curves = {}
    for pair in PAIRS:
        dimers = [ase.Atoms(pair, [[0, 0, 0], [r, 0, 0]]) for r in distances]
        energies = np.array([row["energy"] for row in model.predict(dimers)])
        curves[pair] = energies - energies[-1]
        lowest = int(curves[pair].argmin())
        print(f"{pair:5s} minimum {curves[pair][lowest]:6.2f} eV at {distances[lowest]:.2f} Å")
        axes.plot(distances, curves[pair], label=pair)
    axes.set(xlabel="distance, Å", ylabel="energy, eV", ylim=(-12, 12), title=f"Two atoms, {name}")
    axes.legend(ncols=2)
    figure.savefig(picture)
    return distances, curves


if __name__ == "__main__":
    main(*sys.argv[1:])
