"""Examples run as they stand, with published weights, and give sensible numbers."""

import runpy
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(shared, tmp_path, monkeypatch):
    """Runs an example's `main` in a folder of its own."""
    monkeypatch.setenv("ADIABAT_WEIGHTS", str(shared / "weights"))
    monkeypatch.chdir(tmp_path)
    return lambda name, *arguments: runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*arguments)


def test_torsion(run, tmp_path):
    angles, energies = run("torsion")
    at = dict(zip(angles.tolist(), energies.tolist(), strict=True))
    assert energies.argmin() == 0  # trans
    assert 0.4 < at[60] < 1.1  # gauche, kcal/mol; experiment 0.7
    assert 3.0 < at[120] < 4.5
    assert at[0] > at[120]
    assert (tmp_path / "torsion.svg").stat().st_size > 5000


def test_equation_of_state(run):
    moduli = run("equation_of_state")
    assert moduli["Si"] == pytest.approx(99, rel=0.15)
    assert moduli["Cu"] == pytest.approx(137, rel=0.15)


def test_all_models(run, capsys):
    names = ("sevennet-0", "m3gnet-mp-2021.2.8", "ani-1x-two", "unep-v1")
    table = run("all_models", *names)
    assert tuple(table) == names
    for name in names[:2]:  # PBE: -5.42, -5.95 eV/atom
        assert table[name]["Si"] == pytest.approx(-5.42, abs=0.05)
        assert table[name]["MgO"] == pytest.approx(-5.95, abs=0.05)
    assert table["unep-v1"]["Si"] is None
    assert np.isfinite(table["ani-1x-two"]["ethanol"])
    assert "sevennet-0" in capsys.readouterr().out


def test_every_example_has_its_picture():
    """Pictures in the docs are those of the programs."""
    pictures = {path.stem for path in (EXAMPLES.parent / "docs" / "examples").glob("*.svg")}
    assert pictures == {path.stem for path in EXAMPLES.glob("*.py")} - {"all_models"}
