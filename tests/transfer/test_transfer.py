"""Fine-tuning from file to checkpoint, its report, and distillation."""

import copy
import json

import morse
import numpy as np
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

import adiabat
from adiabat.architectures import METHODS
from adiabat.cli.transfer import register
from adiabat.data import DataInfo, Frame, MemoryDataset, read, write
from adiabat.errors import ConfigError, DataError, FitError
from adiabat.model import Model
from adiabat.potential import Referenced
from adiabat.transfer import DistillRun, FinetuneRun, distill, finetune
from adiabat.transfer.dimers import Curve, curves
from adiabat.transfer.forgetting import forgetting
from adiabat.transfer.generate import generate
from adiabat.transfer.options import GenerateConfig, template_finetune
from adiabat.transfer.reference import refit, relabeled, shifted

SHIFT = {1: 2.5, 6: -7.0}
FEW = {"rattles": 2, "strains": 1, "temperatures": [300], "frames": 1, "femtoseconds": 2.0}
app = typer.Typer()
register(app)


@pytest.fixture(autouse=True)
def _method(monkeypatch):
    monkeypatch.setitem(METHODS, "morse", morse.METHOD)


@pytest.fixture
def brief(monkeypatch):
    """Runs without pictures and with short curves of two atoms."""
    monkeypatch.setattr("adiabat.transfer.finetuning.page", lambda *_: "")
    monkeypatch.setattr("adiabat.transfer.dimers.POINTS", 12)


def base(seed=99):
    """The model that made the labels, or another one."""
    potential = Referenced(morse.model(seed=seed), {1: -3.0, 6: -3.0})
    return Model(potential, DataInfo(elements=(1, 6), reference_energies={1: -3.0, 6: -3.0}, license="CC-BY"))


def other_level(frames):
    """Labels of another level of theory: other reference energies and forces 1.3 times as large."""
    moved = relabeled(frames, SHIFT)
    out = []
    for frame, was in zip(moved, frames, strict=True):
        bound = float(was.labels["energy"]) + 3.0 * was.system.atoms
        labels = {"energy": frame.labels["energy"] + 0.3 * bound, "forces": 1.3 * was.labels["forces"]}
        out.append(Frame(frame.system, labels, frame.info))
    return out


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "new.extxyz", other_level(morse.frames(20, periodic=4)))
    write(tmp_path / "base.extxyz", morse.frames(12, seed=7))
    return tmp_path


def options(data, epochs=2, **more):
    return {
        "data": {"file": str(data / "new.extxyz"), "level_of_theory": "other"},
        "finetune": {"preset": "strong", "generate": FEW, **more},
        "fit": {"epochs": epochs, "optimizer": {"rate": 0.02}},
        "output": str(data / "run"),
    }


def test_a_whole_run(data):
    model = base()
    weights = copy.deepcopy(model.potential.state_dict())
    result = finetune(model, options(data, epochs=15), show=False)
    for name, value in model.potential.state_dict().items():
        assert torch.equal(value, weights[name])
    assert (
        result.forgetting.errors["new after"]["forces_rmse"] < result.forgetting.errors["new before"]["forces_rmse"]
    )
    files = {p.name for p in (data / "run").iterdir()}
    assert files >= {"model.adiabat", "forgetting.json", "report.html", "receipt.json", "metrics.json", "config.yaml"}
    row = json.loads((data / "run" / "forgetting.json").read_text())
    assert {d["pair"] for d in row["dimers"]} == {"H-H", "H-C", "C-C"}
    assert [f["code"] for f in row["findings"]] == ["NEW", "FORCES", "ENERGY", "DIMERS", "HOLES"]
    assert row["verdict"] in (data / "run" / "report.html").read_text()
    loaded = adiabat.load(data / "run" / "model.adiabat")
    assert loaded.info.level_of_theory == "other"
    assert loaded.info.license == "CC-BY"
    frame = morse.frames(1)[0]
    expected = Model(result.potential, result.info).predict(frame.to_ase())
    assert loaded.predict(frame.to_ase())["energy"] == pytest.approx(expected["energy"], abs=1e-9)


