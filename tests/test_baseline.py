"""A classical baseline under a learned model: its share of the labels, the checkpoint, and what is refused."""

import ase
import ase.build
import numpy as np
import pytest
import torch
from small_models import MODELS, SMALL_LOCAL, loosened, several_graphs
from typer.testing import CliRunner

import adiabat
from adiabat.architectures.classical.lennard_jones import LennardJones, LennardJonesConfig
from adiabat.architectures.classical.tersoff import Tersoff, TersoffConfig
from adiabat.architectures.classical.zbl import ZBL, ZBLConfig
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.checkpoint import load, save
from adiabat.cli.app import app
from adiabat.compile import compiled
from adiabat.config import RunConfig
from adiabat.data import Frame, MemoryDataset, write
from adiabat.data.info import DataInfo
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import derive, evaluate
from adiabat.fit.baseline import WithoutBaseline
from adiabat.geometry import Graph, System
from adiabat.sums import Sum
from adiabat.training import train

ALL = ("energy", "forces", "stress")
ZBL_OPTIONS = {"method": "zbl", "inner": 1.5, "outer": 2.9}


def _frames(potential, count=12):
    out = []
    for seed in range(count):
        atoms = ase.build.bulk("Cu", "fcc", a=3.4, cubic=True)
        atoms.numbers[seed % 4] = 8
        atoms.rattle(0.2, seed=seed)
        system = System.from_ase(atoms)
        found = evaluate(potential, Graph.build(system, potential.cutoff), ALL)
        labels = {name: getattr(found, name)[0] for name in ("energy", "stress")}
        out.append(Frame(system, labels | {"forces": found.forces}))
    return out


@pytest.fixture
def data(tmp_path):
    teacher = Sum(
        [loosened(Local(LocalConfig.parse(SMALL_LOCAL), [8, 29])), ZBL(ZBLConfig.parse(ZBL_OPTIONS), [8, 29])]
    )
    write(tmp_path / "data.extxyz", _frames(teacher, 24))
    return tmp_path / "data.extxyz"


def _options(data, model, name="run", **more):
    return {
        "data": {"file": str(data), "reference_energies": "none", "shift": 0.0},
        "model": model,
        "output": str(data.parent / name),
        **more,
    }


def test_linear_fit_above_a_baseline(data):
    model, fit = {"method": "local", **SMALL_LOCAL}, {"regularization": "none"}
    bare = train(_options(data, model, "bare", fit=fit), show=False)
    above = train(_options(data, model, fit=fit, baseline=ZBL_OPTIONS), show=False)
    # what is left is the file's precision
    assert above.metrics["forces_rmse"] < 1e-4 < 1e-2 < bare.metrics["forces_rmse"]
    assert isinstance(above.potential, Sum)
    loaded = adiabat.load(above.folder / "model.adiabat")
    atoms = above.prepared.parts["test"][0].to_ase()
    found, expected = loaded.predict(atoms), above.prepared.parts["test"][0].labels
    assert found["energy"] == pytest.approx(float(expected["energy"]), abs=1e-4)
    np.testing.assert_allclose(found["stress"], expected["stress"], atol=1e-5)
    atoms.calc = loaded.calculator()
    np.testing.assert_allclose(atoms.get_forces(), expected["forces"], atol=1e-3)
    assert float(expected["forces"].abs().max()) > 1.0


def test_gradient_fit_above_a_baseline(data):
    model = {"method": "schnet", "cutoff": 3.5, "channels": 8, "layers": 1, "basis": 5}
    options = _options(data, model, baseline=ZBL_OPTIONS, fit={"epochs": 2}, dtype="float64")
    result = train(options, show=False)
    learned, baseline = result.potential.terms
    frame = result.prepared.parts["train"][0]
    graph = Graph.build(frame.system, result.potential.cutoff)
    parts = [evaluate(one, graph.within(one.cutoff), ALL) for one in (learned, baseline)]
    whole = evaluate(result.potential, graph, ALL)
    again = evaluate(load(result.folder / "model.adiabat").potential, graph, ALL)
    for name in ALL:
        torch.testing.assert_close(getattr(whole, name), sum(getattr(part, name) for part in parts))
        assert torch.equal(getattr(again, name), getattr(whole, name))
    assert isinstance(baseline, ZBL)
    left = result.prepared.left("train")[0].labels
    torch.testing.assert_close(left["forces"], frame.labels["forces"] - parts[1].forces)
    assert not [p for p in baseline.parameters() if p.requires_grad]


def test_shares_of_frames_without_some_label():
    baseline = LennardJones(LennardJonesConfig(sigma=2.5, cutoff=5.0), [8, 29])
    full = _frames(baseline, 2)
    partial = Frame(full[0].system, {"energy": full[0].labels["energy"]})
    open_one = Frame(
        System.from_arrays([[0, 0, 0], [0, 0, 2.6]], [8, 29]),
        {"forces": torch.zeros(2, 3), "dipole": torch.ones(3)},
    )
    frames = WithoutBaseline(MemoryDataset([*full, partial, open_one]), baseline)
    assert len(frames) == 4
    for frame in list(frames)[:3]:
        for value in frame.labels.values():
            torch.testing.assert_close(value, torch.zeros_like(value), atol=1e-12, rtol=0.0)
    assert set(frames[2].labels) == {"energy"}
    assert torch.equal(frames[3].labels["dipole"], torch.ones(3))
    assert float(frames[3].labels["forces"].abs().max()) > 0.01


