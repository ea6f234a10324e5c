"""Compiled training steps have the loss and the gradients of eager ones, for every method."""

import copy

import pytest
import torch
from small_models import MODELS, structure

import adiabat.fit.gradient as gradient
from adiabat.compile.build import Executable
from adiabat.data import Frame, Loader, MemoryDataset
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.batches import usable
from adiabat.fit.compiled import CompiledStep
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.fit.losses import LossConfig, Term, counts, loss_sums

TERMS = {
    "energy": Term(weight=1.0),
    "forces": Term(weight=20.0, kind="huber", delta=0.05, elements={"H": 0.5}),
    "stress": Term(weight=3.0, kind="mae"),
}


def frames(count: int) -> MemoryDataset:
    """Random labels on small structures; one frame lacks forces and one is not periodic."""
    torch.manual_seed(3)
    made = []
    for k in range(count):
        system = structure(4 + k, 4.0, k, pbc=k != 1)
        labels = {"energy": torch.randn(()), "forces": torch.randn(system.atoms, 3), "stress": torch.randn(3, 3)}
        if k == 2:
            del labels["forces"]
        made.append(Frame(system, {name: value.double() for name, value in labels.items()}))
    return MemoryDataset(made)


def batches(size: int, terms=TERMS):
    loader = Loader(frames(4), 3.0, batch_size=size, labels=tuple(terms))
    return [usable(batch) for batch in loader]


def scales(batch, terms=TERMS):
    return torch.stack([t.weight / c for t, c in zip(terms.values(), counts(batch, terms), strict=True)])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))


def compare(name, backend, dtype, tolerance, terms=TERMS):
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype)
    eager = copy.deepcopy(model)
    step = CompiledStep(model, backend)
    for size, weights in ((4, None), (3, None), (4, torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64))):
        batch = batches(size, terms)[0].to(dtype=dtype)
        found = step(batch, terms, scales(batch, terms), weights)
        assert found is not None, step.reason
        prediction, sums = found
        expected = evaluate(eager, batch.graph, tuple(terms), create_graph=True)
        theirs = loss_sums(expected, batch, terms, weights)
        eager.zero_grad()
        sum(scale * part for scale, (part, _) in zip(scales(batch, terms), theirs.values(), strict=True)).backward()
        torch.testing.assert_close(prediction.forces, expected.forces, rtol=tolerance, atol=tolerance)
        for what in terms:
            torch.testing.assert_close(sums[what], theirs[what][0].detach(), rtol=tolerance, atol=tolerance)
        for (label, ours), other in zip(model.named_parameters(), eager.parameters(), strict=True):
            assert (ours.grad is None) == (other.grad is None), label
            if other.grad is not None:
                size_ = max(1e-3, float(other.grad.abs().max()))
                assert float((ours.grad - other.grad).abs().max()) < tolerance * size_, label


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ("mace-nonlinear", "dpa2") else ()) for name in MODELS],
)
def test_captured_gradients_equal_eager_ones(name):
    compare(name, "captured", torch.float64, 1e-9)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "schnet" else pytest.mark.slow) for name in MODELS]
)
def test_inductor_gradients_equal_eager_ones(name):
    compare(name, "inductor", torch.float64, 1e-9, {name: TERMS[name] for name in ("energy", "forces")})


def test_wrong_numbers_of_a_compiler_are_noticed(monkeypatch):
    torch.manual_seed(0)
    step = CompiledStep(MODELS["schnet"](), "captured")
    run = Executable.__call__

    def spoilt(self, constants, inputs):
        found = run(self, constants, inputs)
        return found | {"forces": found["forces"] * 1.001}

    monkeypatch.setattr(Executable, "__call__", spoilt)
    batch = batches(4)[0]
    with pytest.warns(UserWarning, match="uncompiled steps: the compiled function gives another forces than"):
        assert step(batch, TERMS, scales(batch), None) is None


def test_a_fit_takes_the_same_way(monkeypatch):
    torch.manual_seed(0)
    models = [MODELS["schnet"]() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    config = GradientConfig(
        epochs=2, batch_size=2, loss=LossConfig(energy=Term(weight=1.0), forces=Term(weight=10.0))
    )
    monkeypatch.setattr(gradient, "CompiledStep", lambda p: CompiledStep(p, "captured"))
    results = []
    for model, option in zip(models, (True, False), strict=True):
        fitter = GradientFitter(model, frames(4), frames(4), config.model_copy(update={"compile": option}))
        assert (fitter.compiled is not None) == option
        results.append(fitter.fit())
    for a, b in zip(*(r.history for r in results), strict=True):
        assert a["valid_loss"] == pytest.approx(b["valid_loss"], rel=1e-9)
        assert a["train_forces_rmse"] == pytest.approx(b["train_forces_rmse"], rel=1e-9)


def test_auto_compiles_long_fits_only():
    model = MODELS["schnet"]()
    short = GradientFitter(model, frames(4), frames(4), GradientConfig(epochs=3, batch_size=2))
    assert short.compiled is None
    long = GradientFitter(model, frames(4), frames(4), GradientConfig(epochs=5000, batch_size=2))
    assert long.compiled is not None
    with pytest.raises(ConfigError, match="no effect on a model that steps from stored features"):
        GradientFitter(MODELS["bpnn"](), frames(4), frames(4), GradientConfig(compile=True))


def test_without_a_compiler_the_fit_goes_on(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    model = MODELS["schnet"]()
    config = GradientConfig(epochs=1, batch_size=2, compile=True)
    fitter = GradientFitter(model, frames(4), frames(4), config)
    with pytest.warns(UserWarning, match="goes on with uncompiled steps: no C\\+\\+ compiler"):
        result = fitter.fit()
    assert result.epochs == 1
    assert "compiler" in fitter.compiled.reason
