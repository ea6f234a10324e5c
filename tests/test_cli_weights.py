"""`adiabat weights` and models by name."""

import json
import sys

import ase.build
import ase.io
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import adiabat
from adiabat.cli import app as command_line
from adiabat.cli.app import app
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.pretrained.catalogue import entry

RUN = CliRunner()


@pytest.fixture
def offline(shared, monkeypatch, tmp_path):
    """Published files of this machine, no network."""
    monkeypatch.setenv("ADIABAT_WEIGHTS", str(shared / "weights"))
    monkeypatch.setenv("ADIABAT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ADIABAT_MIRROR", raising=False)
    return shared / "weights"


def run(*words):
    done = RUN.invoke(app, ["weights", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def model_file(path):
    """A small file as sGDML writes them."""
    rng = np.random.default_rng(0)
    np.savez(
        path,
        R_desc=rng.random((3, 5)),
        R_d_desc_alpha=rng.random((5, 3)),
        perms=np.array([[0, 1, 2]]),
        sig=10,
        z=np.array([8, 1, 1]),
        c=-1.5,
        std=1.0,
        e_unit="eV",
        r_unit="Ang",
    )
    return path


def test_list():
    text = run("list").output
    assert "mace-mp-0-medium" in text
    ready = json.loads(run("list", "--ready", "--json").output)
    assert {"sgdml-ethanol", "mace-water"} <= {one["name"] for one in ready}
    assert all(one["status"] == "ready" for one in ready)
    silicon = {one["name"] for one in json.loads(run("list", "--element", "Si", "--json").output)}
    assert "n2p2-mlearn-si" in silicon
    assert "sgdml-ethanol" not in silicon


def test_info():
    text = run("info", "MACE-water").output
    assert "NOT for commercial use" in text
    assert entry("mace-water").files[0].sha256 in text
    assert "not known: recorded at first use" in run("info", "mace-mp-0").output
    assert json.loads(run("info", "painn-ethanol", "--json").output)["energy_unit"] == "kcal/mol"
    failed = RUN.invoke(app, ["weights", "info", "mace-watr"])
    assert isinstance(failed.exception, ConfigError)
    assert "Did you mean 'mace-water'?" in str(failed.exception)


def test_get(offline):
    done = run("get", "mace-water")
    assert done.stdout.strip().endswith("H20_stagetwo.model")
    assert "NOT for commercial use" in done.stderr


def test_import_of_an_own_file(tmp_path):
    file = model_file(tmp_path / "water.npz")
    done = run("import", file, "-o", tmp_path / "water.adiabat")
    assert "not in the catalogue" in done.stderr
    assert "sgdml, one molecule, H, O" in done.stdout
    model = adiabat.load(tmp_path / "water.adiabat")
    assert model.info.source == str(file)
    result = model.predict(ase.build.molecule("H2O"))
    assert np.isfinite(result["forces"]).all()
    headed = RUN.invoke(app, ["weights", "import", str(file), "-o", str(tmp_path / "a.adiabat"), "--head", "pbe"])
    assert "has no heads: leave out --head" in str(headed.exception)
    wrong = RUN.invoke(app, ["weights", "import", str(file), "-o", str(tmp_path / "water.pt")])
    assert isinstance(wrong.exception, ConfigError)


def test_import_of_a_published_file_needs_no_options(offline, tmp_path):
    """Units, elements and license come from the catalogue, which knows the file by its hash."""
    file = next((offline / "schnetpack").glob("examples*"))
    done = run("import", file, "-o", tmp_path / "a.adiabat")
    assert "painn-ethanol: license MIT" in done.stderr
    model = adiabat.load(tmp_path / "a.adiabat")
    assert model.info.license == "MIT"
    assert model.potential.elements == (1, 6, 8)
    ethanol = ase.build.molecule("CH3CH2OH")
    # PBE's ethanol is near -154.8 Hartree
    assert model.predict(ethanol)["energy"] / 27.211386 == pytest.approx(-154.7, abs=0.3)


def test_load_by_name(offline):
    by_name = adiabat.load("sgdml-ethanol").potential
    again = adiabat.load("SGDML-Ethanol").potential
    for (name, a), b in zip(by_name.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert adiabat.load("n2p2-cu2s").info.source.startswith("n2p2-cu2s")


def test_cluster_expansion_by_name(offline):
    """Zinc blende InP at its lattice constant."""
    cell = ase.build.bulk("InP", "zincblende", 5.83)
    energies = [adiabat.load(name).predict(cell)["energy"] / 2 for name in ("pace-inp", "snap-inp")]
    assert energies == pytest.approx([-3.4606, -3.4806], abs=1e-4)


def test_commands_take_names(offline, tmp_path):
    ase.io.write(tmp_path / "water.xyz", ase.build.molecule("H2O"))
    done = RUN.invoke(app, ["predict", "mace-water", str(tmp_path / "water.xyz"), "-o", str(tmp_path / "out.extxyz")])
    assert done.exit_code == 0, done.output
    assert "energy" in (tmp_path / "out.extxyz").read_text().splitlines()[1]


def test_neither_a_file_nor_a_name(tmp_path, monkeypatch, capsys):
    with pytest.raises(CheckpointError, match=r"Did you mean 'sgdml-ethanol'\?"):
        adiabat.load("sgdml-ethanl")
    with pytest.raises(CheckpointError, match="there is no file") as caught:
        adiabat.load(tmp_path / "missing.adiabat")
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(CapabilityError, match="does not read its visnet weights yet"):
        adiabat.load("ai2bmd")
    monkeypatch.setattr(sys, "argv", ["adiabat", "predict", "mace-watr", "x", "-o", "y.xyz"])
    with pytest.raises(SystemExit):
        command_line.main()
    assert "Did you mean 'mace-water'?" in capsys.readouterr().err


def test_original_files_are_not_models(tmp_path):
    """The message says what to do with them."""
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="adiabat weights import"):
        adiabat.load(path)
