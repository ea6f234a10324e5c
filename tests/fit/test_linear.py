"""The linear fitter: streamed rows give the numbers of a direct solve, and every regularization what it promises."""

import pytest
import torch
from small_models import ELEMENTS, several_graphs, structure

from adiabat import train
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.described import REGRESSORS
from adiabat.errors import ConfigError, FitError
from adiabat.evaluate import evaluate
from adiabat.fit.iterative import Rows, damped
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.fit.reduced import Ridge, Triangle, lasso, relevance
from adiabat.geometry import Graph

SMALL = {"kind": "acsf", "cutoff": 3.0, "recipe": {"centered": [1.0], "shifted": 2, "angular": [1.0], "zetas": [1.0]}}


def model(regressor, **options):
    config = LocalConfig.parse({"descriptor": SMALL, "regressor": {"kind": regressor, **options}})
    made = Local(config, ELEMENTS)
    made.adapt(several_graphs())
    return made


def problem(rows=400, columns=12, noise=0.1):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn((rows, columns), generator=generator)
    true = torch.zeros(columns)
    true[:4] = torch.tensor([1.0, -2.0, 0.5, 3.0])
    return a, true, a @ true + noise * torch.randn(rows, generator=generator)


def streamed(a, y, block=64):
    triangle = Triangle(a.shape[1], block)
    for begin in range(0, len(a), 37):
        triangle.add(a[begin : begin + 37], y[begin : begin + 37])
    return triangle


def test_streamed_rows_are_least_squares():
    a, _, y = problem()
    triangle = streamed(a, y)
    direct = torch.linalg.lstsq(a, y[:, None]).solution[:, 0]
    found = Ridge(triangle).solve(0.0).weights
    assert torch.allclose(found, direct, atol=1e-12)
    assert triangle.mean_square(direct) == pytest.approx(float((a @ direct - y).square().mean()), rel=1e-12)
    assert triangle.rows == len(a)


def test_ridge_is_the_normal_equations():
    a, _, y = problem()
    u = torch.linalg.cholesky(torch.eye(12) + 0.1).T
    expected = torch.linalg.solve(a.T @ a + 2.0 * u.T @ u, a.T @ y)
    assert torch.allclose(Ridge(streamed(a, y), u).solve(2.0).weights, expected, atol=1e-12)


def test_evidence_finds_the_noise():
    a, true, y = problem(rows=4000, noise=0.3)
    ridge = Ridge(streamed(a, y))
    alpha, noise = ridge.evidence()
    solution = ridge.solve(alpha, noise)
    assert noise == pytest.approx(0.09, rel=0.1)
    assert solution.spread is not None
    deviations = solution.spread.norm(dim=1)
    assert float(((solution.weights - true).abs() / deviations).max()) < 4.0


def test_relevance_drops_what_does_not_matter():
    a, true, y = problem(rows=1000)
    found = relevance(streamed(a, y))
    assert float((found.weights - true).abs().max()) < 0.03
    assert 4 <= found.used <= 8


def test_lasso_is_optimal():
    a, _, y = problem()
    alpha = 30.0
    found = lasso(streamed(a, y), alpha)
    sizes = a.square().mean(dim=0).sqrt()
    slope = a.T @ (y - a @ found.weights) / sizes
    active = found.weights != 0
    assert torch.allclose(slope[active], alpha * found.weights[active].sign(), rtol=1e-4)
    assert float(slope[~active].abs().max()) <= alpha
    assert found.used == int(active.sum()) < 12


