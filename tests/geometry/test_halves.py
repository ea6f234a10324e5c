"""Halves match every pair with its reverse, and what is made once a half is the same as made for every pair."""

import pytest
import torch
from small_models import MODELS, several_graphs, structure

from adiabat.evaluate import derive, evaluate
from adiabat.geometry import Graph, Halves, System


def small_cell() -> System:
    """One atom in a skewed cell much smaller than the cutoff: all pairs are images of itself."""
    return System.from_arrays([[0.1, 0.2, 0.3]], [8], cell=[[1.6, 0, 0], [0.3, 1.7, 0], [0, 0.2, 1.9]], pbc=True)


SYSTEMS = {
    "image": small_cell,
    "two": lambda: structure(2, 2.2),
    "open": lambda: structure(9, 5.0, pbc=False),
    "batch": lambda: System.batch([small_cell(), structure(7, 4.0), structure(4, 5.0, pbc=False), structure(1, 9.0)]),
    "lonely": lambda: structure(1, 9.0),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_pair_is_matched_with_its_reverse(name):
    graph = Graph.build(SYSTEMS[name](), 3.0).with_halves()
    halves, vectors = graph.halves, graph.vectors()
    assert halves is not None
    first, second = halves.both
    assert len(first) * 2 == graph.pairs.shape[1]
    assert torch.equal(torch.cat([first, second]).sort()[0], torch.arange(graph.pairs.shape[1]))
    assert torch.equal(graph.pairs[:, first], graph.pairs[:, second].flip(0))
    assert torch.equal(graph.shifts[first], -graph.shifts[second])
    assert torch.equal(halves.half_of[first], torch.arange(len(first)))
    assert torch.equal(halves.half_of[second], torch.arange(len(first)))
    torch.testing.assert_close(graph.spread(graph.once(vectors).norm(dim=1)), vectors.norm(dim=1))


def test_shuffled_pairs_are_matched():
    graph = Graph.build(structure(6, 3.0), 3.0)
    order = torch.randperm(graph.pairs.shape[1])
    halves = Halves.of(graph.pairs[:, order], graph.shifts[order])
    assert halves is not None
    first, second = halves.both
    assert torch.equal(graph.shifts[order][first], -graph.shifts[order][second])


def test_lists_without_all_reverses_have_none():
    graph = Graph.build(structure(6, 3.0), 3.0)
    pairs, shifts = graph.pairs, graph.shifts
    assert Halves.of(pairs[:, 1:], shifts[1:]) is None
    reverse = ((pairs == pairs[:, :1].flip(0)).all(dim=0) & (shifts == -shifts[0]).all(dim=1)).nonzero()[0, 0]
    keep = torch.arange(pairs.shape[1])
    keep = keep[(keep != reverse) & (keep != 0)]
    assert Halves.of(pairs[:, keep], shifts[keep]) is not None
    for other in (1, 2):  # an even number of pairs, two of them alone
        keep = torch.arange(pairs.shape[1])
        keep = keep[(keep != 0) & (keep != (reverse + other) % len(keep))]
        assert Halves.of(pairs[:, keep], shifts[keep]) is None
    assert Halves.of(pairs, shifts * 2**40) is None  # numbers of pairs would overflow


def test_halves_go_with_the_pairs():
    graph = Graph.build(structure(6, 3.0), 3.0).with_halves()
    assert graph.with_halves() is graph
    assert graph.replace(system=graph.system).halves is graph.halves
    assert graph.within(2.0).halves is None
    assert graph.to(dtype=torch.float32).halves is None


def test_spread_and_its_derivatives():
    halves = Graph.build(structure(4, 3.0), 2.5).with_halves().halves
    assert halves is not None
    values = torch.randn(halves.both.shape[1], 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(halves.spread, values)
    assert torch.autograd.gradgradcheck(lambda x: halves.spread(x).square(), values)


def observed(model, graph: Graph, want=("energy", "forces", "stress")) -> list[torch.Tensor]:
    """Values, and gradients of a loss of all of them with respect to the weights."""
    found = derive(model, graph, want, create_graph=True)
    values = [getattr(found, name) for name in want]
    weighted = [value.nan_to_num() * torch.arange(value.numel()).view(value.shape).cos() for value in values]
    loss = torch.stack([part.square().sum() for part in weighted]).sum()
    slopes = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
    return values + [torch.zeros(()) if slope is None else slope for slope in slopes]


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("name", ["schnet", "painn", "tensornet", "so3net", "mace", "mace-nonlinear"])
def test_models_give_the_same_with_halves(name, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr("adiabat.kernels.pair_forms.available", lambda name: "no compiler in this test")
    torch.manual_seed(0)
    model = MODELS[name]().double()
    for graph in [*several_graphs(), Graph.build(SYSTEMS["batch"](), 3.0)]:
        prepared = model.prepare(graph)
        assert (prepared.halves is None) == (name == "mace-nonlinear")
        plain = observed(model, graph)
        for ours, theirs in zip(observed(model, prepared), plain, strict=True):
            scale = float(theirs.detach().nan_to_num().abs().max()) if theirs.numel() else 0.0
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12 * max(1.0, scale), equal_nan=True)


@pytest.mark.parametrize("name", ["schnet", "painn"])
def test_hessian_with_halves(name):
    torch.manual_seed(0)
    model, graph = MODELS[name]().double(), Graph.build(structure(5, 4.0), 3.0)
    plain = derive(model, graph, ("hessian",)).hessian
    torch.testing.assert_close(evaluate(model, graph, ("hessian",)).hessian, plain, rtol=1e-11, atol=1e-12)
