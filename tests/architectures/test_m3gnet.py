"""M3GNet through the battery, beside the published programs, and what its options do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.invariant.m3gnet import M3GNet, M3GNetConfig
from adiabat.errors import CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.nn.gated_mlp import GatedMLP
from adiabat.pretrained.importers import importer
from adiabat.pretrained.importers.matgl import read_m3gnet
from adiabat.pretrained.importers.mattersim import read_m3gnet as read_mattersim
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import check_cut, run_battery
from adiabat.testing.parity import parity
from adiabat.testing.structures import structures

SMALL = M3GNetConfig(cutoff=3.5, three_body_cutoff=3.0, channels=4, layers=2, depth=1, basis=2, degrees=2)
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
KITS = ("matgl-m3gnet-mp-2021.2.8", "matgl-m3gnet-random", "mattersim-m3gnet-random")


def test_battery():
    torch.manual_seed(1)
    report = run_battery(M3GNet(SMALL, [1, 8]), skip=("NVE",))
    assert report.passed, report.text()
    assert report["RT"].passed


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    # MatterSim rounds the roots of its Bessel functions to float32
    assert report.worst < (3e-7 if name.startswith("mattersim") else 1e-9)
    assert {d.quantity for d in report.deviations} == {"energy", "forces", "atomic_energies", "stress", "virial"}
    assert all(d.cases == (5 if d.quantity in ("stress", "virial") else 10) for d in report.deviations)


@pytest.fixture(scope="module")
def smooth():
    """matgl's numbers for a model with `use_smooth`, random weights and hidden layers wider than its channels."""
    golden = json.loads((Path(__file__).parents[1] / "golden" / "m3gnet_smooth.json").read_text())
    random = np.random.RandomState(17)
    weights = {name: torch.from_numpy(random.normal(size=shape)) / 2 for name, shape in golden["shapes"].items()}
    return golden, weights


def test_smooth_functions_of_matgl(smooth):
    golden, weights = smooth
    model = read_m3gnet(golden["options"], weights, golden["options"]["element_types"])
    other = read_m3gnet(golden["options"], weights, golden["options"]["element_types"], "neighbor")
    for case in golden["cases"]:
        system = System.from_arrays(case["positions"], case["numbers"], case["cell"], True)
        found = evaluate(model, graph := Graph.build(system, model.cutoff), ("energy", "forces", "stress"))
        for name in ("energy", "forces", "stress"):
            expected = torch.tensor(case[name]).reshape(getattr(found, name).shape)
            torch.testing.assert_close(
                getattr(found, name), expected, rtol=0, atol=1e-11 * float(expected.abs().max())
            )
        assert abs(float(evaluate(other, graph).energy) - case["energy"]) > 0.005


def test_smooth_functions_of_matgl_frozen(smooth):
    if available() is not None:
        pytest.skip(available())
    golden, weights = smooth
    case = golden["cases"][0]
    system = System.from_arrays(case["positions"], case["numbers"], case["cell"], True)
    for messages in ("center", "neighbor"):
        model = read_m3gnet(golden["options"], weights, golden["options"]["element_types"], messages)
        graph = Graph.build(system, model.cutoff)
        exact, found = evaluate(model, graph), evaluate(model.frozen(), graph)
        torch.testing.assert_close(found.energy, exact.energy, rtol=0, atol=1e-7)
        torch.testing.assert_close(found.forces, exact.forces, rtol=0, atol=1e-6 * float(exact.forces.abs().max()))


def test_smooth_functions_have_no_force_jump():
    torch.manual_seed(2)
    model = M3GNet(SMALL.model_copy(update={"angular": "smooth", "messages": "neighbor", "hidden": 6}), [1, 8])
    assert check_cut(model, structures([1, 8], 3.5)).passed is True


