"""The kernel of angular sums equals torch, values and gradients; so do tables of distances."""

import pytest
import torch

from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.legendre_sum import LegendreSum
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.radial_values import RadialValues
from adiabat.kernels.tables import tabulate
from adiabat.nn import angular_sums
from adiabat.nn.cutoffs import PolynomialCutoff

MISSING = available("legendre_sum") or available("radial_values")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no compiled kernels: {MISSING}")
CUTOFF, NEAR = 4.0, 3.2  # Å


def cluster(atoms=40):
    """Atoms in a box, the last one alone."""
    random = torch.Generator().manual_seed(0)
    positions = 8 * torch.rand(atoms, 3, generator=random, dtype=torch.float64)
    positions[-1] = 100.0
    return Graph.build(System.from_arrays(positions.numpy(), [6] * atoms), CUTOFF)


def functions(r, size):
    """b and behind it f."""
    envelope = PolynomialCutoff(NEAR, 3)(r)[:, None]
    return torch.cat([torch.sin(r[:, None] * torch.arange(1, size + 1, dtype=r.dtype)) * envelope, envelope], dim=1)


def both(degrees, count, of_centers, dtype=torch.float64):
    graph, size = cluster(), degrees * count
    sums = angular_sums.LegendreSum(degrees, count).to(dtype)
    vectors = graph.vectors()
    r = vectors.norm(dim=1)
    directions = vectors / r[:, None]
    random = torch.Generator().manual_seed(1)
    gates = torch.rand(graph.system.atoms, size, generator=random, dtype=torch.float64)
    table = tabulate(lambda x: functions(x, size), CUTOFF, start=0.1, kink=NEAR)
    values, slopes = RadialValues(table.to(dtype), slopes=True)(r.to(dtype))
    y, r, gates = (t.to(dtype).requires_grad_() for t in (sums.harmonics(directions.to(dtype)), r, gates))
    kernel = LegendreSum(degrees, count, sums.sizes, of_centers)
    ours = kernel(y, (r, values, slopes), gates, PairIndex.of_graph(graph))
    found = table.to(dtype)(r)
    open_ = graph.of_centers(gates) if of_centers else graph.of_neighbors(gates)
    theirs = sums(graph, y, found[:, :-1] * open_) * found[:, -1:]
    for made in (ours, theirs):
        loss = (made * torch.arange(made.numel(), dtype=dtype).view(made.shape).cos()).sum()
        y_gradient, *others = torch.autograd.grad(loss, [y, r, gates])
        yield [made, y_gradient, *others]


@pytest.mark.parametrize("of_centers", [False, True])
@pytest.mark.parametrize(("degrees", "count"), [(3, 3), (4, 4), (1, 2), (2, 1)])
def test_equals_torch(degrees, count, of_centers):
    for ours, theirs in zip(*both(degrees, count, of_centers), strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_float32():
    for ours, theirs in zip(*both(3, 3, False, torch.float32), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_without_pairs():
    graph = Graph.build(System.from_arrays([[0.0, 0, 0], [50, 0, 0]], [6, 6]), CUTOFF)
    made = LegendreSum(3, 3, torch.ones(3, dtype=torch.float64), False)(
        torch.zeros(0, 9), (torch.zeros(0), torch.zeros(0, 10), torch.zeros(0, 10)), torch.zeros(2, 9),
        PairIndex.of_graph(graph),
    )  # fmt: skip
    assert made.shape == (0, 9)


@pytest.mark.parametrize("channels", [3, 8, 21])
def test_tabulated_values(channels):
    table = tabulate(lambda x: functions(x, channels - 1), CUTOFF, start=0.1, kink=NEAR)
    r = torch.linspace(0.2, 4.1, 301, dtype=torch.float64, requires_grad=True)
    values, slopes = RadialValues(table, slopes=True)(r)
    (alone,) = RadialValues(table)(r)
    weights = torch.arange(values.numel(), dtype=torch.float64).view(values.shape).cos()
    exact = table(r)
    torch.testing.assert_close(values, exact, rtol=0, atol=1e-12)
    assert torch.equal(values, alone)
    (gradient,) = torch.autograd.grad((exact * weights).sum(), r)
    torch.testing.assert_close((slopes * weights).sum(dim=1), gradient, rtol=0, atol=1e-10)
    (found,) = torch.autograd.grad((alone * weights).sum(), r)
    torch.testing.assert_close(found, gradient, rtol=0, atol=1e-10)
