"""Deep Potential's embedding networks as descriptors of `local`: the same model, its slopes, and its fits."""

import pytest
import torch
from descriptor_checks import slopes_are_numeric, turning_changes_nothing
from small_models import ELEMENTS, several_graphs, structure

from adiabat.architectures.local.deep_potential import DeepPotential, DeepPotentialConfig
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.compile import compiled
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.geometry import Graph, System

CUTOFF = 3.0
KINDS = {
    "se_e2_a": {"embedding": (4, 8), "axis": 2},
    "se_e2_r": {"embedding": (4, 8)},
    "se_e3": {"embedding": (4, 8)},
}
HIDDEN = (5, 3)  # not as wide as inputs, nor twice: a network of deep_potential then adds none of them
WANT = ("energy", "forces", "stress")
every_kind = pytest.mark.parametrize("kind", KINDS)


def _options(kind):
    return {"kind": kind, "cutoff": CUTOFF, "onset": 1.0} | KINDS[kind]


def _local(kind, regressor, seed=1):
    torch.manual_seed(seed)
    model = Local(LocalConfig.parse({"descriptor": _options(kind), "regressor": regressor}), ELEMENTS)
    model.adapt(several_graphs())
    return model


def _descriptor(kind):
    return _local(kind, {"kind": "linear"}).descriptor


@every_kind
def test_a_network_on_it_is_deep_potential(kind):
    """The same statistics, features and, with equal weights, energies, forces and stress."""
    torch.manual_seed(2)
    whole = {"descriptor": _options(kind), "hidden": HIDDEN, "steps": False}
    theirs = DeepPotential(DeepPotentialConfig.parse(whole), ELEMENTS)
    theirs.adapt(several_graphs())
    ours = _local(kind, {"kind": "network", "hidden": HIDDEN, "features": "none"})
    assert theirs.descriptor.environment.deviation.ne(1.0).any()
    for name in ("slots", "environment.mean", "environment.deviation"):
        torch.testing.assert_close(ours.descriptor.get_buffer(name), theirs.descriptor.get_buffer(name))
    ours.descriptor.embedding.load_state_dict(theirs.descriptor.embedding.state_dict())
    with torch.no_grad():
        for place, layers in enumerate(ours.head.members[0].layers):
            for k, layer in enumerate(layers):
                layer.weight.copy_(theirs.networks.weights[k][place].T)
                layer.bias.copy_(theirs.networks.biases[k][place])
    for graph in several_graphs():
        torch.testing.assert_close(ours.descriptor(graph), theirs.descriptor(graph), rtol=1e-13, atol=1e-14)
        found, expected = evaluate(ours, graph, WANT), evaluate(theirs, graph, WANT)
        for name in WANT:
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-12)


@every_kind
def test_turns_slopes_and_order(kind):
    descriptor = _descriptor(kind)
    for graph in several_graphs()[:2]:
        turning_changes_nothing(descriptor, graph)
    system = structure(7, 4.0, 5)
    graph = Graph.build(system, CUTOFF)
    slopes_are_numeric(descriptor, graph)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    other = Graph.build(system.replace(positions=system.positions[order], numbers=system.numbers[order]), CUTOFF)
    torch.testing.assert_close(descriptor(other), descriptor(graph)[order])


@every_kind
def test_no_step_at_the_cutoff(kind):
    """A third atom comes in with no step of features or slopes; alone, atoms have features too, without slopes."""
    descriptor = _descriptor(kind)

    def row(distance):
        ends = [[0.0, 0.0, 0.0], [1.0, 0.2, 0.0], [0.0, 0.0, distance]]
        graph = Graph.build(System.from_arrays(ends, [8, 1, 1]), CUTOFF)
        return descriptor(graph)[0].detach()

    step = 1e-4
    far, edge, near = (row(CUTOFF + d) for d in (step, -step, -1.0))
    assert float((near - far).abs().max()) > 1e-3
    torch.testing.assert_close(edge, far, rtol=0, atol=1e-10)
    lonely = Graph.build(System.from_arrays([[0.0, 0.0, 0.0]], [8]), CUTOFF)
    values, slopes = descriptor.jacobian(lonely)
    assert bool(values.isfinite().all())
    assert slopes.shape == (0, descriptor.size, 3)


@every_kind
def test_captured_equals_eager(kind):
    model = _local(kind, {"kind": "network", "hidden": HIDDEN})
    run = compiled(model, WANT[:2], backend="captured")
    for graph in several_graphs():
        found, expected = run(graph), evaluate(model, graph, WANT[:2])
        for name in WANT[:2]:
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11)
    assert run.reason is None


@every_kind
@pytest.mark.parametrize(
    "regressor", [{"kind": "linear"}, {"kind": "network", "hidden": [6]}], ids=lambda r: r["kind"]
)
def test_networks_are_fitted_with_the_regressor_by_gradient(kind, regressor):
    model = _local(kind, regressor)
    assert (model.fitter, Local.fitter_for(model.config), model.precompute) == ("gradient", "gradient", False)
    teacher, frames = _local(kind, {"kind": "linear"}, seed=4), []
    torch.nn.init.normal_(teacher.head.weights)
    for seed in range(4):
        graph = Graph.build(structure(6, 4.0, seed), CUTOFF)
        found = evaluate(teacher, graph)
        frames.append(Frame(graph.system, {"energy": found.energy[0].detach(), "forces": found.forces.detach()}))
    data, before = MemoryDataset(frames), {n: p.detach().clone() for n, p in model.named_parameters()}
    result = GradientFitter(model, data, data, GradientConfig.parse({"epochs": 4, "batch_size": 2})).fit()
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter.detach(), before[name]), name
    with pytest.raises(CapabilityError, match="fit them by gradient"):
        model.descriptor.tangents(several_graphs()[0], torch.zeros(2, model.descriptor.size))


def test_only_directions_have_tables():
    """se_e2_a's networks become tables of the distance; the others are compiled."""
    graph = several_graphs()[1]
    model = _local("se_e2_a", {"kind": "network", "hidden": HIDDEN})
    found, expected = evaluate(model.frozen(), graph), evaluate(model, graph)
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-6 * float(expected.forces.abs().max()))
    for kind in ("se_e2_r", "se_e3"):
        with pytest.raises(CapabilityError, match="has no fast kernels"):
            _local(kind, {"kind": "linear"}).frozen()


def test_features_that_change_cannot_be_selected():
    config = {"descriptor": _options("se_e2_r"), "select": {"method": "cur", "count": 3}}
    with pytest.raises(ConfigError, match="leave it out"):
        Local(LocalConfig.parse(config), ELEMENTS)
