"""DPA-2 and DPA-3 through the battery, and what their options do."""

import pytest
import torch
from small_models import SMALL_DPA2, SMALL_DPA3, several_graphs

from adiabat import checkpoint
from adiabat.architectures import build, method
from adiabat.architectures.invariant.dpa2 import DPA2, DPA2Config
from adiabat.architectures.invariant.dpa3 import DPA3, DPA3Config
from adiabat.data.info import DataInfo
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, PairList
from adiabat.nn.activations import activation
from adiabat.testing.battery import run_battery
from adiabat.testing.structures import structures

ELEMENTS = [1, 6, 8]
DPA3_OTHER = {"envelope": "polynomial", "start": "inverse", "angle_inputs": "linear", "messages": 2, "marked": True}
DPA2_OTHER = {"three_body": None, "mixing": "strip", "reminded": True, "updates": "average", "marked": False}
CASES = {"dpa2": {"update_size": 0.1}, "dpa2-other": DPA2_OTHER, "dpa3": {}, "dpa3-other": DPA3_OTHER}


def _model(name, elements=ELEMENTS, **changes):
    torch.manual_seed(1)
    if name.startswith("dpa2"):
        model = DPA2(DPA2Config.parse(SMALL_DPA2 | changes), elements)
    else:
        model = DPA3(DPA3Config.parse(SMALL_DPA3 | changes), elements)
    model.adapt([Graph.build(system, model.cutoff) for system in structures(elements, model.cutoff).values()])
    return model


@pytest.mark.parametrize("name", CASES)
def test_battery(name):
    report = run_battery(_model(name, **CASES[name]), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpa2", "dpa3"])
def test_learns_and_is_captured(name):
    report = run_battery(_model(name, **CASES[name]), skip=("NVE", "INV", "FD", "CUT", "EXT", "PBC", "BATCH"))
    assert report.passed, report.text()


@pytest.mark.parametrize("name", ["dpa2", "dpa3"])
def test_saved_and_loaded(name, tmp_path):
    model, graph = _model(name, [1, 8]), several_graphs()[0]
    checkpoint.save(tmp_path / "model.adiabat", model, DataInfo(elements=model.elements))
    loaded = checkpoint.load(tmp_path / "model.adiabat").potential
    assert torch.equal(evaluate(loaded, graph).energy, evaluate(model, graph).energy)


def test_registered_with_the_published_options():
    two, three = build(DPA2Config(layers=1), [1, 8]), build(DPA3Config(layers=1), [1, 8])
    assert isinstance(two, DPA2)
    assert isinstance(three, DPA3)
    assert two.shape.weight.shape == (128, 1200 + 8)
    assert two.networks.weights[0].shape == (1, 136, 240)
    assert three.layers[0].angle.weights[0].shape == (32, 32)
    assert method("dpa2").paper == "10.1038/s41524-024-01493-2"
    assert method("dpa3").paper == "arXiv:2506.01686"


def test_the_vectors_of_the_elements_are_shared_by_both_first_representations():
    model = _model("dpa2")
    assert model.angles.embedding.types is model.start.embedding.types
    assert sum("types" in name for name, _ in model.named_parameters()) == 1


@pytest.mark.parametrize("name", ["dpa2", "dpa3"])
def test_the_plain_list_of_pairs_gives_the_same(name):
    """Exported programs have no rows; of DPA-2 without attention among the pairs of an atom."""
    changes = {"pair_updates": ["atoms"], "direction_updates": False} if name == "dpa2" else {}
    model, graph = _model(name, [1, 8], **changes), several_graphs()[1]
    listed = graph.replace(layout=PairList(graph.pairs, graph.system.atoms))
    torch.testing.assert_close(model(listed).energy, model(graph).energy, rtol=1e-12, atol=0.0)


def test_layers_do_not_feel_neighbors_beyond_their_own_cutoff():
    """A longer first neighborhood changes which pairs are listed, not what the layers sum over."""
    model = _model("dpa2", [1, 8])
    graph = several_graphs()[1]
    near = graph.with_near(model.near.cutoff).near
    lengths = graph.vectors().norm(dim=1)
    assert 0 < len(near.index) < len(lengths)
    assert bool((lengths[near.index] < 2.5).all())
    assert len(near.index) == int((lengths < 2.5).sum())


@pytest.mark.parametrize("name", ["dpa2", "dpa3"])
def test_information_travels_farther_than_the_cutoff(name):
    model, graph = _model(name, [1, 8]), several_graphs()[1]
    hessian = evaluate(model, graph, ("hessian",)).hessian
    assert float(hessian.abs().max()) > 0.0


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (DPA2Config, {"near_cutoff": 7.0}, "near_cutoff 7.0 Å is longer"),
        (DPA2Config, {"atom_updates": ["convolution"]}, "needs pairs or neighbors"),
        (DPA2Config, {"activation": "silut:x"}, "needs a number"),
        (DPA3Config, {"angle_cutoff": 7.0}, "angle_cutoff 7.0 Å is longer"),
        (DPA3Config, {"angle_node_inputs": 200}, "angles cannot read more"),
        (DPA3Config, {"onset": 0.0}, "onset 0.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        build(config.parse(changes), [1, 8])


def test_saturating_silu_has_a_continuous_slope():
    x = torch.tensor([3.0 - 1e-9, 3.0 + 1e-9], requires_grad=True)
    y = activation("silut:3")(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y[0], y[1], rtol=1e-8, atol=0.0)
    torch.testing.assert_close(slope[0], slope[1], rtol=1e-7, atol=0.0)
    assert float(activation("silut:3")(torch.tensor(100.0))) < 4.0
