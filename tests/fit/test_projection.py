"""The projection fitter: finds the radial functions of a teacher, stops for a reason, and leaves the best behind."""

import ase.build
import pytest
import torch

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.architectures.local.mtp import MTP, MTPConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.fit.projection import ProjectionConfig, ProjectionFitter
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced

ELEMENTS = (13, 29)


def _teacher(level=6):
    torch.manual_seed(2)
    model = MTP(MTPConfig(level=level, cutoff=4.0, inner=1.8, basis=4), ELEMENTS)
    with torch.no_grad():
        model.moments.coefficients.add_(0.02 * torch.randn_like(model.moments.coefficients))
    size = model.moments.size
    model.set_weights(torch.tensor([-1.0, -2.0]), torch.randn(size) * 0.1 ** torch.arange(size))
    return model


def _frames(teacher, count, seed=0):
    made = []
    for k in range(count):
        crystal = ase.build.bulk("Cu", cubic=True)
        crystal.numbers[k % 4] = 13
        crystal.rattle(0.2, seed=seed + k)
        system = System.from_ase(crystal)
        found = evaluate(teacher, Graph.build(system, teacher.cutoff), ("energy", "forces", "stress"))
        labels = {name: getattr(found, name)[0] for name in ("energy", "stress")}
        made.append(Frame(system, labels | {"forces": found.forces}))
    return MemoryDataset(made)


def _fresh(graphs=()):
    return MTP(MTPConfig(level=6, cutoff=4.0, inner=1.8, basis=4), ELEMENTS)


def test_finds_a_teacher():
    teacher = _teacher()
    train, valid = _frames(teacher, 10), _frames(teacher, 3, seed=50)
    student = _fresh()
    student.adapt([Graph.build(train[k].system, 4.0) for k in range(4)])
    loss = {"energy": 100.0, "forces": 1.0, "stress": 10.0}
    config = ProjectionConfig.parse({"loss": loss, "steps": 25, "tolerance": 0.0})
    result = ProjectionFitter(Referenced(student, {29: 0.3}), train, valid, config).fit()
    first, best = result.history[0], result.best
    assert best["valid_loss"] < 1e-3 * first["valid_loss"]
    assert best["valid_forces_rmse"] < 0.02 * first["valid_forces_rmse"]
    losses = [row["train_loss"] for row in result.history]
    assert losses == sorted(losses, reverse=True)
    assert result.receipt["descriptor_parameters"] == student.moments.coefficients.numel()


def test_without_steps_only_weights_are_fitted():
    teacher = _teacher()
    data = _frames(teacher, 6)
    student = _fresh()
    student.moments.load_state_dict(teacher.moments.state_dict())
    before = student.moments.coefficients.detach().clone()
    config = ProjectionConfig(steps=0, uncertainty=True)
    result = ProjectionFitter(student, data, data, config).fit()
    assert result.stopped == "all steps done"
    assert result.best["valid_forces_rmse"] < 1e-6
    torch.testing.assert_close(student.moments.coefficients.detach(), before, rtol=0, atol=0)
    found = evaluate(student, Graph.build(data[0].system, 4.0), ("energy",))
    assert found.uncertainty is not None
    assert 0.0 < float(found.uncertainty) < 1e-3


def test_refits_the_weights_to_both_parts():
    data = _frames(_teacher(), 6)
    parts = [MemoryDataset([data[k] for k in own]) for own in (range(4), range(4, 6), range(6))]
    found = []
    for train, refit in ((parts[0], False), (parts[0], True), (parts[2], False)):
        student = _fresh()
        ProjectionFitter(student, train, parts[1], ProjectionConfig(steps=0, refit=refit)).fit()
        found.append(student.head.weights.detach())
    torch.testing.assert_close(found[1], found[2], rtol=1e-5, atol=1e-8)
    assert not torch.allclose(found[0], found[2], rtol=1e-2)


def test_ends_when_nothing_gets_better():
    data = _frames(_teacher(), 4)
    config = ProjectionConfig(steps=25, tolerance=0.9)
    result = ProjectionFitter(_fresh(), data, data, config).fit()
    assert "less than 0.9" in result.stopped
    assert len(result.history) < 10


@pytest.mark.parametrize(("kind", "fitter"), [("linear", "projection"), ("quadratic", "gradient")])
def test_who_fits_a_trained_descriptor(kind, fitter):
    options = {"descriptor": {"kind": "mtp", "level": 4, "cutoff": 3.0}, "regressor": {"kind": kind}}
    config = LocalConfig.parse(options)
    assert Local.fitter_for(config) == fitter
    assert Local(config, [29]).fitter == fitter