def test_fast_paths_of_a_sum():
    model = Sum([MODELS["schnet"](), ZBL(ZBLConfig(inner=1.0, outer=2.5), [1, 8])])
    graph = several_graphs()[0]
    expected = evaluate(model, graph, ALL)
    frozen = model.frozen()
    for found in (derive(frozen, frozen.prepare(graph), ALL), compiled(model, ALL, "captured")(graph)):
        for name in ALL:
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-7)
    longer = Sum([MODELS["schnet"](), LennardJones(LennardJonesConfig(sigma=1.5, cutoff=5.0), [1, 8])])
    with pytest.raises(CapabilityError, match="different cutoffs"):
        longer.frozen()
    wide = Graph.build(graph.system, 5.0)
    energies = [evaluate(term, wide.within(term.cutoff)).energy for term in longer.terms]
    torch.testing.assert_close(evaluate(longer, wide).energy, sum(energies))


def test_terms_keep_their_own_triplets():
    entry = TersoffConfig.parse({"entries": [_light(names) for names in _triples()]})
    model = Sum([MODELS["bpnn"](), Tersoff(entry, [1, 8])])
    graph = several_graphs()[0]
    parts = [evaluate(term, graph).energy for term in model.terms]
    torch.testing.assert_close(evaluate(model, graph).energy, sum(parts))
    assert all(float(part.abs().max()) > 1e-3 for part in parts)


def _triples():
    return [(a, b, c) for a in "HO" for b in "HO" for c in "HO"]


def _light(names):
    numbers = {"lambda3": 0.0, "c": 1.0, "d": 2.0, "h": -0.5, "n": 1.0, "beta": 0.1, "lambda2": 1.5, "b": 20.0}
    return {"elements": names, **numbers, "r": 2.3, "width": 0.3, "lambda1": 3.0, "a": 60.0}


def test_parameters_of_a_baseline_are_saved(tmp_path):
    baseline = LennardJones(LennardJonesConfig(epsilon={"H": 0.01, "O": 0.02}, sigma=1.7, cutoff=3.0), [1, 8])
    model = Sum([MODELS["painn"](), baseline])
    loaded = load(save(tmp_path / "sum.adiabat", model, DataInfo(elements=(1, 8)))).potential
    assert isinstance(loaded, Sum)
    assert [type(term) for term in loaded.terms] == [type(term) for term in model.terms]
    assert torch.equal(loaded.terms[1].epsilon, baseline.epsilon)
    assert loaded.terms[1].config == baseline.config


def test_what_is_refused(data):
    def run(**more):
        return RunConfig.parse({"data": {"file": "x"}, "model": {"method": "schnet"}, **more})

    assert run(baseline={"method": "emt"}).baseline.method == "emt"
    with pytest.raises(ConfigError, match="not a classical potential"):
        run(baseline={"method": "mace"})
    with pytest.raises(ConfigError, match=r"in baseline.*Did you mean 'outer'"):
        run(baseline={"method": "zbl", "outr": 2.0})
    with pytest.raises(ConfigError, match="global model"):
        run(model={"method": "sgdml"}, baseline={"method": "zbl"})
    with pytest.raises(ConfigError, match="no parameters of O"):
        train(_options(data, {"method": "schnet"}, baseline={"method": "emt"}), show=False)


def test_classical_potentials_as_models(tmp_path):
    output = tmp_path / "lj.adiabat"
    runner = CliRunner()
    options = ["sigma.Ar=3.3", "sigma.Kr=3.6", "--elements", "Ar,Kr"]
    done = runner.invoke(app, ["classical", "lennard_jones", *options, "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert "lennard_jones, cutoff 7.65 Å, Ar, Kr" in done.output
    atoms = ase.Atoms("ArKr", [[0, 0, 0], [0, 0, 3.8]])
    made = adiabat.classical("lennard_jones", ["Kr", "Ar"], sigma={"Ar": 3.3, "Kr": 3.6})
    assert adiabat.load(output).predict(atoms)["energy"] == made.predict(atoms)["energy"] < -0.005
    assert adiabat.classical("tersoff").info.elements == (14,)
    assert adiabat.classical("emt").info.elements == (13, 28, 29, 46, 47, 78, 79)
    with pytest.raises(ConfigError, match="Did you mean 'morse'"):
        adiabat.classical("mors", ["Cu"])
    with pytest.raises(ConfigError, match="name them"):
        adiabat.classical("zbl")


def test_parameters_of_pairs_are_fitted(tmp_path):
    teacher = LennardJones(LennardJonesConfig(epsilon=0.3, sigma=2.2, cutoff=5.0, ending="linear"), [29])
    frames = []
    for seed in range(12):
        atoms = ase.build.bulk("Cu", "fcc", a=3.5, cubic=True)
        atoms.rattle(0.1, seed=seed)
        system = System.from_ase(atoms)
        found = evaluate(teacher, Graph.build(system, 5.0))
        frames.append(Frame(system, {"energy": found.energy[0], "forces": found.forces}))
    write(tmp_path / "data.extxyz", frames)
    model = {"method": "lennard_jones", "epsilon": 0.2, "sigma": 2.3, "cutoff": 5.0, "ending": "linear"}
    options = _options(tmp_path / "data.extxyz", model, fit={"epochs": 150, "compile": False}, dtype="float64")
    fitted = train(options, show=False).potential.model
    assert fitted.epsilon.item() == pytest.approx(0.3, rel=0.02)
    assert fitted.sigma.item() == pytest.approx(2.2, rel=0.005)
