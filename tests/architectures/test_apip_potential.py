"""aPIP: a fit to ethanol above a repulsion, saved and loaded, and smooth as a bond is turned."""

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.interpolate import CubicSpline

import adiabat
from adiabat.data import read
from adiabat.quickstart import shipped


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    descriptor = {"degrees": [6, 3, 0], "cutoffs": [5.0, 3.5, 3.0], "transform": "agnesi"}
    recipe = {
        "data": {"file": str(shipped("ethanol")), "index": ":30"},
        "model": {"method": "apip", "descriptor": descriptor},
        "baseline": {"method": "zbl", "inner": 0.5, "outer": 0.9},
        "output": str(tmp_path_factory.mktemp("apip") / "run"),
    }
    return adiabat.train(recipe, show=False)


def test_fit_is_saved_with_its_repulsion(fitted):
    forces = torch.cat([frame.labels["forces"] for frame in read(shipped("ethanol"), index=":30")])
    assert fitted.metrics["forces_mae"] < 0.35 * float(forces.abs().mean())
    model = adiabat.load(fitted.folder / "model.adiabat")
    energies = []
    for r in (0.3, 0.4, 0.5):
        pair = Atoms("OC", [[0, 0, 0], [r, 0, 0]], calculator=model.calculator())
        energies.append(pair.get_potential_energy())
    assert energies[0] > energies[1] > energies[2]


def test_turning_a_bond_is_smooth(fitted):
    system = read(shipped("ethanol"), index=":30")[29].system
    atoms = Atoms(system.numbers.numpy(), system.positions.numpy())
    atoms.calc = adiabat.load(fitted.folder / "model.adiabat").calculator()
    oxygen, carbons = int(np.argmax(atoms.numbers == 8)), np.flatnonzero(atoms.numbers == 6)
    near = np.argsort(atoms.get_all_distances()[oxygen])[1:3]
    hydrogen, carbon = sorted((int(k) for k in near), key=lambda k: atoms.numbers[k])
    other = int(carbons[carbons != carbon][0])
    angles, energies = np.arange(0.0, 361.0, 5.0), []
    for angle in angles:
        atoms.set_dihedral(other, carbon, oxygen, hydrogen, angle, indices=[hydrogen])
        energies.append(atoms.get_potential_energy())
    energies = np.array(energies)
    energies[-1] = energies[0]
    between = CubicSpline(angles[::2], energies[::2], bc_type="periodic")(angles[1::2])
    assert np.abs(between - energies[1::2]).max() < 0.01 * np.ptp(energies)
