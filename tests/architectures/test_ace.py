"""ACE through the battery, fitted in closed form, and its embeddings."""

import ase.build
import pytest
import torch
from small_models import loosened

from adiabat.architectures import build, method
from adiabat.architectures.local.ace import ACE, ACEConfig, DensityHead, Embedding, sharp_power, shifted_power
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery

FINNIS_SINCLAIR = {"parameters": (1.0, 1.0, 1.0, 0.5)}


def _ace(elements=(13, 29), **changes):
    bond = {"count": 4, "inner": (1.5, 0.5), "core": (50.0, 1.0)}
    descriptor = {"cutoff": 4.0, "n_max": (4, 2, 1, 1), "l_max": (0, 2, 2, 1), "bond": bond}
    torch.manual_seed(1)
    return loosened(ACE(ACEConfig.parse({"descriptor": descriptor} | changes), elements), 0.05)


def _crystals(count, size=0.15):
    made = []
    for seed in range(count):
        crystal = ase.build.bulk("Cu", cubic=True) * (1, 1, 2)
        crystal.numbers[1 :: 2 + seed % 3] = 13
        crystal.rattle(size, seed=seed)
        made.append(System.from_ase(crystal))
    return made


@pytest.mark.parametrize("embedding", [{}, FINNIS_SINCLAIR])
def test_battery(embedding, shared):
    descriptor = {"cutoff": 3.5, "n_max": (3, 1, 1), "l_max": (0, 1, 1), "bond": {"count": 3, "core": (5.0, 3.0)}}
    model = _ace([1, 6, 8], embedding=embedding, descriptor=descriptor)
    report = run_battery(
        model, kits=[shared / "golden" / "ace-8el-sbessel-fs2"], skip=("NVE", "RT", *("FIT",) * bool(embedding))
    )
    assert report.passed, report.text()
    assert report["REF"].passed


def test_linear_fit_finds_the_weights_above_a_core():
    teacher = _ace(descriptor={"cutoff": 3.5, "n_max": (3, 1), "l_max": (0, 1), "bond": {"core": (50.0, 1.0)}})
    frames = []
    for system in _crystals(5):
        found = evaluate(teacher, Graph.build(system, teacher.cutoff), ("energy", "forces"))
        assert found.forces is not None
        frames.append(Frame(system, {"energy": found.energy[0], "forces": found.forces}))
    student = ACE(teacher.config, teacher.elements)
    assert student.fitter == "linear"
    data = MemoryDataset(frames)
    result = LinearFitter(student, data, data, LinearConfig(regularization="none")).fit()
    assert result.best["train_forces_rmse"] < 1e-8


def test_starts_from_a_linear_model():
    linear, other = _ace(), _ace(embedding=FINNIS_SINCLAIR)
    other.start_from(linear)
    assert other.fitter == "gradient"
    with torch.no_grad():
        other.head.weights[:, 1] = 0
    graph = Graph.build(System.batch(_crystals(2)), 4.0)
    torch.testing.assert_close(other(graph).energy, linear(graph).energy)
    with pytest.raises(ConfigError, match="other functions"):
        other.start_from(_ace(elements=(29,)))


def test_first_density_in_closed_form():
    model = _ace(embedding=FINNIS_SINCLAIR)
    graph = Graph.build(System.batch(_crystals(2)), 4.0)
    linear = model.first_density()
    linear.set_weights(model.constants.detach(), model.weights.detach()[:, :1])
    torch.testing.assert_close(linear(graph).energy, model(graph).energy)
    before = model.weights.detach()
    model.start_from(linear)
    torch.testing.assert_close(model.weights, before)
    with pytest.raises(ConfigError, match="factor 1"):
        _ace(embedding={"parameters": (1.0, 0.5)}).first_density()


def test_adapting_changes_the_coordinates_only():
    model, systems = _ace(embedding=FINNIS_SINCLAIR), _crystals(3)
    graph = Graph.build(System.batch(systems), 4.0)
    before, weights = model(graph).energy, model.weights
    model.adapt([graph])
    assert isinstance(model.head, DensityHead)
    assert not torch.equal(model.head.scale, torch.ones_like(model.head.scale))
    torch.testing.assert_close(model(graph).energy, before)
    torch.testing.assert_close(model.weights, weights)


def test_powers_at_zero():
    density = torch.tensor([-0.3, -1e-7, 0.0, 1e-12, 2e-6, 0.4], dtype=torch.float64, requires_grad=True)
    for function in (sharp_power, shifted_power):
        for power in (0.5, 1.0, 2.0):
            values = function(density, torch.tensor(power))
            torch.testing.assert_close(values, -function(-density, torch.tensor(power)))
            (slope,) = torch.autograd.grad(values.sum(), density)
            assert torch.isfinite(slope).all()
            assert values[2] == 0
    torch.testing.assert_close(sharp_power(density, torch.tensor(0.5))[5], density[5].sqrt())
    assert torch.autograd.gradcheck(lambda d: shifted_power(d, torch.tensor(0.5)), density)


def test_switch_takes_the_expansion_away_from_close_atoms():
    embedding = FINNIS_SINCLAIR | {"core_cutoff": 10.0, "core_width": 5.0}
    model = _ace(embedding=embedding)
    near = Graph.build(System.from_arrays([[0, 0, 0], [0, 0, 0.7]], [29, 29]), 4.0)
    assert model.fixed is not None
    core = model.fixed.atomic_energies(near)
    assert core[0] > 10.0
    torch.testing.assert_close(model.atomic_energies(near), core + model.constants[1])


def test_registered():
    model = build(ACEConfig(), [74])
    assert isinstance(model, ACE)
    assert model.fitter == "linear"
    assert method("ace").paper == "10.1103/PhysRevB.99.014104"
    trained = ACEConfig.parse({"descriptor": {"train_radial": True}})
    assert ACE.fitter_for(trained) == "projection"
    assert isinstance(build(ACEConfig(embedding=Embedding(parameters=(1, 2))), [74]).head, DensityHead)
    with pytest.raises(ConfigError, match="positive power"):
        build(ACEConfig(embedding=Embedding(parameters=(1.0, -1.0))), [74])
