"""The fused update block of PaiNN against the page."""

import copy

import pytest
import torch

from adiabat.architectures.equivariant.painn import PaiNNConfig, Update
from adiabat.kernels.build import available

REASON = available("vector_update")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")


def _results(block, s, v):
    made = block(s, v)
    torch.manual_seed(2)
    gradients = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in made]
    return [*made, *torch.autograd.grad(made, (s, v), gradients)]


def _problem(atoms, channels, dtype=torch.float64):
    torch.manual_seed(1)
    block = Update(PaiNNConfig(channels=channels)).to(dtype).requires_grad_(False)
    frozen = copy.deepcopy(block)
    frozen.freeze()
    s, v = (torch.randn(atoms, *n, dtype=dtype, requires_grad=True) for n in ((channels,), (3, channels)))
    return block, frozen, s, v


@pytest.mark.parametrize("atoms", [0, 1, 23])
@pytest.mark.parametrize("channels", [2, 5, 16, 20])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_the_page(atoms, channels, dtype, tolerance):
    block, frozen, s, v = _problem(atoms, channels, dtype)
    for a, b in zip(_results(frozen, s, v), _results(block, s, v), strict=True):
        scale = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0.0, atol=tolerance * scale)


def test_vanishing_vectors_have_finite_gradients():
    block, frozen, s, _ = _problem(3, 5)
    v = torch.zeros(3, 3, 5, dtype=torch.float64, requires_grad=True)
    for a, b in zip(_results(frozen, s, v), _results(block, s, v), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_threads_do_not_change_a_bit():
    _, frozen, s, v = _problem(150, 20, torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(_results(frozen, s, v))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
