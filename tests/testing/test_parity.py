"""The parity command on a small kit made here: equal, off, failed, skipped, and nothing silent."""

import json

import ase.io
import numpy as np
import pytest
import typer
from ase import Atoms
from toys import Toy
from typer.testing import CliRunner

import adiabat.testing.parity as module
from adiabat.cli.parity import register
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit
from adiabat.testing.parity import parity, scoreboard
from adiabat.units import KCAL_PER_MOL

REFERENCE = {1: -0.5, 6: -3.0, 8: -7.0}
STRUCTURES = {
    "co": Atoms("CO", [[0, 0, 0], [0, 0.2, 1.3]]),
    "crystal": Atoms("CO", [[0, 0, 0], [1.1, 1.2, 1.5]], cell=[[3, 0, 0], [0.3, 3.2, 0], [0, 0.4, 3.1]], pbc=True),
    "hydrogen": Atoms("H", [[0, 0, 0]]),
    "argon": Atoms("Ar", [[0, 0, 0]]),
}


def model() -> Referenced:
    return Referenced(Toy(), REFERENCE, scale=2.0)


def numbers(atoms: Atoms) -> dict[str, np.ndarray]:
    """What a program in kcal/mol without reference energies in its atomic energies would give."""
    graph = Graph.build(System.from_ase(atoms), 4.0)
    periodic = bool(atoms.pbc.any())
    found = evaluate(model(), graph, ("energy", "forces", "atomic_energies", *(("stress",) if periodic else ())))
    reference = np.array([REFERENCE[z] for z in atoms.numbers])
    values = {
        "energy": found.energy.numpy(),
        "forces": found.forces.numpy(),
        "energies": found.atomic_energies.numpy() - reference,
        "descriptor": np.ones(3) * KCAL_PER_MOL,
    }
    if periodic:
        values["virial"] = -found.stress[0].numpy() * atoms.cell.volume
    return {k: v / KCAL_PER_MOL for k, v in values.items()}