def test_references_find_a_known_shift(data):
    moved = relabeled(morse.frames(12), SHIFT)
    found = refit(base().potential, moved)
    assert found.rank == 2
    assert found.change == pytest.approx(SHIFT, abs=1e-9)
    assert found.rmse_after < 1e-9 < found.rmse_before
    assert any("H: reference energy -3.0000 → -0.5000 eV (+2.5000)" in line for line in found.lines())
    corrected = shifted(base().potential, found.change)
    assert float(corrected.reference[6]) == pytest.approx(-10.0)
    bare = shifted(base().potential.model, {6: -1.0})
    assert float(bare.reference[6]) == -1.0
    alike = MemoryDataset([f for f in moved if f.system.numbers.tolist() == moved[0].system.numbers.tolist()])
    poor = refit(base().potential, alike)
    assert poor.rank == 1
    assert any("determine only 1 of 2" in line for line in poor.lines())


def test_references_may_be_kept(data, brief):
    result = finetune(base(), options(data, reference="keep"), show=False)
    assert float(result.potential.reference[6]) == -3.0
    refitted = finetune(base(), options(data), show=False, overwrite=True)
    assert float(refitted.potential.reference[6]) == pytest.approx(-10.0, abs=1.0)
    receipt = json.loads((data / "run" / "receipt.json").read_text())
    assert receipt["finetune"]["reference"]["elements"]["C"]["change"] == pytest.approx(-7.0, abs=1.0)


def test_frozen_parameters_stay(data, brief):
    result = finetune(base(), options(data, freeze=["inner.*", "depth"]), show=False)
    before, after = base().potential.state_dict(), result.potential.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])} - {"reference"}
    assert changed == {"model.length", "model.outer.weight", "model.outer.bias"}
    assert all(p.requires_grad for p in result.potential.parameters())
    with pytest.raises(ConfigError, match="'iner.weight'.*Did you mean 'inner.weight'"):
        finetune(base(), options(data, freeze=["iner.weight"]), show=False, overwrite=True)


def test_low_rank_runs_save_ordinary_checkpoints(data, brief):
    result = finetune(base(), options(data, lora={"rank": 1, "targets": ["inner.weight"]}), show=False)
    before, after = base().potential.state_dict(), result.potential.state_dict()
    assert list(before) == list(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])} - {"reference"}
    assert changed == {"model.inner.weight"}
    loaded = adiabat.load(data / "run" / "model.adiabat").potential.state_dict()
    assert torch.equal(loaded["model.inner.weight"], after["model.inner.weight"])


def test_replay_changes_the_result_and_is_reported(data, brief):
    replay = {"data": str(data / "base.extxyz"), "fraction": 0.5, "weight": 5.0}
    plain = finetune(base(), options(data, epochs=12), show=False)
    result = finetune(base(), options(data, epochs=12, replay=replay), show=False, overwrite=True)
    receipt = json.loads((data / "run" / "receipt.json").read_text())["finetune"]["replay"]
    assert receipt["frames"] == 16
    assert receipt["fraction"] == 0.5
    assert receipt["labels_used"] == {"energy": 16, "forces": 16}
    assert "held-out frames of" in result.forgetting.base_set
    lost = [forgetting(base().potential, r.potential, _new(), _old(), "", SHIFT).errors for r in (plain, result)]
    assert lost[1]["base after"]["forces_rmse"] < 0.8 * lost[0]["base after"]["forces_rmse"]


def _new():
    return MemoryDataset(other_level(morse.frames(6, seed=3)))


def _old():
    return morse.dataset(6, seed=8)


def test_generated_replay(data, brief):
    result = finetune(base(), options(data, replay={"data": "generated"}), show=False)
    assert "structures made from" in result.forgetting.base_set
    assert result.forgetting.errors["base before"]["forces_rmse"] < 1e-9


def test_generated_dimers_are_replayed_and_not_reported(data, brief):
    found = []
    for more in ({}, {"dimers": 12}):
        again = {"replay": {"data": "generated"}, "generate": FEW | more}
        result = finetune(base(), options(data, **again), show=False, overwrite=True)
        receipt = json.loads((data / "run" / "receipt.json").read_text())["finetune"]["replay"]
        found.append((receipt["of"], result.forgetting.base_set))
    assert found[0][0] + 3 * 12 >= found[1][0] > found[0][0] + 12
    assert found[1][1] == found[0][1]


