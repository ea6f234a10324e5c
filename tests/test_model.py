"""The Model facade: predictions for one and many, saving, loading."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

import adiabat
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.data.info import DataInfo
from adiabat.errors import CheckpointError, InputError
from adiabat.model import Model
from adiabat.potential import Referenced


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = SchNet(SchNetConfig(channels=8, layers=2, basis=8, cutoff=4.0), [1, 6, 8, 14])
    return Model(
        Referenced(net, {1: -13.6, 6: -1000.0, 8: -2000.0, 14: -8000.0}, 0.7), DataInfo(elements=(1, 6, 8, 14))
    )


def test_one_and_many_agree_in_order(model):
    structures = [molecule("H2O"), bulk("Si"), molecule("CH3OH"), bulk("Si", cubic=True), molecule("CH4")]
    many = model.predict(structures)
    assert [("stress" in row) for row in many] == [False, True, False, True, False]
    for atoms, row in zip(structures, many, strict=True):
        one = model.predict(atoms)
        assert one["energy"] == pytest.approx(row["energy"], abs=1e-9)
        assert row["forces"].shape == (len(atoms), 3)
        assert np.allclose(one["forces"], row["forces"], atol=1e-10)


def test_many_structures_take_the_kernels(model):
    base = molecule("CH3OH")
    structures = []
    for k in range(60):
        atoms = base.copy()
        atoms.rattle(0.05, seed=k)
        structures.append(atoms)
    many = model.predict(structures)
    assert model.predict(structures[7])["energy"] == pytest.approx(many[7]["energy"], abs=1e-4)
    assert many[7]["energy"] != model.predict(structures[7])["energy"]  # tables differ in the last digits
    assert np.allclose(many[7]["forces"], model.predict(structures[7])["forces"], atol=1e-5)


def test_wanted_quantities(model):
    row = model.predict(molecule("H2O"), want=("energy", "atomic_energies", "hessian"))
    assert row["atomic_energies"].sum() == pytest.approx(row["energy"], abs=1e-8)
    assert row["hessian"].shape == (9, 9)
    assert np.allclose(row["hessian"], row["hessian"].T, atol=1e-8)


def test_save_and_load(model, tmp_path):
    path = model.save(tmp_path / "m.adiabat")
    again = adiabat.load(path)
    atoms = molecule("CH3OH")
    assert again.predict(atoms)["energy"] == model.predict(atoms)["energy"]
    assert again.info == model.info
    assert again.source == path


def test_no_structures_and_no_file(model, tmp_path):
    with pytest.raises(InputError, match="no structures"):
        model.predict([])
    with pytest.raises(CheckpointError, match="there is no file"):
        adiabat.load(tmp_path / "missing.adiabat")
