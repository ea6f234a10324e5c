"""Atomic environment vectors in C++ against the descriptor in torch."""

import pytest
import torch
from small_models import structure

from adiabat.descriptors.aev import AEV, Terms
from adiabat.descriptors.base import Descriptor
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.pairs import PairIndex

REASON = available("environment_vectors")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")

TERMS = {
    "ANI-1x": Terms(),
    "ANI-2x": Terms(
        cutoff=5.1,
        radial_eta=(19.7,),
        angular_eta=(12.5,),
        zeta=(14.1,),
        angular_shifts=(0.8, 1.1375, 1.475, 1.8125, 2.15, 2.4875, 2.825, 3.1625),
        angles=(0.3927, 1.1781, 1.9635, 2.7489),
    ),
    "several of each": Terms(
        cutoff=4.0,
        radial_eta=(4.0, 1.0),
        radial_shifts=(0.5, 1.5, 2.5),
        angular_cutoff=4.0,
        angular_eta=(0.5, 2.0),
        zeta=(1.0, 2.0, 7.5),
        angular_shifts=(0.9, 2.2),
        angles=(0.0, 1.1, 3.5),
    ),
    "pairs alone": Terms(angles=()),
}


def _problem(terms, systems=None, dtype=torch.float64):
    descriptor = AEV(terms, [1, 6, 8])
    systems = [structure(13, 5.0), structure(5, 4.0, 1, pbc=False)] if systems is None else systems
    graph = Graph.build(System.batch(systems), terms.cutoff + 0.3).to(dtype=dtype)
    return descriptor, graph, PairIndex.of(graph.pairs, graph.system.atoms)


def _results(descriptor, graph, pairs, compiled):
    """Rows, and slopes by positions of rows times random weights."""
    positions = graph.system.positions.clone().requires_grad_()
    moved = graph.replace(system=graph.system.replace(positions=positions))
    element = descriptor.element[graph.system.numbers]
    rows = descriptor.kernel()(moved.vectors(), element, pairs) if compiled else descriptor(moved)
    weights = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (slopes,) = torch.autograd.grad((rows * weights.to(rows.dtype)).sum(), positions)
    return rows.detach(), slopes


@pytest.mark.parametrize(("dtype", "room"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", TERMS)
def test_equals_the_descriptor(name, dtype, room):
    problem = _problem(TERMS[name], dtype=dtype)
    for found, expected in zip(_results(*problem, True), _results(*problem, False), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=room * float(expected.abs().max()))


@pytest.mark.parametrize(("dtype", "room"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", TERMS)
def test_jacobian(name, dtype, room):
    descriptor, graph, _ = _problem(TERMS[name], [structure(9, 4.0), structure(4, 3.0, 1, pbc=False)], dtype)
    for found, expected in zip(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=room * float(expected.abs().max()))


def test_many_triplets():
    problem = _problem(TERMS["several of each"], [structure(60, 5.0)])
    for found, expected in zip(_results(*problem, True), _results(*problem, False), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


def test_no_pairs():
    rows, slopes = _results(*_problem(Terms(), [System.from_arrays([[0, 0, 0], [0, 0, 20.0]], [1, 8])]), True)
    assert rows.shape == (2, 3 * 16 + 6 * 32)
    assert rows.abs().max() == 0.0
    assert slopes.abs().max() == 0.0


def test_threads_do_not_change_a_bit():
    problem = _problem(Terms(), [structure(20, 6.0)])
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(_results(*problem, True))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_unknown_elements_are_not_numbers():
    descriptor, graph, pairs = _problem(Terms())
    kinds = torch.full_like(graph.system.numbers, -1)
    assert descriptor.kernel()(graph.vectors(), kinds, pairs).isnan().all()
