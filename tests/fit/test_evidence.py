"""Hyperparameters of Gaussian processes by evidence, and frames with expected errors of their own."""

import pytest
import torch
from small_models import ELEMENTS, several_graphs, structure

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import ConfigError, FitError
from adiabat.evaluate import evaluate
from adiabat.fit.evidence import most_probable
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph

SMALL = {"kind": "acsf", "cutoff": 3.0, "recipe": {"centered": [1.0], "shifted": 2, "angular": [1.0], "zetas": [1.0]}}


def _model(form="rbf", **options):
    regressor = {"kind": "gaussian_process", "points": 6, "features": "sigma", "kernel": {"form": form, **options}}
    made = Local(LocalConfig.parse({"descriptor": SMALL, "regressor": regressor}), ELEMENTS)
    made.adapt(several_graphs())
    return made


def _labeled(truth, noise=0.0, **info):
    torch.manual_seed(1)
    torch.nn.init.normal_(truth.head.weights)
    found = []
    for seed in range(8):
        system = structure(6, 4.0, seed)
        made = evaluate(truth, Graph.build(system, truth.cutoff), ("energy", "forces"))
        forces = made.forces + noise * torch.randn_like(made.forces)
        found.append(Frame(system, {"energy": made.energy[0], "forces": forces}, info=dict(info)))
    return MemoryDataset(found)


def test_search_finds_the_lowest():
    def cost(x):
        return (torch.tensor(x / 7.3).log2().item()) ** 2

    assert most_probable(cost, 1.0) == pytest.approx(7.3, rel=0.07)
    assert most_probable(lambda x: abs(x - 4.0), 2.0, whole=True) == 4.0


@pytest.mark.parametrize(
    ("form", "option", "true", "start"), [("rbf", "length", 0.8, 6.0), ("dot_product", "zeta", 3.0, 1.0)]
)
def test_the_true_kernel_is_found_and_saved(form, option, true, start):
    frames = _labeled(_model(form, **{option: true}), noise=0.01)
    potential = _model(form, **{option: start})
    plain = LinearFitter(_model(form, **{option: start}), frames, frames, LinearConfig()).fit()
    tuned = LinearFitter(potential, frames, frames, LinearConfig(tune=True)).fit()
    assert potential.head.scale == pytest.approx(true, rel=0.3)
    assert tuned.best["train_forces_rmse"] < 0.7 * plain.best["train_forces_rmse"]
    again = _model(form, **{option: start})
    again.load_arrays(potential.state_dict())
    graph = several_graphs()[0]
    assert torch.equal(evaluate(again, graph).energy, evaluate(potential, graph).energy)
    assert again.head.scale == potential.head.scale


def test_frames_have_expected_errors_of_their_own():
    """A frame whose error is twice as large counts as rows divided by two; without one it has the usual error."""
    frames = list(_labeled(_model(), noise=0.3))
    errors = {"energy": 0.01, "forces": 0.1}
    usual = LinearConfig(errors=errors, regularization="ridge", alphas=(1.0,))

    def weights(config, **info):
        data = [Frame(f.system, f.labels, info=info if k == 0 else {}) for k, f in enumerate(frames)]
        potential = _model()
        LinearFitter(potential, MemoryDataset(data), MemoryDataset(data), config).fit()
        return potential.head.weights.detach().clone()

    keyed = usual.model_copy(update={"error_keys": {"energy": "energy_sigma", "forces": "force_sigma"}})
    assert torch.allclose(weights(keyed), weights(usual))
    doubled = weights(keyed, energy_sigma=0.02, force_sigma=0.2)
    quarter = usual.model_copy(update={"group_weights": {"sure": 0.25}})
    assert torch.allclose(doubled, weights(quarter, group="sure"), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(doubled, weights(usual), rtol=1e-3)
    with pytest.raises(FitError, match="is positive"):
        weights(keyed, force_sigma=0.0)


def test_refuses_what_has_no_effect():
    with pytest.raises(ConfigError, match=r"give fit\.errors"):
        LinearConfig(error_keys={"forces": "force_sigma"}).check()
    frames = _labeled(_model())
    plain = Local(LocalConfig.parse({"descriptor": SMALL, "regressor": {"kind": "linear"}}), ELEMENTS)
    with pytest.raises(ConfigError, match="gaussian_process"):
        LinearFitter(plain, frames, frames, LinearConfig(tune=True))