@pytest.mark.parametrize("name", [KITS[0], KITS[2]])
def test_published_models_frozen(shared, name):
    if available() is not None:
        pytest.skip(available())
    (model,) = importer(kit := Kit(shared / "golden" / name))(kit).potentials.values()
    hydrogen, oxygen = model.elements[0], model.elements[min(7, len(model.elements) - 1)]
    water = System.from_arrays(WATER.positions.numpy(), [oxygen, hydrogen, hydrogen])
    graph = Graph.build(water, model.cutoff)
    exact, found = evaluate(model, graph), evaluate(model.frozen(), graph)
    torch.testing.assert_close(found.energy, exact.energy, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.forces, exact.forces, rtol=0, atol=1e-5 * float(exact.forces.abs().max()))


def test_defaults_are_the_published_model(shared):
    weights = Kit(shared / "golden" / KITS[0]).weights()
    published = sum(w.numel() for name, w in weights.items() if name.endswith(("weight", "bias")))
    model = build(M3GNetConfig(radial="bessel"), range(1, 90))
    assert sum(p.numel() for p in model.parameters()) == published
    assert method("m3gnet").paper == "10.1038/s43588-022-00349-3"


def test_importers_name_faults(shared):
    kit = Kit(shared / "golden" / KITS[1])
    options, weights, order = kit.meta["hyperparameters"], kit.weights(), kit.meta["element_order"]
    with pytest.raises(CheckpointError, match="has shape"):
        read_m3gnet(options | {"max_n": 3}, weights, order)
    with pytest.raises(CheckpointError, match="has shape"):  # smooth functions of pairs are fewer
        read_m3gnet(options | {"use_smooth": True}, weights, order)
    with pytest.raises(CheckpointError, match="use_phi True is not an option"):
        read_m3gnet(options | {"use_phi": True}, weights, order)
    weights.pop("model.final_layer.gated.gates.4.bias")
    with pytest.raises(CheckpointError, match=r"no 'final_layer.gated.gates.4.bias'"):
        read_m3gnet(options, weights, order)
    other = Kit(shared / "golden" / KITS[2])
    with pytest.raises(CheckpointError, match="max_l 3"):
        read_mattersim(other.meta["hyperparameters"] | {"max_l": 3}, other.weights())


def test_forces_of_bessel_functions_jump_at_the_cutoff():
    torch.manual_seed(2)
    model = M3GNet(SMALL.model_copy(update={"radial": "bessel"}), [1, 8])
    result = check_cut(model, structures([1, 8], 3.5))
    assert result.passed is False
    assert "force jump" in result.message


def test_gated_network_of_pairs_equals_that_of_columns():
    torch.manual_seed(3)
    graph = Graph.build(WATER, 2.0)
    network = GatedMLP((2 * 3 + 5, 4, 2))
    v, e = torch.randn(3, 3), torch.randn(graph.pairs.shape[1], 5)
    columns = torch.cat([v[graph.centers], v[graph.neighbors], e], dim=1)
    torch.testing.assert_close(network.of_pairs(graph, v, e), network(columns))


@pytest.mark.parametrize("options", [{}, {"angular": "smooth", "hidden": 5, "depth": 2}, {"variant": "mattersim"}])
def test_every_parameter_is_trained(options):
    torch.manual_seed(4)
    model = M3GNet(SMALL.model_copy(update=options), [1, 8])
    found = evaluate(model, Graph.build(WATER, 3.5), ("energy", "forces"), create_graph=True)
    (found.energy.sum() + found.forces.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_single_precision_agrees():
    torch.manual_seed(5)
    check_single_precision(M3GNet(SMALL, [1, 8]), Graph.build(WATER, 3.5))


def test_options_are_checked():
    with pytest.raises(ConfigError, match="three_body_cutoff 6.0 Å is longer"):
        M3GNetConfig.parse({"three_body_cutoff": 6.0})
    with pytest.raises(ConfigError, match="angular smooth needs radial smooth"):
        M3GNetConfig.parse({"angular": "smooth", "radial": "bessel"})
    for wrong in ({"channels": 0}, {"radial": "sinc"}, {"degrees": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            M3GNetConfig.parse(wrong)
