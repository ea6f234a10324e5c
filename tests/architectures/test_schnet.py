"""SchNet through the battery, and what its options do."""

import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.errors import ConfigError, GeometryError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.mlp import MLP
from adiabat.testing.battery import run_battery

SMALL = SchNetConfig(cutoff=4.5, channels=8, layers=2, basis=10)


def test_battery():
    torch.manual_seed(1)
    report = run_battery(SchNet(SMALL, [1, 6, 8]))
    assert report.passed, report.text()


def test_metals_pass_too():
    torch.manual_seed(2)
    config = SchNetConfig(cutoff=5.0, channels=8, layers=1, filters=5, head_activation="shifted-softplus")
    report = run_battery(SchNet(config, [29]), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_defaults_are_the_published_ethanol_model():
    model = build(SchNetConfig(), [1, 6, 8])
    assert (
        sum(p.numel() for p in model.parameters()) == 3 * 128 + 6 * (4 * 128**2 + 20 * 128 + 4 * 128) + 64 * 130 + 1
    )
    assert method("schnet").paper == "10.1063/1.5019779"


def test_initialization():
    torch.manual_seed(3)
    model = SchNet(SchNetConfig(channels=64, layers=2), [1, 6, 8])
    for interaction in model.interactions:
        weight = interaction.inward.weight
        bound = (6.0 / 128) ** 0.5
        assert 0.9 * bound < float(weight.detach().abs().max()) <= bound
        assert float(interaction.outward.layers[0].bias.detach().abs().max()) == 0.0
    assert 0.7 < float(model.embedding.table.detach().std()) < 1.3


def test_element_order_does_not_matter():
    torch.manual_seed(4)
    model = SchNet(SMALL, [8, 1, 6])
    assert model.elements == (1, 6, 8)
    rows = model.embedding(torch.tensor([1, 6, 8, 1]))
    assert torch.equal(rows[:3], model.embedding.table)
    graph = Graph.build(System.from_arrays([[0, 0, 0], [1.1, 0, 0]], [1, 9]), 4.5)
    with pytest.raises(GeometryError, match="does not know F"):
        evaluate(model, graph)


def test_single_precision_agrees():
    torch.manual_seed(5)
    system = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
    check_single_precision(SchNet(SMALL, [1, 8]), Graph.build(system, 4.5))


def test_no_layers_is_a_sum_of_element_energies():
    model = SchNet(SMALL.model_copy(update={"layers": 0}), [1, 8])
    system = System.from_arrays([[0, 0, 0], [0.96, 0, 0]], [8, 1])
    found = evaluate(model, Graph.build(system, 4.5))
    assert float(found.forces.abs().max()) == 0.0


def test_options_are_checked():
    with pytest.raises(ConfigError, match="Did you mean 'channels'"):
        SchNetConfig.parse({"chanels": 3})
    with pytest.raises(ConfigError, match="cutoff"):
        SchNetConfig.parse({"cutoff": -1.0})
    with pytest.raises(ConfigError, match="Did you mean 'softplus'"):
        MLP((2, 3, 1), "soft-plus")
    for initialization in ("glorot-normal", "torch"):
        layers = MLP((2, 3, 1), "tanh", initialization=initialization).layers
        assert [layer.out_features for layer in layers] == [3, 1]
