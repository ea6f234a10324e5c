"""nep.txt of every kind: calorine's numbers, round trips, and files that are refused."""

import numpy as np
import pytest
import torch
from ase import Atoms
from nep_files import CELL, KINDS, POSITIONS, SYMBOLS, text

from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.errors import AdiabatError, CapabilityError, CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced
from adiabat.pretrained.importers.nep import read_nep, write_nep
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.testing.parity import parity

# energy (eV), forces on the first atom (eV/Å) and first row of the stress (eV/Å³) by calorine 4.1
CALORINE = {
    "nep3": (
        -6.16148595309,
        [-0.0434600344024, -0.157918399179, -0.0167417160314],
        [0.00142430738036, 0.000976990562374, -0.000377815463693],
    ),
    "degree 8": (
        3.96265056386,
        [0.0287375937714, 0.0150541076713, 0.217030012591],
        [-0.0108158417336, 0.00136781869306, 0.00177567360878],
    ),
    "flexible repulsion": (
        3.81877957521,
        [-16.6480003821, -5.84522630522, -1.87418533656],
        [-0.0900198723523, -0.0340431987437, -0.0151518571366],
    ),
    "typewise cutoffs": (
        -0.253469747876,
        [0.133566753992, -0.0221459770847, 0.1427623971],
        [-0.000219464392174, 0.000991762912532, 0.00124450585437],
    ),
    "charges": (
        -12.0634269313,
        [-19.5729405902, -7.93469843891, -2.42855023287],
        [0.02138250299, -0.024700860106, -0.0145300072366],
    ),
    "charges in reciprocal space": (
        -3.73546878887,
        [0.376469921503, 0.30557351547, -0.16534796233],
        [0.0205091152102, -0.000784925658667, -0.00250597950008],
    ),
    "all four-body features": (
        1.37344527419,
        [-22.8719937809, -7.68498085967, -2.48136931018],
        [-0.154552495459, -0.052701763992, -0.0182305895348],
    ),
}


def values(model):
    system = System.from_ase(Atoms(SYMBOLS, POSITIONS, cell=CELL, pbc=True))
    found = evaluate(model, Graph.build(system, model.cutoff), ("energy", "forces", "stress"))
    return float(found.energy), found.forces.numpy(), found.stress[0].numpy()


def read(text, folder):
    (folder / "nep.txt").write_text(text)
    return read_nep(folder / "nep.txt")


@pytest.mark.parametrize("name", ["nep-c-2022", "nep-pbte", "nep-si-2022-3body", "nep-unep-v1", "qnep-pbte"])
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-7  # the kits' positions have eight digits
    wanted = {"energy", "forces", "atomic_energies", "stress"} | ({"charges"} if name == "qnep-pbte" else set())
    assert {d.quantity for d in report.deviations} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_calorines_numbers(kind, tmp_path):
    energy, forces, stress = values(read(text(kind), tmp_path))
    expected = CALORINE[kind]
    assert energy == pytest.approx(expected[0], rel=1e-10)
    np.testing.assert_allclose(forces[0], expected[1], rtol=0, atol=1e-10 * np.abs(forces).max())
    np.testing.assert_allclose(stress[0], expected[2], rtol=0, atol=1e-10 * np.abs(stress).max())


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_again(kind, tmp_path):
    model = read(text(kind), tmp_path)
    write_nep(model, tmp_path / "again.txt")
    again = read_nep(tmp_path / "again.txt")
    assert again.config == model.config
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-7, atol=1e-7)


def test_reference_energies_make_a_nep5(tmp_path):
    torch.manual_seed(0)
    config = NEPConfig(cutoff=5.0, angular_cutoff=4.0, hidden=5, channels=2, angular_channels=2)
    model = Referenced(NEP(config, [1, 6, 8]), {1: -1.5, 6: -30.0, 8: -60.25}, 2.0)
    write_nep(model, tmp_path / "nep.txt")
    assert (tmp_path / "nep.txt").read_text().startswith("nep5 3 H C O\n")
    for found, wanted in zip(values(read_nep(tmp_path / "nep.txt")), values(model), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    shared = NEP(config.model_copy(update={"networks": "shared"}), [1, 6, 8])
    with pytest.raises(CapabilityError, match="shared by elements"):
        write_nep(Referenced(shared, {1: -1.5}), tmp_path / "nep.txt")


def test_published_files(shared):
    folder = shared / "weights" / "nep"
    files = sorted(folder.glob("*.txt"))
    assert len(files) == 8
    for file in files:
        model = import_original(file).potentials[""]
        assert isinstance(model, NEP)
        assert model.charged == ("qnep" in file.name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nep4 3 O H C", "nep4 2 O H C", "announces 2 elements and names 3"),
        ("nep4 3 O H C", "nep4 3 O H H", "an element twice"),
        ("nep4 3 O H C", "nep4 3 O H Xx", "Xx"),
        ("nep4 3", "nep4_dipole 3", "kind 'nep4_dipole'"),
        ("nep4 3 ", "", "kind 'O'"),
        ("cutoff 5 4 100 50", "cutoff 5 4 100", "line 2 .* 4 to 8 values"),
        ("cutoff 5 4 100 50", "cutoff 4 5 100 50", "angular radii"),
        ("n_max 3 2", "n_max 3 2.5", "whole numbers"),
        ("n_max 3 2", "n_max 4 2", "values where its header asks for"),
        ("l_max 8 0 0", "l_max 1 2 0", r"\(2, 2, 2\)"),
        ("ANN 6 0", "ANN 6 6", "second hidden layer"),
        ("ANN 6 0\n", "ANN 6 0\nnan\n", "line 7 .* not finite"),
        ("ANN 6 0\n", "ANN 6 0\n1.0 x\n", "numbers are needed"),
    ],
)
def test_faults_are_named(old, new, message, tmp_path):
    given = text("degree 8")
    assert given.count(old) == 1
    with pytest.raises(AdiabatError, match=message):
        read(given.replace(old, new), tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nothing.txt does not exist"):
        read_nep(tmp_path / "nothing.txt")
