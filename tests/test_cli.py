"""The command line as a user meets it."""

import json

import ase.io
import pytest
from typer.testing import CliRunner

from adiabat.cli.app import app
from adiabat.quickstart import shipped

RUN = CliRunner()
COMMANDS = (
    "train", "validate", "schema", "template", "evaluate", "predict",
    "md", "parity", "audit", "models", "quickstart", "data",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained through the command line on the shipped ethanol set."""
    folder = tmp_path_factory.mktemp("cli")
    template = RUN.invoke(app, ["template", "sgdml", "--data", str(shipped("ethanol"))])
    assert template.exit_code == 0
    (folder / "run.yaml").write_text(template.output)
    overrides = ["data.split.train=40", "data.split.valid=20", "data.split.test=20", "fit.length_scales=[20]"]
    done = RUN.invoke(app, ["train", str(folder / "run.yaml"), *overrides, f"output={folder / 'run'}"])
    assert done.exit_code == 0, done.output
    return folder


def test_every_command_explains_itself():
    for command in COMMANDS:
        shown = RUN.invoke(app, [command, "--help"])
        assert shown.exit_code == 0
        assert "Usage" in shown.output


def test_a_run_leaves_its_files(trained):
    names = {p.name for p in (trained / "run").iterdir()}
    assert {"model.adiabat", "metrics.json", "receipt.json", "config.yaml"} <= names
    assert json.loads((trained / "run" / "metrics.json").read_text())["forces_mae"] < 0.5


def test_evaluate_writes_the_promised_keys(trained):
    out = trained / "errors.json"
    done = RUN.invoke(
        app, ["evaluate", str(trained / "run/model.adiabat"), str(_molecules(trained)), "--json", str(out)]
    )
    assert done.exit_code == 0, done.output
    errors = json.loads(out.read_text())
    keys = {"energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse", "per_group", "per_element"}
    assert keys <= set(errors)
    assert set(errors["per_element"]) == {"H", "C", "O"}


def test_predict_then_md(trained):
    model, data = trained / "run" / "model.adiabat", _molecules(trained)
    predicted = trained / "predicted.extxyz"
    assert RUN.invoke(app, ["predict", str(model), str(data), "-o", str(predicted)]).exit_code == 0
    atoms = ase.io.read(predicted)
    assert atoms.arrays["adiabat_forces"].shape == (9, 3)
    assert abs(atoms.info["adiabat_energy"] - atoms.info.get("REF_energy", -4209)) < 5
    done = RUN.invoke(
        app, ["md", str(model), str(data), "-o", str(trained / "md"), "--steps", "20", "--interval", "10"]
    )
    assert done.exit_code == 0, done.output
    assert len(ase.io.read(trained / "md" / "trajectory.extxyz", ":")) == 3


def _molecules(folder):
    path = folder / "molecules.extxyz"
    if not path.exists():
        from adiabat.data import Subset, read, write

        data = read(shipped("ethanol"))
        keep = [k for k in range(len(data)) if data[k].system.atoms > 1][:12]
        write(path, Subset(data, keep))
    return path
