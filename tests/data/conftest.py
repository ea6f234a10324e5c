"""Small labeled sets: copper by EMT, with and without periodicity."""

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from adiabat.data import read


def _labeled(atoms: ase.Atoms, stress: bool) -> ase.Atoms:
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if stress:
        results["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture(scope="session")
def copper_atoms() -> list[ase.Atoms]:
    """40 strained and rattled copper cells of 8 atoms with energy, forces, stress; every tenth a vacancy."""
    rng = np.random.default_rng(0)
    frames = []
    for k in range(40):
        atoms = bulk("Cu", "fcc", 3.6) * (2, 2, 2)
        strain = rng.normal(scale=0.015, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        if k % 10 == 9:
            del atoms[0]
        frames.append(_labeled(atoms, stress=True))
        frames[-1].info["group"] = "abcd"[k % 4]
    return frames


@pytest.fixture(scope="session")
def copper(copper_atoms):
    """The same as a data set."""
    return read(copper_atoms)


@pytest.fixture(scope="session")
def alkane_atoms() -> list[ase.Atoms]:
    """24 distorted molecules of C, H, O with energies and forces."""
    rng = np.random.default_rng(1)
    frames = []
    for name in ("CH4", "C2H6", "CH3OH", "H2O") * 6:
        atoms = molecule(name)
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        frames.append(_labeled(atoms, stress=False))
    return frames


@pytest.fixture(scope="session")
def alkanes(alkane_atoms):
    """The same as a data set."""
    return read(alkane_atoms)
