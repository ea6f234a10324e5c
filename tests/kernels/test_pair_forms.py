"""Sums by kernels equal those in torch, with derivatives of any order."""

import torch
from small_models import structure

from adiabat.geometry import Graph, System
from adiabat.kernels.pair_forms import HalfIndex


def setup(channels: int):
    systems = [structure(4, 3.0), structure(1, 9.0), structure(3, 4.0, pbc=False)]
    graph = Graph.build(System.batch(systems), 2.6).with_halves()
    index = HalfIndex.of(graph)
    assert index is not None
    vectors = graph.vectors()
    random = torch.Generator().manual_seed(0)
    sizes = (graph.system.atoms, 3, channels), (graph.system.atoms, channels), (graph.halves.both.shape[1], channels)
    made = [torch.randn(size, generator=random, dtype=torch.float64, requires_grad=True) for size in sizes]
    return graph, index, [*made, (vectors / vectors.norm(dim=1)[:, None]).requires_grad_()]


def test_values():
    graph, index, (vectors, scalars, filters, directions) = setup(19)
    spread = graph.spread(filters)
    expected = graph.sum_over_neighbors(graph.of_neighbors(scalars) * spread)
    torch.testing.assert_close(index.filtered(scalars, filters), expected)
    expected = graph.sum_over_neighbors(graph.of_neighbors(vectors) * spread[:, None])
    torch.testing.assert_close(index.filtered(vectors, filters), expected)
    expected = (graph.of_neighbors(scalars) * spread)[:, None] * directions[:, :, None]
    torch.testing.assert_close(index.directed(scalars, filters, directions), graph.sum_over_neighbors(expected))


def test_derivatives():
    _, index, (vectors, scalars, filters, directions) = setup(2)
    for function, inputs in (
        (index.filtered, (scalars, filters)),
        (index.filtered, (vectors, filters)),
        (index.directed, (scalars, filters, directions)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_strided_inputs_and_float32():
    graph, index, (_, scalars, filters, _) = setup(6)
    features = torch.cat([scalars, scalars], dim=1)[:, 3:9].float()
    expected = graph.sum_over_neighbors(graph.of_neighbors(features) * graph.spread(filters).float())
    torch.testing.assert_close(index.filtered(features, filters.float()), expected)


def test_not_without_halves():
    graph, *_ = setup(2)
    assert HalfIndex.of(graph.replace(halves=None)) is None
