"""TensorNet's kernels against their references in torch: values and gradients."""

import pytest
import torch

from adiabat.kernels.build import available
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.part_sum import PartSum
from adiabat.kernels.tables import tabulate
from adiabat.nn.matrix_layers import MatrixProducts
from adiabat.nn.matrix_parts import SIZES

REASON = available("part_sum") or available("matrix_update")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")
TYPES = [(torch.float64, 1e-12), (torch.float32, 2e-5)]


def parts(atoms, channels, dtype):
    return [torch.randn(atoms, size, channels, dtype=dtype, requires_grad=True) for size in SIZES]


def slopes(made, given):
    torch.manual_seed(2)
    gradients = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in made]
    return [*made, *torch.autograd.grad(made, given, gradients, allow_unused=True)]


def compare(found, wanted, tolerance):
    for a, b in zip(found, wanted, strict=True):
        scale = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0.0, atol=tolerance * max(1.0, scale))


@pytest.mark.parametrize("channels", [1, 8, 21])
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize("atoms", [1, 7])
def test_sums(atoms, channels, dtype, tolerance):
    torch.manual_seed(1)
    weights = torch.randn(3 * channels)
    table = tabulate(lambda r: torch.sin(r[:, None] * weights), 4.0).to(dtype)
    kernel = PartSum(table)
    centers, neighbors = torch.randint(0, atoms, (2, 30))
    pairs = PairIndex.of(torch.stack([centers.sort().values, neighbors]), atoms)
    distances = (0.5 + 3.4 * torch.rand(30)).to(dtype).requires_grad_()
    factors = torch.rand(30).to(dtype)
    factors[3] = 0.0
    factors.requires_grad_()
    x = parts(atoms, channels, dtype)
    given = [*x, distances, factors]
    found = slopes(kernel(x, distances, factors, pairs), given)
    wanted = slopes(kernel.reference(x, distances, factors, pairs), given)
    wanted[-1] = torch.where(factors == 0, torch.zeros(()).to(dtype), wanted[-1])  # such a pair is skipped
    compare(found, wanted, tolerance)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("channels", [1, 8, 21])
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_products(mirror, channels, dtype, tolerance):
    torch.manual_seed(1)
    plain, fast = (MatrixProducts(mirror).to(dtype) for _ in range(2))
    fast.freeze()
    x, y = parts(5, channels, dtype), parts(5, channels, dtype)
    growth = torch.rand(5, 1, 1, dtype=dtype) + 0.5
    compare(slopes(fast.normalize(x), x), slopes(plain.normalize(x), x), tolerance)
    both = [*x, *y]
    compare(slopes(fast.combine(x, y, growth), both), slopes(plain.combine(x, y, growth), both), tolerance)
    compare(slopes(fast.renew(x, y, growth), both), slopes(plain.renew(x, y, growth), both), tolerance)


def test_no_pairs():
    table = tabulate(lambda r: torch.sin(r[:, None] * torch.ones(6)), 4.0)
    x = parts(3, 2, torch.float64)
    none = torch.zeros(0, requires_grad=True)
    pairs = PairIndex.of(torch.zeros((2, 0), dtype=torch.int64), 3)
    made = PartSum(table)(x, none, none, pairs)
    assert all(not part.any() for part in made)


def test_threads_do_not_change_a_bit():
    torch.manual_seed(3)
    table = tabulate(lambda r: torch.sin(r[:, None] * torch.arange(1.0, 61.0)), 4.0).to(torch.float32)
    x = parts(40, 20, torch.float32)
    pairs = PairIndex.of(torch.stack([torch.arange(40).repeat_interleave(5), torch.randint(0, 40, (200,))]), 40)
    distances = torch.rand(200).float().add(1.0).requires_grad_()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(slopes(PartSum(table)(x, distances, torch.ones_like(distances), pairs), [*x, distances]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