@pytest.mark.parametrize(
    ("replay", "words"),
    [
        ({"fraction": 0.0}, "fraction = 0 must be above 0"),
        ({"weight": 0.0}, "weight = 0 would give replay no effect"),
        ({"data": "generated", "index": ":3"}, "index has no effect on generated"),
        ({"wieght": 1.0}, "Did you mean 'weight'"),
    ],
)
def test_replay_without_effect_is_refused(data, replay, words):
    with pytest.raises(ConfigError, match=words):
        finetune(base(), options(data, replay={"data": str(data / "base.extxyz"), **replay}), show=False)


def test_replay_of_what_cannot_be_used_stops(data):
    frames = morse.frames(4)
    for name, changed in (
        ("alien", [Frame(f.system.replace(numbers=torch.full_like(f.system.numbers, 8)), f.labels) for f in frames]),
        ("bare", [Frame(f.system, {"stress": torch.eye(3)}) for f in frames]),
    ):
        write(data / f"{name}.extxyz", changed)
        with pytest.raises(FitError, match="replay was asked for and would have no effect"):
            finetune(base(), options(data, replay={"data": str(data / f"{name}.extxyz")}), show=False, overwrite=True)


def test_two_heads(data, brief):
    replay = {"data": str(data / "base.extxyz"), "heads": ["outer.*"]}
    result = finetune(base(), options(data, replay=replay), show=False)
    second = adiabat.load(data / "run" / "base-head.adiabat").potential
    first, kept = result.potential.state_dict(), second.state_dict()
    assert torch.equal(first["model.inner.weight"], kept["model.inner.weight"])
    assert not torch.equal(first["model.outer.weight"], kept["model.outer.weight"])
    assert float(kept["reference"][6]) == -3.0
    metrics = json.loads((data / "run" / "metrics.json").read_text())
    assert metrics["base_head"]["energy_mae_per_atom"] < 0.5
    with pytest.raises(ConfigError, match="beside lora"):
        finetune(base(), options(data, replay=replay, lora={}), show=False, overwrite=True)


def test_verdicts(brief):
    old, new = _old(), MemoryDataset(other_level(morse.frames(6, seed=3)))
    start, same = base().potential, shifted(base().potential, SHIFT)
    with torch.no_grad():
        learned = shifted(base().potential, SHIFT)
        learned.scale.mul_(1.05)
        ruined = shifted(base().potential, SHIFT)
        ruined.scale.mul_(1.3)
    kept = forgetting(start, learned, new, old, "a set", SHIFT)
    assert kept.passed, kept.verdict
    assert "kept what it knew" in kept.verdict
    idle = forgetting(start, same, new, old, "a set", SHIFT)
    assert not idle.passed
    assert "has not learned the new data (NEW)" in idle.verdict
    lost = forgetting(start, ruined, new, old, "a set", SHIFT)
    assert not lost.passed
    assert "has learned the new data and has forgotten (FORCES, ENERGY" in lost.verdict
    assert lost.errors["new after"]["forces_rmse"] < 1e-9
    finding = next(f for f in lost.findings if f.code == "FORCES")
    assert finding.value == pytest.approx(3 * finding.threshold)
    assert "10 % of the RMS force" in finding.verdict
    # on the base's own predictions it may move as far as the base was wrong
    fair = forgetting(start, ruined, new, old, "a set", SHIFT, own=True)
    finding = next(f for f in fair.findings if f.code == "FORCES")
    assert finding.passed
    assert finding.threshold == pytest.approx(1.5 * fair.errors["new before"]["forces_rmse"])


