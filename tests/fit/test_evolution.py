"""The evolution strategy finds minima without gradients, and fits NEP."""

import math

import pytest
import small_models
import torch

from adiabat.data import Frame, MemoryDataset
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.evolution import Evolution, utilities
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.fit.optimizers import OptimizerConfig
from adiabat.geometry import Graph


def test_utilities():
    u = utilities(10)
    assert float(u.sum()) == pytest.approx(0.0, abs=1e-12)
    assert bool((u[:-1] >= u[1:]).all())
    assert float(u[0] + 0.1) == pytest.approx(math.log(6) / sum(math.log(6 / k) for k in range(1, 6)))


def test_finds_a_narrow_minimum():
    torch.manual_seed(0)
    x = torch.nn.Parameter(torch.zeros(8))
    target, stiffness = torch.linspace(-1.0, 1.0, 8), torch.logspace(0, 3, 8)
    optimizer = Evolution([{"params": [x], "weight_decay": 0.0}], 1.0, 20, 0.5)
    for _ in range(300):
        optimizer.step(lambda: float((stiffness * (x - target).square()).sum()))
    assert x.grad is None
    assert float((x.detach() - target).abs().max()) < 1e-3
    widths = optimizer.state[x]["sigma"]
    assert float(widths.max()) < 0.05


def test_penalty_holds_parameters_at_zero():
    torch.manual_seed(0)
    x = torch.nn.Parameter(torch.ones(4))
    optimizer = OptimizerConfig(kind="evolution", rate=1.0, weight_decay=2.0).build([("x", x)])
    for _ in range(200):
        optimizer.step(lambda: float((x - 1.0).square().sum()))
    assert torch.allclose(x.detach(), torch.full((4,), 0.5), atol=1e-2)


def test_fits_nep():
    torch.manual_seed(0)
    truth, potential = small_models.MODELS["nep"](), small_models.MODELS["nep"]()
    frames = []
    for seed in range(4):
        system = small_models.structure(6, 4.0, seed)
        found = evaluate(truth, Graph.build(system, 3.0), ("energy", "forces"))
        frames.append(Frame(system, {"energy": found.energy[0].detach(), "forces": found.forces.detach()}))
    data = MemoryDataset(frames)
    options = {"kind": "evolution", "rate": 1.0, "population": 16}
    config = GradientConfig.parse(
        {"epochs": 25, "batch_size": 4, "optimizer": options, "clip": None, "ema_decay": None}
    )
    result = GradientFitter(potential, data, data, config).fit()
    losses = [row["valid_loss"] for row in result.history]
    assert min(losses) < 0.5 * losses[0]
    assert all(p.grad is None for p in potential.parameters())


def test_refuses_to_compile():
    potential = small_models.MODELS["nep"]()
    system = small_models.structure(6, 4.0)
    data = MemoryDataset([Frame(system, {"energy": torch.tensor(0.0), "forces": torch.zeros(6, 3)})])
    config = GradientConfig.parse({"optimizer": {"kind": "evolution"}, "compile": True})
    with pytest.raises(ConfigError, match="no effect on evolution"):
        GradientFitter(potential, data, data, config)
