"""Classical potentials: the numbers of LAMMPS and ASE, the battery, files, and what they refuse."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT as AseEMT
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.calculators.morse import MorsePotential as AseMorse
from ase.calculators.tersoff import Tersoff as AseTersoff

from adiabat.architectures import build, method
from adiabat.architectures.classical.eam import EAM, EAMConfig
from adiabat.architectures.classical.emt import EMT, METALS, EMTConfig
from adiabat.architectures.classical.lennard_jones import LennardJones, LennardJonesConfig
from adiabat.architectures.classical.morse import Morse, MorseConfig
from adiabat.architectures.classical.stillinger_weber import (
    StillingerWeber,
    StillingerWeberConfig,
    StillingerWeberEntry,
)
from adiabat.architectures.classical.tersoff import Tersoff, TersoffConfig, TersoffEntry
from adiabat.architectures.classical.zbl import ZBL, ZBLConfig
from adiabat.checkpoint import load, save
from adiabat.data.info import DataInfo
from adiabat.elements import number
from adiabat.errors import CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.setfl import read_setfl, write_setfl
from adiabat.nn.triplet_entries import read_entries, write_entries
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options
from adiabat.testing.battery import run_battery

GOLDEN = Path(__file__).parents[1] / "golden" / "classical"
sys.path.insert(0, str(GOLDEN))
from cases import CASES, setfl, stillinger_weber, structures, tersoff  # noqa: E402  # pyright: ignore

EXPECTED = json.loads((GOLDEN / "lammps.json").read_text())["cases"]


def _model(name, folder):
    kind, options, file, elements = CASES[name][:4]
    options = {"method": kind, **options}
    if file is not None:
        (folder / file[0]).write_text(file[1])
        options["file"] = str(folder / file[0])
    return build(method(kind).config_class.parse(options), [number(z) for z in elements])


def _compare(model, system, energy, forces, stress):
    want = ("energy", "forces") if stress is None else ("energy", "forces", "stress")
    found = evaluate(model, Graph.build(system, model.cutoff), want)
    assert float(found.energy) == pytest.approx(energy, rel=1e-10, abs=1e-10)
    torch.testing.assert_close(found.forces, torch.as_tensor(forces), rtol=1e-9, atol=1e-10)
    if stress is not None:
        torch.testing.assert_close(found.stress[0], torch.as_tensor(stress), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_numbers_of_lammps(name, tmp_path):
    model = _model(name, tmp_path)
    for case in EXPECTED[name].values():
        system = System.from_arrays(case["positions"], case["numbers"], case["cell"], case["pbc"])
        _compare(model, system, case["energy"], case["forces"], case["stress"])
    assert max(np.abs(case["forces"]).max() for case in EXPECTED[name].values()) > 0.5


PEERS = {
    "emt": (("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"), 2.7, lambda: EMT(EMTConfig(), map(number, METALS)), AseEMT),
    "lj": (
        ("Ar",),
        3.6,
        lambda: LennardJones(LennardJonesConfig(epsilon=0.01, sigma=3.4, cutoff=7.0), [18]),
        lambda: AseLennardJones(epsilon=0.01, sigma=3.4, rc=7.0),
    ),
    "lj-smooth": (
        ("Ar",),
        3.6,
        lambda: LennardJones(LennardJonesConfig(epsilon=0.01, sigma=3.4, cutoff=7.0, ending="xplor"), [18]),
        lambda: AseLennardJones(epsilon=0.01, sigma=3.4, rc=7.0, smooth=True),
    ),
    "morse": (
        ("Cu",),
        2.6,
        lambda: Morse(
            MorseConfig(depth=0.4, stiffness=2.0, length=2.5, cutoff=6.75, onset=4.75, ending="quintic"), [29]
        ),
        lambda: AseMorse(epsilon=0.4, r0=2.5, rho0=5.0),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_numbers_of_ase(name):
    symbols, nearest, ours, theirs = PEERS[name]
    model = ours()
    for atoms in structures(symbols, nearest, seed=1).values():
        atoms.calc = theirs()
        stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
        _compare(model, System.from_ase(atoms), atoms.get_potential_energy(), atoms.get_forces(), stress)


def test_tersoff_of_ase(tmp_path):
    file = tmp_path / "SiC.tersoff"
    file.write_text(tersoff(("Si", "C")))
    model = Tersoff(TersoffConfig(file=str(file)), [6, 14])
    atoms = structures(("C", "Si"), 1.9)["diamond"]
    atoms.calc = AseTersoff.from_lammps(file)
    stress = atoms.get_stress(voigt=False)
    _compare(model, System.from_ase(atoms), atoms.get_potential_energy(), atoms.get_forces(), stress)


def _eam(folder, fs=False):
    file = folder / ("made.eam.fs" if fs else "made.eam.alloy")
    file.write_text(setfl(("Ni", "Cu"), fs))
    return EAM(EAMConfig(file=str(file)), [28, 29])


BATTERY = {
    "lennard_jones": lambda _: LennardJones(LennardJonesConfig(cutoff=6.0, ending="linear"), [18]),
    "morse": lambda _: Morse(MorseConfig(cutoff=5.0, ending="quintic"), [28, 29]),
    "zbl": lambda _: ZBL(ZBLConfig(inner=1.5, outer=3.5), [8, 14]),
    "zbl-covalent": lambda _: ZBL(ZBLConfig(ending="covalent"), [8, 14]),
    "eam": lambda folder: _eam(folder),
    "eam-fs": lambda folder: _eam(folder, True),
    "tersoff": lambda _: Tersoff(TersoffConfig(), [14]),
    "stillinger_weber": lambda _: StillingerWeber(StillingerWeberConfig(), [14]),
    "emt": lambda _: EMT(EMTConfig(), [29, 79]),
}


@pytest.mark.parametrize("name", BATTERY)
def test_battery(name, tmp_path):
    torch.manual_seed(1)
    # most have no parameters to fit; the cutoff of emt is the program's, see its page; RT takes seconds
    skip = {"NVE", "FIT", "CUT"} if name == "emt" else {"NVE", "FIT"}
    skip |= set() if name == "stillinger_weber" else {"RT"}
    report = run_battery(BATTERY[name](tmp_path), skip=skip)
    assert report.passed, report.text()


def test_far_pairs_change_nothing(tmp_path):
    for name, make in BATTERY.items():
        model = make(tmp_path)
        assert model.masked
        system = System.from_ase(structures(("Cu",), 3.0)["packed"])
        numbers = torch.as_tensor(model.elements)[torch.arange(system.atoms) % len(model.elements)]
        system = system.replace(numbers=numbers)
        near, far = (evaluate(model, Graph.build(system, model.cutoff + extra)) for extra in (0.0, 2.5))
        torch.testing.assert_close(near.forces, far.forces, rtol=1e-12, atol=1e-12, msg=name)
        torch.testing.assert_close(near.energy, far.energy, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("fs", [False, True])
def test_setfl_is_written_and_read(fs, tmp_path):
    model = _eam(tmp_path, fs)
    file = tmp_path / ("again.eam.fs" if fs else "again.eam.alloy")
    write_setfl(model.tables(), file)
    again = EAM(EAMConfig(file=str(file)), [28, 29])
    assert again.config == model.config
    assert model.config.file is None
    loaded = load(save(tmp_path / "eam.adiabat", model, DataInfo(elements=model.elements))).potential
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        assert torch.equal(value, loaded.state_dict()[name])
    tables = read_setfl(file)
    assert tables.elements == (28, 29)
    assert tables.density.shape == (2, 2 if fs else 1, 301)
    with pytest.raises(ConfigError, match="ending"):
        write_setfl(tables, tmp_path / "wrong.setfl")
    nickel = EAM(EAMConfig(file=str(file)), [28])
    system = System.from_ase(structures(("Ni",), 2.5)["packed"])
    first, *others = [evaluate(m, Graph.build(system, m.cutoff)).energy for m in (model, nickel, loaded)]
    for energy in others:
        torch.testing.assert_close(energy, first)
    assert float(evaluate(model, Graph.build(System.from_arrays([[0, 0, 0]], [29]), 5.5)).energy) == pytest.approx(
        float(model.embedding.exact()[1, 0])
    )


def test_entries_are_written_and_read(tmp_path):
    for kind, text in ((TersoffEntry, tersoff(("Si", "C"))), (StillingerWeberEntry, stillinger_weber(("Si", "Ge")))):
        (tmp_path / "given").write_text(text)
        entries = read_entries(tmp_path / "given", kind)
        assert len(entries) == 8
        write_entries(entries, tmp_path / "written")
        assert read_entries(tmp_path / "written", kind) == entries


def test_files_are_imported(tmp_path):
    for name, elements in (("eam-fs", (28, 29)), ("tersoff-sic", (6, 14)), ("sw-mixed", (14, 32))):
        model = _model(name, tmp_path)
        found = import_original(tmp_path / CASES[name][2][0]).potentials[""]
        assert (type(found), found.config, found.elements) == (type(model), model.config, elements)
    silicon = import_original(tmp_path / "SiC.tersoff", options=Options(elements=(14,))).potentials[""]
    assert silicon.elements == (14,)
    (tmp_path / "bad.sw").write_text("Si Si Si 1 2 3")
    with pytest.raises(CheckpointError, match="three symbols"):
        import_original(tmp_path / "bad.sw")


def test_mixing_of_elements():
    model = LennardJones(LennardJonesConfig(epsilon={"Ar": 0.01, "Kr": 0.04}, sigma={"Ar": 3.0, "Kr": 4.0}), [18, 36])
    assert model.epsilon.tolist() == pytest.approx([0.01, 0.02, 0.04])
    assert model.sigma.tolist() == pytest.approx([3.0, 3.5, 4.0])
    named = LennardJonesConfig(epsilon={"Ar": 0.01, "Kr": 0.04, "Kr-Ar": 0.03}, sigma=3.0)
    assert LennardJones(named, [18, 36]).epsilon.tolist() == pytest.approx([0.01, 0.03, 0.04])


def test_what_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no parameters of Fe"):
        EMT(EMTConfig(), [26])
    with pytest.raises(ConfigError, match="no value of Kr"):
        LennardJones(LennardJonesConfig(epsilon={"Ar": 0.01}), [18, 36])
    with pytest.raises(ConfigError, match="no pair of the model's elements"):
        Morse(MorseConfig(depth={"Cu": 0.3, "Zn": 0.3}), [29])
    with pytest.raises(ConfigError, match="onset has no effect"):
        LennardJones(LennardJonesConfig(onset=3.0), [18])
    with pytest.raises(ConfigError, match="triplet C C C"):
        Tersoff(TersoffConfig(), [14, 6])
    with pytest.raises(ConfigError, match="needs tables"):
        EAM(EAMConfig(), [29])
    with pytest.raises(ConfigError, match="there is no file"):
        TersoffConfig.parse({"file": str(tmp_path / "none.tersoff")})
    (tmp_path / "Si.sw").write_text(stillinger_weber(("Si",)))
    with pytest.raises(ConfigError, match="is it a file of Tersoff"):
        TersoffConfig.parse({"file": str(tmp_path / "Si.sw")})
    (tmp_path / "half.eam.alloy").write_text(setfl(("Ni", "Cu"), False)[:3000])
    with pytest.raises(ConfigError, match="not a complete eam/alloy"):
        EAM(EAMConfig(file=str(tmp_path / "half.eam.alloy")), [28])
    uneven = stillinger_weber(("Si", "Ge")).splitlines()
    uneven[8] = uneven[8].replace("7.049556277", "7.0")
    (tmp_path / "SiGe.sw").write_text("\n".join(uneven))
    with pytest.raises(ConfigError, match="must be equal"):
        StillingerWeber(StillingerWeberConfig.parse({"file": str(tmp_path / "SiGe.sw")}), [14, 32])
