"""A compiled potential gives what evaluate gives at every size, and says why where it cannot be compiled."""

import copy

import pytest
import torch
from small_models import MODELS, several_graphs, structure

from adiabat.compile import compiled
from adiabat.compile.build import key
from adiabat.compile.capture import Layout, Program, capture
from adiabat.errors import CapabilityError, ConfigError, GeometryError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.geometry.system import Environment
from adiabat.potential import Referenced
from adiabat.sums import Sum

WANT = ("energy", "forces", "stress")


def equal(found, expected, tolerance=1e-11):
    for name in (*WANT, "atomic_energies"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)


def make(name, dtype=torch.float64):
    torch.manual_seed(0)
    return MODELS[name]().to(dtype)


@pytest.mark.parametrize("name", MODELS)
def test_captured_equals_eager(name):
    model = make(name)
    run = compiled(model, WANT, backend="captured")
    for graph in several_graphs():
        equal(run(graph), evaluate(model, graph, WANT))
    assert run.reason is None
    assert run.executable is not None


def test_changed_weights_are_seen():
    model = Referenced(make("schnet"), {1: -1.0, 8: -7.0}, 0.5)
    graph = several_graphs()[0]
    run = compiled(model, WANT, backend="captured")
    before = run(graph)
    made = run.executable
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    model.reference[8] = -9.0
    after = run(graph)
    assert run.executable is made
    equal(after, evaluate(model, graph, WANT))
    assert float((after.forces - before.forces).abs().max()) > 1e-4


def test_ghosts_and_open_systems():
    model = make("painn")
    run = compiled(model, ("energy", "forces"), backend="captured")
    open_ = Graph.build(structure(9, 5.0, pbc=False), 3.0)
    equal(run(open_), evaluate(model, open_, ("energy", "forces")))
    owned = torch.arange(9) < 4
    ghosts = open_.replace(owned=owned)
    equal(run(ghosts), evaluate(model, ghosts, ("energy", "forces")))
    mixed = Graph.build(System.batch([structure(5, 4.0), structure(6, 4.0, pbc=False)]), 3.0)
    run = compiled(model, WANT, backend="captured")
    found = run(mixed)
    equal(found, evaluate(model, mixed, WANT))
    assert found.stress[1].isnan().all()


def test_checks_stay():
    run = compiled(make("schnet"), WANT, backend="captured")
    with pytest.raises(GeometryError, match="does not know C"):
        run(Graph.build(System.from_arrays([[0, 0, 0]], [6], cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]], pbc=True), 3.0))
    with pytest.raises(CapabilityError, match="stress needs a periodic cell"):
        run(Graph.build(structure(4, 4.0, pbc=False), 3.0))
    with pytest.raises(ConfigError, match="is not a backend"):
        compiled(make("schnet"), WANT, backend="indctor")
    field = Environment(field=torch.ones(1, 3))
    graph = several_graphs()[1]
    with pytest.raises(CapabilityError, match="cannot feel"):
        run(graph.replace(system=graph.system.replace(environment=field)))


class Counting(type(MODELS["schnet"]())):
    """Decides by the number of atoms what it computes, which one graph cannot hold."""

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        return energies * 2.0 if len(energies) > 6 else energies


class Peeking(type(MODELS["schnet"]())):
    """Decides by a position what it computes."""

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        return energies * 2.0 if float(graph.system.positions[0, 0].detach()) > 0 else energies


@pytest.mark.parametrize("kind", [Counting, Peeking])
def test_what_cannot_be_traced_falls_back_with_the_reason(kind):
    model = kind(MODELS["schnet"]().config, [1, 8])
    run = compiled(model, WANT, backend="captured")
    graph = several_graphs()[1]
    with pytest.warns(UserWarning, match=f"{kind.__name__} runs uncompiled: the model cannot be traced"):
        found = run(graph)
    equal(found, evaluate(model, graph, WANT))
    assert "traced" in run.reason
    equal(run(graph), found)  # and does not warn again


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = make("schnet").compiled(WANT, backend="inductor")
    graph = several_graphs()[1]
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler was found"):
        found = run(graph)
    equal(found, evaluate(run.potential, graph, WANT))


def test_sums():
    a, b = make("schnet"), make("painn")
    graph = several_graphs()[1]
    both = Sum([a, b])
    equal(compiled(both, WANT, backend="captured")(graph), evaluate(both, graph, WANT))
    b.cutoff = 2.5
    run = compiled(both, WANT, backend="captured")
    with pytest.warns(UserWarning, match="different cutoffs"):
        equal(run(graph), evaluate(both, graph, WANT))


def test_detach_in_a_derivative_does_not_cut_the_next_one():
    def slope_of_slope(constants, inputs):
        with torch.enable_grad():
            x, w = inputs["x"].detach().requires_grad_(), constants["w"].detach().requires_grad_()
            y = torch.sigmoid(w * x).sum()  # its backward formula reads its own result, detached
            (dx,) = torch.autograd.grad(y, x, create_graph=True)
            return {"slope": torch.autograd.grad(dx.square().sum(), w)[0]}

    w, x = torch.tensor([0.7]), torch.randn(5)
    program = Program(slope_of_slope, {"w": w}, {"x": Layout(("atoms",), x.dtype)})
    (found,) = capture(program).module(w, x)
    torch.testing.assert_close(found, slope_of_slope({"w": w}, {"x": x})["slope"])


def test_the_key_follows_what_is_computed():
    def program(model, identity):
        return Program(lambda c, i: {}, dict(model.named_parameters()), {}, identity)

    from adiabat.compile.potential import describe

    a = make("schnet")
    same = copy.deepcopy(a)
    with torch.no_grad():
        same.head.layers[0].weight.mul_(2.0)
    wider = type(a)(a.config.model_copy(update={"channels": 12}), [1, 8])
    other = type(a)(a.config.model_copy(update={"cutoff": 2.9}), [1, 8])
    keys = [key(program(m, describe(m))) for m in (a, same, wider, other)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert describe(a) != describe(Counting(a.config, [1, 8]))
