"""SNAP through the battery, fitted above a repulsion, and its kernel."""

import ase.build
import pytest
import torch
from small_models import loosened

from adiabat.architectures import build, method
from adiabat.architectures.local.snap import SNAP, Repulsion, SNAPConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System
from adiabat.kernels.bispectrum import NAME
from adiabat.kernels.build import available
from adiabat.nn.heads import LinearInWeights, PairEnds, QuadraticHead
from adiabat.testing.battery import run_battery

needs_kernel = pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")


def _snap(elements=(13, 29), **changes):
    options = {"descriptor": {"cutoff": 4.0, "twojmax": 3, "weights": {"Al": 0.8}}} | changes
    torch.manual_seed(1)
    return loosened(SNAP(SNAPConfig.parse(options), elements), 0.02)


def _crystals(count, size=0.15):
    made = []
    for seed in range(count):
        crystal = ase.build.bulk("Cu", cubic=True) * (1, 1, 2)
        crystal.numbers[1 :: 2 + seed % 3] = 13
        crystal.rattle(size, seed=seed)
        made.append(System.from_ase(crystal))
    return made


@pytest.mark.parametrize("quadratic", [False, True])
def test_battery(quadratic, shared):
    model = _snap([1, 6, 8], quadratic=quadratic, repulsion=(0.6, 1.2))
    kits = [shared / "golden" / f"snap-cu{'-quadratic' * quadratic}"]
    report = run_battery(model, kits=kits, skip=("NVE", "RT"))
    assert report.passed, report.text()
    assert report["REF"].passed


@needs_kernel
@pytest.mark.parametrize("quadratic", [False, True])
def test_frozen_is_the_same(quadratic):
    model = _snap(quadratic=quadratic, repulsion=(1.5, 3.0))
    graph = Graph.build(System.batch(_crystals(3)), model.cutoff)
    found, wanted = (evaluate(m, graph, ("energy", "forces", "stress")) for m in (model.frozen(), model))
    for name in ("energy", "atomic_energies", "forces", "stress"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-11, atol=1e-11)
    assert wanted.forces.abs().max() > 0.1


def test_fit_finds_the_weights_above_a_repulsion():
    teacher = _snap(repulsion=(1.5, 3.0))
    frames = []
    for system in _crystals(6):
        found = evaluate(teacher, Graph.build(system, teacher.cutoff), ("energy", "forces", "stress"))
        labels = {name: getattr(found, name)[0] for name in ("energy", "stress")}
        frames.append(Frame(system, labels | {"forces": found.forces}))
    student = SNAP(teacher.config, teacher.elements)
    assert student.fitter == "linear"
    assert not student.precompute
    data = MemoryDataset(frames)
    result = LinearFitter(student, data, data, LinearConfig(regularization="none")).fit()
    assert result.best["train_forces_rmse"] < 1e-8
    torch.testing.assert_close(student.head.weights, teacher.head.weights, rtol=1e-5, atol=1e-6)


def test_fit_without_constants():
    teacher = _snap()
    frames = []
    for system in _crystals(4):
        found = evaluate(teacher, Graph.build(system, teacher.cutoff), ("energy", "forces"))
        frames.append(Frame(system, {"energy": found.energy[0], "forces": found.forces}))
    student, data = SNAP(teacher.config.model_copy(update={"constant": False}), (13, 29)), MemoryDataset(frames)
    for regularization in ("none", "evidence"):
        LinearFitter(student, data, data, LinearConfig(regularization=regularization)).fit()
        assert (student.head.weights[:, 0] == 0).all()
        assert (student.head.weights[:, 1:] != 0).all()


def test_repulsion_ends_smoothly():
    config = SNAPConfig.parse({"descriptor": {"cutoff": 4.0}, "repulsion": (1.0, 2.0)})
    model = Repulsion(config, [29], 4.0)

    def energy(r):
        return float(evaluate(model, Graph.build(System.from_arrays([[0, 0, 0], [0, 0, r]], [29, 29]), 4.0)).energy)

    ends = [energy(2.0 - d) for d in (1e-3, 2e-3, 4e-3)]
    assert energy(2.0) == 0.0
    assert ends[1] / ends[0] == pytest.approx(8.0, rel=0.02)  # the third power is the first that is left
    assert ends[2] / ends[1] == pytest.approx(8.0, rel=0.02)


def test_registered():
    model = build(SNAPConfig(), [74])
    assert isinstance(model, SNAP)
    assert model.descriptor.size == 55
    assert method("snap").paper == "10.1016/j.jcp.2014.12.018"
    with pytest.raises(ConfigError, match="inner radius"):
        SNAP(SNAPConfig(repulsion=(3.0, 2.0)), [74])


def test_quadratic_rows_are_those_of_single_pairs():
    torch.manual_seed(0)
    head, atoms, pairs = QuadraticHead(1, 5), 7, 40
    centers, neighbors = torch.randint(atoms, (2, pairs))
    centers[centers == 3] = 2  # one atom is no center
    values, jacobian, vectors = torch.randn(atoms, 5), torch.randn(pairs, 5, 3), torch.randn(pairs, 3)
    system = torch.randint(2, (pairs,))
    for wanted in (vectors, None):
        ends = PairEnds(centers, neighbors, atoms, wanted, system, 2)
        given = (values, jacobian, centers, 0, ends)
        for found, plain in zip(head.pulls(*given), LinearInWeights.pulls(head, *given), strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
