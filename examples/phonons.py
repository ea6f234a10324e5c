"""Phonon bands of aluminium from finite displacements."""

import sys
import tempfile

import matplotlib.pyplot as plt
from ase.build import bulk
from ase.phonons import Phonons

import adiabat

TERAHERTZ = 241.799  # per eV


def main(name="sevennet-0", picture="phonons.svg"):
    """Returns the bands, THz, along Γ-X-K-Γ-L."""
    model, crystal = adiabat.load(name), bulk("Al", a=4.04)
    with tempfile.TemporaryDirectory() as folder:
        phonons = Phonons(crystal, model.calculator(), supercell=(5, 5, 5), delta=0.03, name=f"{folder}/phonon")
        phonons.run()
        phonons.read(acoustic=True)
    path = crystal.cell.bandpath("GXKGL", npoints=120)
    bands = phonons.get_band_structure(path, verbose=False)
    energies = TERAHERTZ * bands.energies[0]
    x, ticks, labels = path.get_linear_kpoint_axis()
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot(x, energies, color="C0")
    for tick in ticks:
        axes.axvline(tick, color="0.8", linewidth=0.8)
    axes.set(xticks=ticks, xticklabels=[label.replace("G", "Γ") for label in labels], xlim=(x[0], x[-1]))
    axes.set(ylabel="frequency, THz", title=f"Aluminium, {name}")
    figure.savefig(picture)
    print(f"highest frequency {energies.max():.1f} THz (experiment 9.7), lowest {energies.min():.2f} THz")
    return energies


if __name__ == "__main__":
    main(*sys.argv[1:])