@pytest.fixture
def kit(tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    folder.mkdir()
    frames = []
    for name, atoms in STRUCTURES.items():
        frame = atoms.copy()
        frame.info["name"] = name
        frames.append(frame)
    ase.io.write(folder / "structures.extxyz", frames, format="extxyz")
    meta = {"dtype": "float64", "cases": {"given": {"argon": "skipped: elements not covered"}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    outputs = {f"{n}/{q}": v for n, a in STRUCTURES.items() if n != "argon" for q, v in numbers(a).items()}
    np.savez(folder / "outputs.npz", **outputs)
    imported = Imported({"": model()}, energy_unit="kcal/mol", offset=True)
    monkeypatch.setattr(module, "importer", lambda kit: (lambda kit: imported) if kit.name == "toy" else None)
    return folder


def change(kit, **changes):
    outputs = Kit(kit).outputs() | {k.replace("__", "/"): v for k, v in changes.items()}
    np.savez(kit / "outputs.npz", **{k: v for k, v in outputs.items() if v is not None})


def test_equal(kit):
    report = parity(Kit(kit))
    assert report.status == "equal"
    assert report.worst < 1e-12
    assert {d.quantity: d.cases for d in report.deviations} == {
        "energy": 3,
        "forces": 3,
        "atomic_energies": 3,
        "virial": 1,
    }
    assert report.skipped == {
        "argon": "skipped: elements not covered",
        "*/descriptor": "not a quantity that parity compares",
    }


def test_off(kit):
    forces = Kit(kit).outputs()["co/forces"].copy()
    size = max(np.abs(v).max() for k, v in Kit(kit).outputs().items() if k.endswith("/forces"))
    forces[0, 1] += 1e-5 * size
    change(kit, co__forces=forces)
    report = parity(Kit(kit))
    assert report.status == "off"
    off = next(d for d in report.deviations if d.quantity == "forces")
    assert off.worst == "co"
    assert off.relative == pytest.approx(1e-5, rel=0.01)
    assert off.absolute == pytest.approx(1e-5 * size, rel=0.01)
    assert parity(Kit(kit), tolerance=1e-4).status == "equal"
    meta = json.loads((kit / "meta.json").read_text()) | {"dtype": "float32 only"}
    (kit / "meta.json").write_text(json.dumps(meta))
    assert parity(Kit(kit)).tolerance == 1e-5


def test_supercell_numbers_replace_plain_ones(kit):
    right = Kit(kit).outputs()["crystal/energy"]
    change(kit, crystal__energy=right + 1.0, crystal__energy_from_supercell=right)
    assert parity(Kit(kit)).status == "equal"


def test_wrong_shapes_and_structures_fail(kit):
    change(kit, co__forces=np.zeros((3, 3)))
    report = parity(Kit(kit))
    assert report.status == "off"
    assert "6 values where the kit has 9" in report.failures["co"]
    change(kit, co__forces=None, argon__energy=np.zeros(1))
    report = parity(Kit(kit))
    assert report.status == "off"
    assert "Ar" in report.failures["argon"]


def test_what_cannot_be_compared_is_listed(kit):
    change(
        kit,
        co__other__energy=np.zeros(1),
        missing__energy=np.zeros(1),
        hydrogen__forces=np.full((1, 3), float("nan")),
    )
    report = parity(Kit(kit))
    assert report.status == "equal"
    assert report.skipped["*/other"] == "the importer gives no model for this variant"
    assert report.skipped["missing"] == "no structure of this name"
    assert report.skipped["hydrogen/forces"] == "the program's value is not finite"


def test_arrays_of_descriptors(kit, monkeypatch):
    """What is not finite, is of no structure or is not made is left out by name; what is off is found."""

    def rows(atoms):
        return {"row": np.arange(4.0) * len(atoms), "norm": np.ones(1)}

    imported = Imported({}, arrays={"": rows})
    monkeypatch.setattr(module, "importer", lambda kit: lambda kit: imported)
    outputs = {f"{name}/row": rows(atoms)["row"] for name, atoms in STRUCTURES.items()}
    outputs |= {"types": np.ones(3), "co/norm": np.array([np.nan]), "co/other": np.ones(2)}
    np.savez(kit / "outputs.npz", **outputs)
    report = parity(Kit(kit))
    assert report.status == "equal"
    assert [d.quantity for d in report.deviations] == ["row"]
    assert report.deviations[0].cases == 4
    assert report.skipped["types"] == "belongs to no structure"
    assert report.skipped["co/norm"] == "the program's value is not finite"
    assert report.skipped["*/other"] == "not a quantity that the importer gives"
    change(kit, co__row=np.array([0.0, 2.0, 4.0, 6.1]))
    report = parity(Kit(kit))
    assert (report.status, report.deviations[0].worst) == ("off", "co")


def test_a_stress_that_is_not_symmetric_is_no_derivative(kit):
    virial = Kit(kit).outputs()["crystal/virial"].copy()
    size = np.abs(virial).max()
    virial[0, 1] += 5e-3 * size
    change(kit, crystal__virial=virial)
    assert parity(Kit(kit)).status == "off"
    virial[0, 1] += 2e-2 * size
    change(kit, crystal__virial=virial)
    report = parity(Kit(kit))
    assert report.status == "equal"
    assert "not symmetric" in report.skipped["crystal/virial"]


def test_nothing_compared_is_not_equal(kit):
    np.savez(kit / "outputs.npz", **{"co/descriptor": np.ones(3)})
    assert parity(Kit(kit)).status == "off"


def test_held_out_structures(kit, tmp_path):
    other = Atoms("OH", [[0, 0, 0], [0.9, 0, 0.1]])
    other.info["name"] = "hydroxyl"
    ase.io.write(tmp_path / "held.extxyz", other, format="extxyz")
    np.savez(tmp_path / "held.npz", **{f"hydroxyl/{k}": v for k, v in numbers(other).items()})
    report = parity(Kit(kit), tmp_path / "held.extxyz", tmp_path / "held.npz")
    assert report.status == "equal"
    assert {d.cases for d in report.deviations} == {1}


def command() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    return app


def test_command(kit):
    run = CliRunner().invoke
    result = run(command(), ["parity", str(kit)])
    assert result.exit_code == 0
    assert "atomic_energies" in result.output
    assert "skipped: argon" in result.output
    change(kit, co__energy=np.zeros(1))
    assert run(command(), ["parity", str(kit)]).exit_code == 1
    result = run(command(), ["parity", str(kit), "--json"])
    assert json.loads(result.output)["status"] == "off"
    empty = kit.parent / "another"
    empty.mkdir()
    (empty / "meta.json").write_text("{}")
    assert run(command(), ["parity", str(empty)]).exit_code == 2
    assert [r.status for r in scoreboard(kit.parent)] == ["no page", "off"]
    result = run(command(), ["parity", "--all", str(kit.parent)])
    assert result.exit_code == 1
    assert "no page yet" in result.output
    assert "0 equal, 1 off, 1 without a page" in result.output


def test_command_refuses_contradictions(kit):
    run = CliRunner().invoke
    for arguments in ([], [str(kit), "--all", str(kit)], [str(kit), "--structures", "x"], ["--all", str(kit / "no")]):
        assert isinstance(run(command(), ["parity", *arguments]).exception, ConfigError)