@pytest.mark.parametrize(
    ("regressor", "options"),
    [
        ("linear", {}),
        ("quadratic", {}),
        ("gaussian_process", {"points": 5}),
        ("gaussian_process", {"points": 5, "features": "sigma", "kernel": {"form": "rbf"}}),
        ("gaussian_process", {"points": 5, "features": "sigma", "kernel": {"form": "matern52"}}),
        ("gaussian_process", {"points": 5, "features": "sigma", "kernel": {"form": "matern32"}}),
        ("gaussian_process", {"points": 5, "features": "sigma", "kernel": {"form": "polynomial"}}),
    ],
)
def test_design_is_the_model(regressor, options):
    torch.manual_seed(0)
    potential = model(regressor, **options)
    torch.nn.init.normal_(potential.head.weights)
    weights = potential.head.weights.detach().reshape(-1)
    for graph in several_graphs()[:2]:
        design = potential.design(potential.features(graph), stress=True)
        expected = evaluate(potential, graph, ("energy", "forces", "stress"))
        assert torch.allclose(design.energy @ weights, expected.energy, atol=1e-10)
        assert torch.allclose(design.forces @ weights, expected.forces, atol=1e-9)
        assert torch.allclose(design.stress @ weights, expected.stress, atol=1e-10)


@pytest.mark.parametrize("regularization", ["evidence", "ridge", "relevance", "lasso", "none"])
def test_recovers_its_own_labels(regularization):
    torch.manual_seed(0)
    potential, truth = model("linear"), model("linear")
    torch.nn.init.normal_(truth.head.weights)
    frames = labeled(truth)
    config = LinearConfig(regularization=regularization, alphas=(1e-12, 1e-9))
    LinearFitter(potential, frames, frames, config).fit()
    for frame in (frames[0], frames[1]):
        graph = Graph.build(frame.system, potential.cutoff)
        found = evaluate(potential, graph, ("energy", "forces"))
        size = float(frame.labels["forces"].abs().max())
        room = 1e-2 if regularization == "lasso" else 1e-4
        assert float((found.forces - frame.labels["forces"]).abs().max()) < room * size


def labeled(truth):
    found = []
    for seed in range(12):
        system = structure(6, 4.0, seed)
        prediction = evaluate(truth, Graph.build(system, truth.cutoff), ("energy", "forces"))
        found.append(Frame(system, {"energy": prediction.energy[0], "forces": prediction.forces}))
    return MemoryDataset(found)


def noisy(frames):
    return [Frame(f.system, {n: v + 0.1 * torch.randn_like(v) for n, v in f.labels.items()}) for f in frames]


@pytest.mark.parametrize("regularization", ["evidence", "ridge", "relevance", "lasso", "none"])
def test_refits_to_both_parts(regularization):
    torch.manual_seed(0)
    truth = model("linear")
    torch.nn.init.normal_(truth.head.weights)
    frames = noisy(labeled(truth))

    def weights(train, refit):
        potential = model("linear")
        config = LinearConfig(regularization=regularization, alphas=(0.1,), refit=refit)
        result = LinearFitter(potential, MemoryDataset(train), MemoryDataset(frames[8:]), config).fit()
        return potential.head.weights.detach(), result.best["valid_loss"]

    whole, _ = weights(frames, False)
    part, judged = weights(frames[:8], False)
    again, still = weights(frames[:8], True)
    torch.testing.assert_close(again, whole, rtol=1e-5, atol=1e-7)
    assert still == judged  # of the weights that the validation frames had not seen
    assert not torch.allclose(part, whole, rtol=1e-2)
    with pytest.raises(ConfigError, match="counts all frames alike"):
        LinearConfig(refit=True, group_weights={"liquid": 2.0}).check()


def kept(a, y):
    rows = Rows(a.shape[1])
    for begin in range(0, len(a), 37):
        rows.add(a[begin : begin + 37], y[begin : begin + 37])
    return rows


@pytest.mark.parametrize("rows", [400, 9])
def test_iterations_find_the_ridge(rows):
    a, _, y = problem(rows)
    u = torch.linalg.cholesky(torch.eye(12) + 0.3, upper=True)
    for penalty in (None, u):
        expected = Ridge(streamed(a, y), penalty).solve(1e-3)
        found, count = damped(kept(a, y).scaled(1.0), penalty, 1e-3, 200)
        torch.testing.assert_close(found.weights, expected.weights, rtol=1e-8, atol=1e-8)
        assert 0 < count < 200
    scaled = kept(a, y).scaled(3.0)
    assert scaled.mean_square(expected.weights) == pytest.approx(9.0 * kept(a, y).mean_square(expected.weights))
    assert damped(kept(a, y), None, 1e-3, 1)[1] == 1


