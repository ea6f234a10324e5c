"""Sums over neighbors: each kernel equals its reference, values and gradients, whatever the number of threads."""

import pytest
import torch

from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.neighbor_product import NeighborProduct, Path
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.radial_sum import RadialSum
from adiabat.kernels.tables import tabulate

TYPES = [(torch.float64, 1e-12), (torch.float32, 2e-5)]
PATHS = [Path(0, 0), Path(1, 0), Path(0, 1), Path(1, 1), Path(1, 1), Path(0, 2), Path(1, 2), Path(1, 3)]
SIZES = [1, 3], [1, 3, 5, 7]


def graph(atoms, cell=7.0):
    generator = torch.Generator().manual_seed(atoms)
    positions = torch.rand(atoms, 3, generator=generator, dtype=torch.float64) * cell
    return Graph.build(
        System.from_arrays(positions.numpy(), [6] * atoms, cell=torch.eye(3).numpy() * cell, pbc=True), 4.5
    )


def radial(channels, phase=0.0):
    """Smooth functions that vanish at 4 Å, so that pairs beyond the table's end are met too."""
    mixing = torch.linspace(-1, 1, 6 * channels, dtype=torch.float64).reshape(6, channels)
    return tabulate(
        lambda r: torch.sin(phase + r[:, None] * torch.arange(1, 7)) @ mixing * (4 - r[:, None]) ** 3, 4.0
    )


def inputs(atoms, dtype):
    found = graph(atoms)
    return PairIndex.of(found.pairs, atoms), found.vectors().norm(dim=1).to(dtype).requires_grad_()


def compare(made, wanted, variables, tolerance):
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in wanted]
    gradients = [torch.autograd.grad(x, variables, weights) for x in (made, wanted)]
    for a, b in [*zip(made, wanted, strict=True), *zip(*gradients, strict=True)]:
        size = max(1.0, *b.detach().abs().flatten().tolist(), 0.0)
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize("channels", [1, 5, 32])
@pytest.mark.parametrize("atoms", [1, 40])
def test_radial_sum(dtype, tolerance, channels, atoms):
    pairs, distances = inputs(atoms, dtype)
    kernel = RadialSum(radial(channels).to(dtype))
    features = torch.randn(atoms, channels, dtype=dtype, requires_grad=True)
    factors = torch.rand(len(distances), dtype=dtype, requires_grad=True)
    variables = [features, distances, factors]
    compare([kernel(*variables, pairs)], [kernel.reference(*variables, pairs)], variables, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize("channels", [1, 20, 32])
@pytest.mark.parametrize("atoms", [1, 40])
def test_neighbor_product(dtype, tolerance, channels, atoms):
    pairs, distances = inputs(atoms, dtype)
    tables = [radial(channels * len(PATHS), phase).to(dtype) for phase in (0.0, 0.7)]
    product = NeighborProduct(*SIZES, PATHS, channels, tables)
    features = [torch.randn(atoms, n, channels, dtype=dtype, requires_grad=True) for n in SIZES[0]]
    coupled = torch.randn(len(distances), product.couplings, dtype=dtype, requires_grad=True)
    kinds = torch.arange(len(distances)) % 2
    arguments = features, coupled, distances, kinds, pairs
    variables = [*features, coupled, distances]
    compare(product(*arguments), product.reference(*arguments), variables, tolerance)


def test_threads_change_nothing():
    pairs, distances = inputs(60, torch.float32)
    product = NeighborProduct(*SIZES, PATHS, 16, [radial(16 * len(PATHS)).to(torch.float32)])
    features = [torch.randn(60, n, 16, dtype=torch.float32, requires_grad=True) for n in SIZES[0]]
    coupled = torch.randn(len(distances), product.couplings, dtype=torch.float32, requires_grad=True)
    kinds = torch.zeros_like(pairs.centers)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made = product(features, coupled, distances, kinds, pairs)
        made += torch.autograd.grad(made, [*features, coupled, distances], [torch.ones_like(x) for x in made])
        found.append(made)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_no_pairs():
    pairs = PairIndex.of(torch.zeros((2, 0), dtype=torch.int64), 3)
    features, none = torch.randn(3, 8, requires_grad=True), torch.zeros(0, requires_grad=True)
    made = RadialSum(radial(8))(features, none, none, pairs)
    assert not made.any()
    (gradient,) = torch.autograd.grad(made.sum(), features)
    assert not gradient.any()


def test_both_orders_of_the_pairs():
    found = graph(30)
    pairs = PairIndex.of(found.pairs, 30)
    for atom in (0, 7, 29):
        own = slice(int(pairs.begins[atom]), int(pairs.begins[atom + 1]))
        assert (found.centers[own] == atom).all()
        others = pairs.order[int(pairs.order_begins[atom]) : int(pairs.order_begins[atom + 1])]
        assert (found.neighbors[others] == atom).all()
        assert len(others) == int((found.neighbors == atom).sum())


def test_mixed_types_are_refused():
    pairs, distances = inputs(5, torch.float64)
    with pytest.raises(ConfigError, match="a kernel was given float32, float64"):
        RadialSum(radial(8).to(torch.float32))(torch.zeros(5, 8, dtype=torch.float64), distances, distances, pairs)
