"""The kernel of gated networks equals torch, values and gradients, whatever the widths and the number of threads."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from adiabat.errors import ConfigError
from adiabat.kernels.build import available
from adiabat.kernels.gated_sum import GatedSum

MISSING = available("gated_sum")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no compiled kernels: {MISSING}")
SIZES = 17, 9, 23  # rows of the three tables


def make(kind, hidden, channels, deep=True, dtype=torch.float64):
    torch.manual_seed(0)
    core, gate = (nn.Linear(hidden, channels, dtype=dtype) if deep else None for _ in range(2))
    norms = nn.LayerNorm(channels, dtype=dtype), nn.LayerNorm(channels, dtype=dtype)
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return GatedSum(kind, core, gate, norms), core, gate, norms


def given(kind, rows, hidden, channels, dtype=torch.float64):
    random = torch.Generator().manual_seed(1)
    a, b, c = (torch.randn(n, 2 * hidden, generator=random, dtype=dtype).requires_grad_() for n in SIZES)
    own = None if kind == "pairs" else torch.randn(rows, 2 * hidden, generator=random, dtype=dtype).requires_grad_()
    count = 23 if kind == "pairs" else 9
    factors = torch.randn(count, channels, generator=random, dtype=dtype).requires_grad_()
    least = (9, 9, 23) if kind == "bonds" else SIZES
    indices = tuple(torch.randint(n, (rows,), generator=random) for n in least)
    return (a, b, c), indices, own, None if kind == "angles" else factors


def reference(kind, parts, tables, indices, own, factors):
    core, gate, norms = parts
    x = sum(table[index] for table, index in zip(tables, indices, strict=True)) + (0 if own is None else own)
    left, right = x.chunk(2, dim=1)
    if core is not None:
        left, right = core(functional.silu(left)), gate(functional.silu(right))
    values = functional.silu(norms[0](left)) * torch.sigmoid(norms[1](right))
    if kind == "angles":
        return values
    i, j, k = indices
    values = values * (factors[k] if kind == "pairs" else factors[i] * factors[j])
    return values.new_zeros((SIZES[0], values.shape[1])).index_add(0, i, values)


def both(kind, rows, hidden, channels, deep=True, dtype=torch.float64):
    kernel, *parts = make(kind, hidden, channels, deep, dtype)
    tensors = given(kind, rows, hidden, channels, dtype)
    inputs = [t for t in (*tensors[0], *tensors[2:]) if t is not None]
    for made in (kernel(*tensors), reference(kind, parts, *tensors)):
        loss = (made * torch.arange(made.numel(), dtype=dtype).view(made.shape).cos()).sum()
        yield [made, *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("kind", ["pairs", "bonds", "angles"])
@pytest.mark.parametrize(("rows", "hidden", "channels"), [(1000, 16, 8), (49, 5, 11), (1, 64, 64), (0, 8, 8)])
def test_equals_torch(kind, rows, hidden, channels):
    for ours, theirs in zip(*both(kind, rows, hidden, channels), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_layer(dtype):
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4
    for ours, theirs in zip(*both("angles", 100, 12, 12, deep=False, dtype=dtype), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_float32():
    for ours, theirs in zip(*both("pairs", 500, 24, 20, dtype=torch.float32), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_threads_change_nothing():
    kernel, *_ = make("bonds", 16, 8)
    tensors = given("bonds", 3000, 16, 8)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            made = kernel(*tensors)
            found.append([made, *torch.autograd.grad(made.square().sum(), [*tensors[0], *tensors[2:]])])
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*found, strict=True):
        assert torch.equal(one, three)


def test_large_arguments_stay_finite():
    kernel, *parts = make("angles", 8, 8)
    tables, indices, own, _ = given("angles", 50, 8, 8)
    tables = tuple(1e3 * t for t in tables)
    torch.testing.assert_close(
        kernel(tables, indices, own), reference("angles", parts, tables, indices, own, None), rtol=1e-10, atol=1e-10
    )


def test_mixed_types_are_refused():
    kernel, *_ = make("angles", 8, 8, dtype=torch.float32)
    with pytest.raises(ConfigError, match="needs one type"):
        kernel(*given("angles", 3, 8, 8)[:3])