def test_holes_and_minima_are_found():
    r = np.linspace(0.5, 6.0, 80)
    wall = 4.0 * ((1.0 / r) ** 8 - (1.0 / r) ** 4)
    hole = np.where(r < 0.8, wall[r >= 0.8][0] - 20.0 * (0.8 - r), wall)
    well = wall - 0.5 * np.exp(-(((r - 3.5) / 0.2) ** 2))
    assert Curve("H-H", r, wall, wall, 1.0).new_hole is None
    assert Curve("H-H", r, wall, hole, 1.0).new_hole == pytest.approx(0.5, abs=0.05)
    assert Curve("H-H", r, hole, hole, 1.0).new_hole is None
    assert Curve("H-H", r, wall, well, 1.0).new_minima == pytest.approx([3.5], abs=0.1)
    assert Curve("H-H", r, wall, well, 1.0).deviation[0] == pytest.approx(0.5, abs=0.02)
    found = curves(base().potential, base().potential, [1, 6])
    assert [c.pair for c in found] == ["H-H", "H-C", "C-C"]
    assert all(c.deviation[0] == 0.0 and not c.new_minima for c in found)


def test_contradictions_are_refused(data):
    for more, words in (
        ({"freeze": ["inner.*"], "lora": {}}, "freeze has no effect beside lora"),
        ({"preset": "wild"}, "preset"),
        ({"lora": {"rnak": 2}}, "Did you mean 'rank'"),
        ({"generate": {"dimers": 9}}, "dimers = 9 has no effect without generated replay"),
    ):
        with pytest.raises(ConfigError, match=words):
            FinetuneRun.parse(options(data, **more))
    with pytest.raises(ConfigError, match="brings its own architecture"):
        FinetuneRun.parse(options(data) | {"model": {"method": "morse"}})
    with pytest.raises(ConfigError, match=r"data\.scale has no effect"):
        FinetuneRun.parse(options(data) | {"data": {"file": "x", "scale": 2.0}})
    gentle = FinetuneRun.parse({"data": {"file": "x"}, "finetune": {"preset": "gentle"}, "fit": {"epochs": 7}})
    assert (gentle.fit.epochs, gentle.fit.optimizer.rate) == (7, 1e-4)
    loss = {"forces": 3, "stress": 10}
    quick = FinetuneRun.parse({"data": {"file": "x"}, "finetune": {"preset": "quick"}, "fit": {"loss": loss}})
    assert (quick.fit.optimizer.kind, quick.fit.loss.energy.kind, quick.fit.loss.stress.weight) == ("muon", "mae", 10)
    assert (quick.fit.loss.forces.kind, quick.fit.loss.forces.weight) == ("mae", 3)  # another weight, the same kind
    oxygen = [Frame(f.system.replace(numbers=torch.full_like(f.system.numbers, 8)), f.labels) for f in _new()]
    write(data / "new.extxyz", oxygen)
    with pytest.raises(DataError, match="does not know O"):
        finetune(base(), options(data), show=False)


def test_the_template_is_a_valid_run():
    text = template_finetune("new.extxyz")
    assert "# Share of replayed frames" in text
    run = FinetuneRun.parse(yaml.safe_load(text))
    assert run.finetune.replay.data == "generated"
    assert run.fit.optimizer.rate == 5e-4


def test_generated_structures():
    start = morse.frames(3, periodic=1)
    settings = GenerateConfig.parse(FEW)
    made = generate(base().potential, [f.to_ase() for f in start], settings, seed=1)
    kinds = [f.info["config_type"] for f in made.frames]
    assert (kinds.count("rattle"), kinds.count("strain"), kinds.count("dynamics")) == (6, 1, 3)
    first = made.frames[0]
    torch.testing.assert_close(first.labels["forces"], start[0].labels["forces"])
    torch.testing.assert_close(first.labels["stress"], start[0].labels["stress"])
    again = generate(base().potential, [f.to_ase() for f in start], settings, seed=1)
    assert torch.equal(again.frames[5].system.positions, made.frames[5].system.positions)
    few = GenerateConfig(rattles=0, strains=0, temperatures=(), dimers=9, max_force=1e-6)
    pairs = [f for f in generate(base().potential, [start[0].to_ase()], few).frames if f.system.atoms == 2]
    assert {(f.info["config_type"], f.info["seed"]) for f in pairs} == {("dimer", 1), ("dimer", 2), ("dimer", 3)}
    reached = [float(f.system.positions[1, 0]) for f in pairs if f.info["seed"] == 1]
    assert reached[-1] == pytest.approx(min(6.0, base().potential.cutoff))
    assert np.diff(reached) == pytest.approx(
        np.full(len(reached) - 1, (reached[-1] - reached[0]) / (len(reached) - 1))
    )
    rise = [float(f.labels["energy"]) + 6.0 for f in pairs]  # two atoms of the base have -3 eV each
    assert max(rise) <= 10.0
    assert max(float(f.labels["forces"].abs().max()) for f in pairs) > few.max_force
    limit = GenerateConfig.parse(FEW | {"max_force": 1e-6})
    with pytest.raises(DataError, match="have forces above"):
        generate(base().potential, [f.to_ase() for f in start], limit)


