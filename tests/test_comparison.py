"""A comparison: fits, table, picture, resumption, and what the recipe refuses."""

import json

import pytest

from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.comparison import Recipe, compare
from adiabat.comparison.table import unbeaten
from adiabat.data import read, write
from adiabat.errors import ConfigError
from adiabat.pretrained.importers.snap import write_snap
from adiabat.quickstart import shipped

POOR = {"kind": "acsf", "cutoff": 3.5, "recipe": {"shifted": 1, "centered": [], "angular": []}}
ACSF = {"kind": "acsf", "cutoff": 3.5, "recipe": {"shifted": 3, "centered": [], "angular": [1.0]}}


@pytest.fixture
def recipe(tmp_path):
    frames = read(str(shipped("ethanol")))
    for name, part in (("train", range(60)), ("test", range(60, 80))):
        write(str(tmp_path / f"{name}.extxyz"), [frames[k] for k in part])
    model = {"method": "local", "descriptor": ACSF}
    return {
        "sets": {"ethanol": {"train": str(tmp_path / "train.extxyz"), "test": str(tmp_path / "test.extxyz")}},
        "models": {
            "linear": {"model": model},
            "poor": {"model": {"method": "local", "descriptor": POOR}},
            "unfit": {"model": model, "fit": {"loss": {"stress": 1.0}}},
        },
        "output": str(tmp_path / "out"),
    }


def test_table_and_resumption(recipe, tmp_path):
    lines = []
    rows = {row.name: row for row in compare(recipe, lines.append)}
    assert rows["linear"].errors["forces_mae"] < 0.7 * rows["poor"].errors["forces_mae"]
    assert "stress" in rows["unfit"].note
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert table.index("| linear |") < table.index("| poor |") < table.index("| unfit |")
    assert (tmp_path / "out" / "comparison.html").exists()
    recipe["models"]["linear"]["sets"] = {"ethanol": {"model.descriptor.cutoff": 3.0}}
    lines.clear()
    again = {row.name: row for row in compare(recipe, lines.append)}
    assert [line.split(":")[0] for line in lines] == ["ethanol linear", "ethanol unfit"]
    assert again["poor"] == rows["poor"]
    assert again["linear"].errors != rows["linear"].errors
    assert len(json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]) == 3


def test_held_out_frames_and_stress(recipe, tmp_path):
    frames = read(str(shipped("silicon")))
    write(str(tmp_path / "silicon.extxyz"), [frames[k] for k in range(12)])
    model = {"method": "local", "descriptor": ACSF}
    recipe["sets"] = {
        name: {"train": str(tmp_path / "silicon.extxyz"), "held_out": 0.25, "stress": name == "with"}
        for name in ("with", "without")
    }
    recipe["models"] = {"all": {"model": model}, "few": {"model": model, "frames": 4}}
    rows = {(row.set, row.name): row for row in compare(recipe, [].append)}
    assert all(not row.note for row in rows.values())
    assert "stress_mae" in rows["with", "all"].errors
    assert not any(key.startswith("stress") for key in rows["without", "all"].errors)
    assert rows["with", "few"].errors["forces_mae"] != rows["with", "all"].errors["forces_mae"]
    parts = [read(str(tmp_path / "out" / "data" / f"with-{part}.extxyz")) for part in ("train", "valid", "test", 4)]
    assert [len(part) for part in parts] == [8, 1, 3, 4]
    picture = (tmp_path / "out" / "comparison.svg").read_text()
    assert picture.count("few") == 2


def test_published_energies_may_count_from_elsewhere(recipe, tmp_path):
    frames = read(str(shipped("silicon")))
    write(str(tmp_path / "silicon.extxyz"), [frames[k] for k in range(20)])
    model = SNAP(SNAPConfig.parse({"descriptor": {"twojmax": 2, "cutoff": 4.0}}), [14])
    write_snap(model, tmp_path / "x.snapcoeff")
    recipe["sets"] = {"Si": {"train": str(tmp_path / "silicon.extxyz"), "held_out": 0.25}}
    recipe["models"] = {}
    file = {"file": str(tmp_path / "x.snapcoeff")}
    recipe["published"] = {"Si": {"given": file, "shifted": {**file, "shifted": True}}}
    given, shifted = compare(recipe, [].append)
    assert shifted.errors["energy_mae_per_atom"] < 0.2 < 4.0 < given.errors["energy_mae_per_atom"]
    assert shifted.errors["forces_mae"] == given.errors["forces_mae"]


def test_change_for_one_set_reruns_that_set(recipe, tmp_path):
    recipe["sets"]["other"] = dict(recipe["sets"]["ethanol"])
    recipe["models"] = {"poor": recipe["models"]["poor"]}
    compare(recipe, [].append)
    recipe["models"]["poor"]["sets"] = {"other": {"model.descriptor.cutoff": 3.0}}
    lines = []
    compare(recipe, lines.append)
    assert [line.split(":")[0] for line in lines] == ["other poor"]


def test_unbeaten():
    points = {"a": (1.0, 10.0), "b": (2.0, 11.0), "c": (3.0, 5.0), "d": (4.0, 5.0)}
    assert unbeaten(points) == ["a", "c"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"models": {}}, "name at least one method"),
        ({"models": {"x": {"fit": {}}}}, "lacks model"),
        ({"models": {"x": {"model": {}, "sets": {"water": {}}}}}, "names water"),
        ({"sets": {"water": {"train": "file"}}, "models": {"x": {"model": {}}}}, "give either test"),
        ({"published": {"water": {"x": "file"}}}, "names water"),
    ],
)
def test_refuses(recipe, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Recipe.parse({**recipe, **change})
