"""NEP's features as a descriptor of `local`: the method's numbers, invariance, slopes, fits by projection."""

import torch
from descriptor_checks import slopes_are_numeric, tangents_are_derivatives, turning_changes_nothing
from small_models import ELEMENTS, several_graphs

from adiabat import load, train
from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.descriptors.nep import NEPDescriptorConfig, NEPOptions
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph
from adiabat.quickstart import shipped

SMALL = {"cutoff": 3.0, "angular_cutoff": 2.5, "channels": 2, "angular_channels": 3, "basis": 3, "angular_basis": 4}
EVERY = SMALL | {"l_max": 3, "four_body": ((2, 2, 2), (1, 1, 2)), "five_body": True}


def _descriptor():
    torch.manual_seed(0)
    return NEPDescriptorConfig(**EVERY).build(ELEMENTS)


def test_defaults_are_those_of_the_method():
    config, method = NEPDescriptorConfig(), NEPConfig()
    assert config.build([1, 8]).sizes == (30, 30)
    assert all(getattr(config, name) == getattr(method, name) for name in NEPOptions.model_fields)


def test_features_of_the_method():
    graph, descriptor = Graph.batch(several_graphs()), _descriptor()
    method = NEP(NEPConfig(**EVERY), ELEMENTS)
    method.descriptor.load_state_dict(descriptor.state_dict())
    assert torch.equal(method.features(graph), descriptor(graph))


def test_invariant_with_right_slopes():
    descriptor, graph = _descriptor(), Graph.batch(several_graphs())
    assert float(turning_changes_nothing(descriptor, graph).detach().abs().max()) > 0.1
    slopes_are_numeric(descriptor, graph)


def test_tangents_of_two_tensors():
    tangents_are_derivatives(_descriptor(), Graph.batch(several_graphs()[:2]))


def test_projection_lowers_the_loss(tmp_path):
    options = {
        "data": {"file": str(shipped("ethanol")), "index": ":12"},
        "model": {"method": "local", "descriptor": {"kind": "nep"} | SMALL | {"l_max": 1, "four_body": ()}},
        "fit": {"steps": 3},
        "output": str(tmp_path / "run"),
    }
    fitted = train(options, show=False)
    losses = [row["train_loss"] for row in fitted.fit.history]
    assert losses[-1] < 0.8 * losses[0]
    model = load(tmp_path / "run" / "model.adiabat")
    graph = several_graphs()[1].to(dtype=model.potential.dtype)
    graph = graph.replace(system=graph.system.replace(numbers=torch.ones_like(graph.system.numbers)))
    assert torch.equal(evaluate(model.potential, graph).forces, evaluate(fitted.potential, graph).forces)