SPLIT = {"method": "group", "key": "seed", "train": 0.6, "valid": 0.2, "test": 0.2}


def student(data, **more):
    return {
        "data": {"file": str(data / "seeds.extxyz"), "split": SPLIT},
        "generate": FEW,
        "model": {"method": "schnet", "cutoff": 4.0, "channels": 8, "layers": 1, "basis": 6},
        "fit": {"epochs": 8, "loss": {"stress": 1.0}},
        "output": str(data / "student"),
        **more,
    }


def test_distillation(data):
    write(data / "seeds.extxyz", [Frame(f.system) for f in morse.frames(5, periodic=5)])
    result = distill(base(), student(data), show=False)
    assert result.train.metrics["forces_mae"] < 1.0
    assert result.speed["ratio"] > 0
    report = json.loads((data / "student" / "distill.json").read_text())
    assert report["errors_against_base"]["part"] == "test"
    loaded = adiabat.load(data / "student" / "model.adiabat")
    assert loaded.potential.config.method == "schnet"
    assert "morse" in loaded.info.level_of_theory
    labeled = list(read(data / "student" / "labeled.extxyz"))
    tested = {frame.info["seed"] for frame in result.train.prepared.parts["test"]}
    assert not tested & {frame.info["seed"] for frame in result.train.prepared.parts["train"]}
    assert len(labeled) == sum(loaded.info.frames.values()) == 5 + 10 + 5 + 5
    predicted = base().predict(labeled[0].to_ase())
    assert float(labeled[0].labels["energy"]) == pytest.approx(predicted["energy"], abs=1e-9)
    with pytest.raises(ConfigError, match="already holds a finished model"):
        distill(base(), student(data), show=False)
    with pytest.raises(ConfigError, match="all labels come from the base"):
        DistillRun.parse(student(data) | {"data": {"file": "x", "keys": {"energy": "E"}}})


def test_an_interrupted_run_goes_on(data, brief):
    given = options(data, lora={"rank": 1}, replay={"data": "generated"})
    fit = {"epochs": 2, "optimizer": {"rate": 0.02}, "schedule": {"kind": "constant"}}
    whole = finetune(base(), given | {"fit": fit}, show=False)
    half = given | {"output": str(data / "half"), "fit": fit | {"epochs": 1}}
    finetune(base(), half, show=False)
    rest = finetune(base(), half | {"fit": fit}, resume=True, show=False)
    for name, value in whole.potential.state_dict().items():
        assert torch.equal(value, rest.potential.state_dict()[name])
    with pytest.raises(ConfigError, match="had other data"):
        finetune(base(seed=3), half | {"fit": fit}, resume=True, show=False)
    with pytest.raises(ConfigError, match="had another finetune"):
        finetune(base(), half | {"finetune": {"reference": "keep"}}, resume=True, show=False)


def test_commands(data):
    model = base().save(data / "base.adiabat")
    (data / "run.yaml").write_text(yaml.safe_dump(options(data)))
    done = CliRunner().invoke(app, ["finetune", str(model), str(data / "run.yaml"), "fit.epochs=2"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    for word in ("reference energy", "21 of 21 parameters", "new before", "FORCES", "The model"):
        assert word in done.output
    write(data / "seeds.extxyz", [Frame(f.system) for f in morse.frames(5)])
    (data / "student.yaml").write_text(yaml.safe_dump(student(data, fit={"epochs": 2})))
    done = CliRunner().invoke(app, ["distill", str(model), str(data / "student.yaml")])
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert "times as fast" in done.output


def test_public_names():
    assert adiabat.finetune is finetune
    assert adiabat.distill is distill
