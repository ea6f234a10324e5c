"""`adiabat data` as a user meets it."""

import json

import pytest
from typer.testing import CliRunner

from adiabat.cli.app import app
from adiabat.data import dataset_hash, read, write
from adiabat.quickstart import shipped


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["data", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def silicon(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "silicon.extxyz"
    write(path, list(read(shipped("silicon")))[:60])
    return path


def test_info(tmp_path, silicon):
    shown = run("info", silicon, "--json", tmp_path / "info.json")
    assert "60 frames (extxyz); energy from 'REF_energy'" in shown
    row = json.loads((tmp_path / "info.json").read_text())[str(silicon)]
    assert row["frames"] == row["periodic"] == 60
    assert list(row["elements"]) == ["Si"]


@pytest.mark.parametrize("name", ["a.h5", "a.lmdb", "a.xyz"])
def test_convert(tmp_path, silicon, name):
    assert "60 frames written" in run("convert", silicon, tmp_path / name)
    assert dataset_hash(read(tmp_path / name)) == dataset_hash(read(silicon))


def test_keys_are_mapped(tmp_path, silicon):
    text = silicon.read_text().replace("REF_energy", "mine")
    (tmp_path / "a.xyz").write_text(text)
    assert "energy from 'mine'" in run("info", tmp_path / "a.xyz", "--keys", "energy=mine")
    done = CliRunner().invoke(app, ["data", "info", str(tmp_path / "a.xyz"), "--keys", "energy=min"])
    assert done.exit_code != 0
    assert "Did you mean 'mine'" in str(done.exception or done.output)


def test_split_then_lint(tmp_path, silicon):
    shown = run("split", silicon, "-o", tmp_path / "parts", "--train", 40, "--valid", 10, "--test", 10)
    assert "train: 40 frames" in shown
    parts = [tmp_path / "parts" / f"{name}.extxyz" for name in ("train", "valid", "test")]
    hashes = json.loads((tmp_path / "parts" / "split.json").read_text())["hashes"]
    assert [dataset_hash(read(path)) for path in parts] == list(hashes.values())
    assert "no leaks" in run("lint", *parts)
    run("split", silicon, "-o", tmp_path / "again", "--train", 40, "--valid", 10, "--test", 10, "--seed", 1)
    shown = run("lint", parts[0], tmp_path / "again" / "test.extxyz", "--json", tmp_path / "lint.json", code=1)
    assert "are also in train.extxyz" in shown
    findings = json.loads((tmp_path / "lint.json").read_text())
    assert findings[0]["severity"] == "error"