@pytest.mark.parametrize("regressor", ["linear", "gaussian_process"])
def test_iterative_fits_are_those_of_qr(regressor):
    torch.manual_seed(0)
    truth = model("linear")
    torch.nn.init.normal_(truth.head.weights)
    frames, options = noisy(labeled(truth)), {"points": 5} if regressor == "gaussian_process" else {}
    found = []
    for solver in ("qr", "iterative"):
        torch.manual_seed(1)
        potential = model(regressor, **options)
        config = LinearConfig(regularization="ridge", alphas=(0.01, 0.1), solver=solver, refit=True)
        result = LinearFitter(potential, MemoryDataset(frames[:8]), MemoryDataset(frames[8:]), config).fit()
        found.append((potential.head.weights.detach(), result.best["valid_loss"]))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-5, atol=1e-7)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-6)


def test_iterative_refuses_what_it_has_not():
    with pytest.raises(ConfigError, match="no decomposition for regularization evidence"):
        LinearConfig(solver="iterative").check()
    with pytest.raises(ConfigError, match="need fit.solver qr"):
        LinearConfig(solver="iterative", regularization="ridge", uncertainty=True).check()
    frames = labeled(model("linear"))
    config = LinearConfig(solver="iterative", regularization="ridge", memory=1e-6)
    with pytest.raises(FitError, match=r"fit.memory is 1e-06 GB: .* the other fit.solver"):
        LinearFitter(model("linear"), frames, frames, config)


def test_uncertainty_is_the_spread_of_the_weights():
    torch.manual_seed(0)
    potential, truth = model("linear"), model("linear")
    torch.nn.init.normal_(truth.head.weights)
    frames = labeled(truth)
    LinearFitter(potential, MemoryDataset(noisy(frames)), frames, LinearConfig(uncertainty=True)).fit()
    graph = several_graphs()[0]
    given = evaluate(potential, graph, ("energy",)).uncertainty
    spread, mean = potential.head.spread, potential.head.weights.detach().clone()
    samples = []
    with torch.no_grad():
        for _ in range(400):
            drawn = spread @ torch.randn(spread.shape[1])
            potential.head.weights.copy_(mean + drawn.reshape(mean.shape))
            samples.append(evaluate(potential, graph, ("energy",)).energy)
    assert torch.allclose(torch.stack(samples).std(dim=0), given, rtol=0.15)


def test_trains_saves_and_loads(tmp_path):
    from adiabat import load
    from adiabat.quickstart import shipped

    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":60"},
        "model": {"method": "local", "descriptor": SMALL, "regressor": {"kind": "quadratic"}},
        "fit": {"uncertainty": True},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    again = load(tmp_path / "run" / "model.adiabat")
    frame = result.prepared.parts["test"][0]
    one = again.predict(frame.to_ase())  # the uncertainty of a linear model is added, as charges would be
    assert one["uncertainty"] > 0
    assert result.metrics["forces_mae"] < 0.6


def test_every_regressor_is_built():
    for kind in REGRESSORS:
        assert model(kind).fitter == ("gradient" if kind == "network" else "linear")


def test_refuses_what_has_no_effect():
    with pytest.raises(ConfigError, match="dipole has no effect"):
        LinearConfig.parse({"loss": {"dipole": 1.0}}).check()
    with pytest.raises(ConfigError, match="not a descriptor"):
        LocalConfig.parse({"descriptor": {"kind": "acsff"}})
    with pytest.raises(ConfigError, match=r"not a kind of regressor\. Known: linear"):
        LocalConfig.parse({"regressor": {"kind": "kernel"}})
