"""The fused messages of PaiNN against torch."""

import pytest
import torch
from torch.nn import functional

from adiabat.kernels.build import available
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import tabulate
from adiabat.kernels.vector_message import VectorMessage
from adiabat.nn.cutoffs import CosineCutoff

CUTOFF = 4.0
REASON = available("vector_message")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")


def _kernel(channels, dtype) -> VectorMessage:
    phases = torch.linspace(0.3, 2.0, 3 * channels, dtype=torch.float64)
    table = tabulate(lambda r: torch.sin(r[:, None] * phases), CUTOFF, tolerance=1e-3)
    return VectorMessage(table.to(dtype))


def _problem(atoms, channels, dtype=torch.float64, first=False, count=400):
    """Random features and pairs: arguments of the kernel, most of them with gradients."""
    torch.manual_seed(atoms + channels)
    pairs = torch.randint(atoms, (2, count)) if atoms else torch.zeros(2, 0, dtype=torch.int64)
    pairs[0] = pairs[0].sort().values
    count = pairs.shape[1]
    features = [torch.randn(atoms, *n, dtype=torch.float64) for n in ((channels,), (3, channels), (3 * channels,))]
    r = 0.5 + (CUTOFF - 0.5) * torch.rand(count, dtype=torch.float64)
    directions = functional.normalize(torch.randn(count, 3, dtype=torch.float64), dim=1)
    s, v, phi = features
    leaves = [t.to(dtype).requires_grad_() for t in (phi, r, CosineCutoff(CUTOFF)(r), directions, s, v)]
    return _kernel(channels, dtype), [*leaves[:5], None if first else leaves[5]], PairIndex.of(pairs, atoms)


def _results(function, leaves, pairs):
    made = function(*leaves, pairs)
    torch.manual_seed(0)
    weights = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in made]
    return [*made, *torch.autograd.grad(made, [x for x in leaves if x is not None], weights)]


def _compare(kernel, leaves, pairs, tolerance):
    found, expected = (_results(f, leaves, pairs) for f in (kernel, kernel.reference))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        scale = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("channels", [1, 5, 8, 16, 20, 33])
def test_equals_reference(channels, first):
    _compare(*_problem(23, channels, first=first), 1e-12)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("channels", [5, 16, 20])
def test_single_precision(channels, first):
    _compare(*_problem(23, channels, torch.float32, first), 1e-5)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("atoms", "count"), [(0, 0), (1, 0), (2, 0), (1, 3), (2, 1)])
def test_few_atoms_and_pairs(atoms, count, first):
    _compare(*_problem(atoms, 5, first=first, count=count), 1e-12)


def test_atoms_without_pairs_keep_their_features():
    kernel, leaves, pairs = _problem(2, 5, count=0)
    s, v = kernel(*leaves, pairs)
    assert torch.equal(s, leaves[4])
    assert torch.equal(v, leaves[5])


def test_pairs_at_the_cutoff_add_exactly_nothing():
    kernel, leaves, pairs = _problem(23, 8)
    with torch.no_grad():
        leaves[2][::2] = 0.0
    s, v = kernel(*leaves, pairs)
    without = PairIndex.of(pairs.pairs[:, 1::2], 23)
    rest = [leaves[0], *(x[1::2] for x in leaves[1:4]), *leaves[4:]]
    kept = kernel(*rest, without)
    assert torch.equal(s, kept[0])
    assert torch.equal(v, kept[1])
    _compare(kernel, leaves, pairs, 1e-12)  # the envelope's gradient too


def test_no_vectors_are_zero_vectors():
    kernel, leaves, pairs = _problem(23, 8)
    made = (kernel(*leaves[:5], v, pairs) for v in (torch.zeros_like(leaves[5]), None))
    for a, b in zip(*made, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)


def test_tensors_need_not_be_contiguous():
    kernel, leaves, pairs = _problem(23, 8)
    for k, x in enumerate(leaves):
        spread = torch.stack([x.detach(), torch.zeros_like(x)], dim=-1)
        leaves[k] = spread[..., 0].requires_grad_()
        assert not leaves[k].is_contiguous()
    _compare(kernel, leaves, pairs, 1e-12)


@pytest.mark.parametrize("first", [False, True])
def test_threads_do_not_change_a_bit(first):
    kernel, leaves, pairs = _problem(60, 20, torch.float32, first)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(_results(kernel, leaves, pairs))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
