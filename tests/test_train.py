"""The whole road: data file, configuration, training, checkpoint, evaluation, prediction; and the commands."""

import json

import ase.io
import morse
import numpy as np
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

import adiabat
from adiabat.architectures import METHODS
from adiabat.cli.train import register
from adiabat.data import read, write
from adiabat.errors import ConfigError, DataError, FitError
from adiabat.metrics import evaluate_dataset
from adiabat.training import train

app = typer.Typer()
register(app)


@pytest.fixture(autouse=True)
def _method(monkeypatch):
    monkeypatch.setitem(METHODS, "morse", morse.METHOD)


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "data.extxyz", morse.frames(40, periodic=20))
    return tmp_path / "data.extxyz"


def options(data, **more):
    return {
        "data": {"file": str(data), "split": {"seed": 1}},
        "model": {"method": "morse"},
        "fit": {"epochs": 12, "optimizer": {"rate": 0.02}, **more},
        "output": str(data.parent / "run"),
    }


def test_from_data_to_checkpoint(data):
    result = train(options(data, loss={"stress": 10.0}), show=False)
    folder = data.parent / "run"
    written = {p.name for p in folder.iterdir()}
    assert written >= {"model.adiabat", "metrics.json", "receipt.json", "log.jsonl", "config.yaml"}
    assert not [name for name in written if name.startswith(".")]
    metrics = json.loads((folder / "metrics.json").read_text())
    for key in ("energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse", "stress_mae"):
        assert metrics[key] > 0
    assert set(metrics["per_element"]) == {"H", "C"}
    assert set(metrics["per_group"]) == {"crystal", "cluster"}
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["labels_used"]["stress"] + receipt["frames_lacking_a_label"]["stress"] == 32
    assert receipt["data"]["files"][0]["frames"] == 40
    model = adiabat.load(folder / "model.adiabat")
    assert model.info.frames == {"train": 32, "valid": 4, "test": 4}
    assert model.potential.dtype == torch.float32
    again = evaluate_dataset(model.potential, result.prepared.parts["test"]).summary()
    assert again["forces_mae"] == metrics["forces_mae"]


def test_errors_are_those_of_the_predictions(data):
    result = train(options(data), show=False)
    model = adiabat.load(result.folder / "model.adiabat")
    test = result.prepared.parts["test"]
    predicted = model.predict([frame.to_ase() for frame in test])
    energy = [
        (p["energy"] - float(f.labels["energy"])) / f.system.atoms for p, f in zip(predicted, test, strict=True)
    ]
    forces = np.concatenate([p["forces"] - f.labels["forces"].numpy() for p, f in zip(predicted, test, strict=True)])
    assert result.metrics["energy_mae_per_atom"] == pytest.approx(np.abs(energy).mean(), rel=1e-4)
    assert result.metrics["forces_rmse"] == pytest.approx(np.sqrt((forces**2).mean()), rel=1e-4)


def test_same_seed_same_model(data):
    a = train(options(data) | {"output": str(data.parent / "a")}, show=False)
    b = train(options(data) | {"output": str(data.parent / "b")}, show=False)
    c = train(options(data) | {"output": str(data.parent / "c"), "seed": 5}, show=False)
    weights = [r.potential.state_dict() for r in (a, b, c)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not all(torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


def test_an_earlier_run_is_not_lost(data):
    train(options(data), show=False)
    with pytest.raises(ConfigError, match="already holds a finished model"):
        train(options(data), show=False)
    with pytest.raises(ConfigError, match="another seed"):
        train(options(data) | {"seed": 4}, show=False, resume=True)
    (data.parent / "run" / "model.adiabat").unlink()
    with pytest.raises(ConfigError, match="interrupted"):
        train(options(data), show=False)
    resumed = train(options(data), show=False, resume=True)
    assert resumed.fit.epochs == 12
    longer = train(options(data) | {"fit": {"epochs": 14, "optimizer": {"rate": 0.02}}}, show=False, resume=True)
    assert longer.fit.epochs == 14
    train(options(data), show=False, overwrite=True)


def test_changed_data_cannot_be_resumed(data):
    train(options(data), show=False)
    write(data, morse.frames(40, seed=5))
    with pytest.raises(ConfigError, match="other data"):
        train(options(data), show=False, resume=True)


def test_what_was_asked_for_must_be_there(data):
    with pytest.raises(FitError, match="charges"):
        train(options(data, loss={"charges": 1.0}), show=False)
    with pytest.raises(DataError, match="no_such_key"):
        train(options(data) | {"data": {"file": str(data), "keys": {"energy": "no_such_key"}}}, show=False)


def test_separate_files_and_given_references(data, tmp_path):
    for name, seed in (("train", 0), ("valid", 1), ("test", 2)):
        write(tmp_path / f"{name}.extxyz", morse.frames(10, seed=seed))
    files = {name: str(tmp_path / f"{name}.extxyz") for name in ("train", "valid", "test")}
    given = {**files, "reference_energies": {"H": -3, "C": -3}, "scale": 2.0}
    result = train(options(data) | {"data": given}, show=False)
    assert result.info.reference_source == "given"
    assert float(result.potential.scale) == 2.0
    left = [float(f.labels["energy"]) / f.system.atoms + 3 for f in result.prepared.parts["train"]]
    assert result.info.shift == pytest.approx(np.mean(left))
    assert float(result.potential.reference[6]) == pytest.approx(-3.0 + np.mean(left))
    exact = train(options(data) | {"data": given | {"shift": 0.0}}, show=False, overwrite=True)
    assert exact.potential.reference[6] == -3.0


def command(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def test_commands(data, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(options(data)))
    assert "parameters" in command("validate", config)
    assert "meV/atom" in command("train", config, "fit.epochs=3", "seed=2")
    model = tmp_path / "run" / "model.adiabat"
    command("evaluate", model, data, "--json", tmp_path / "errors.json", "--group", "config_type")
    errors = json.loads((tmp_path / "errors.json").read_text())
    assert errors["forces_mae"] > 0
    assert "crystal" in errors["per_group"]
    command("predict", model, data, "-o", tmp_path / "out.extxyz")
    predicted = ase.io.read(tmp_path / "out.extxyz", ":")
    expected = adiabat.load(model).predict([frame.to_ase() for frame in read(data)])
    for atoms, row in zip(predicted, expected, strict=True):
        assert atoms.info["adiabat_energy"] == pytest.approx(row["energy"], abs=1e-5)
        assert np.allclose(atoms.arrays["adiabat_forces"], row["forces"], atol=1e-5)
    assert "morse" in command("models")
    assert "# Radius" in command("template", "morse")
    assert json.loads(command("schema", "morse"))["properties"]["model"]["properties"]["hidden"]


def test_a_wrong_command_is_one_sentence(data, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(options(data)))
    result = CliRunner().invoke(app, ["train", str(config), "fit.epoch=3"])
    assert isinstance(result.exception, ConfigError)
    assert "Did you mean 'epochs'" in str(result.exception)


def test_ten_lines():
    assert adiabat.train is train
