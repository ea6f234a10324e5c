"""Packed dense networks against torch."""

import copy

import pytest
import torch

from adiabat.kernels.build import available
from adiabat.kernels.dense import ACTIVATIONS, Dense, Network
from adiabat.nn.mlp import MLP

REASON = available("dense")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")


def _networks(widths, activation="silu", dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    network = MLP(widths, activation, bias=bias).to(dtype).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.normal_()
    frozen = copy.deepcopy(network)
    frozen.freeze()
    assert isinstance(frozen.kernel, Network)
    return network, frozen


def _compare(network, frozen, shape, dtype=torch.float64, tolerance=1e-13):
    values = torch.randn(shape, dtype=dtype, requires_grad=True)
    expected = network(values)
    gradient = torch.randn_like(expected)
    made = frozen(values)
    assert made.shape == expected.shape
    for a, b in (
        (made, expected),
        (torch.autograd.grad(made, values, gradient)[0], torch.autograd.grad(expected, values, gradient)[0]),
    ):
        scale = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize("rows", [0, 1, 2, 11, 12, 13, 47, 48, 49, 121])
def test_rows(rows):
    _compare(*_networks((16, 32, 48)), (rows, 16))


@pytest.mark.parametrize("widths", [(1, 1), (5, 7), (8, 3, 1), (16, 20, 33, 2), (33, 64, 31), (128, 64, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_widths(widths, dtype, tolerance):
    _compare(*_networks(widths, dtype=dtype), (29, widths[0]), dtype, tolerance)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations(activation):
    _compare(*_networks((6, 9, 9, 4), activation), (20, 6))


def test_without_bias_and_with_more_dimensions():
    _compare(*_networks((6, 9, 4), bias=False), (5, 3, 6))


def test_other_activations_stay_in_torch():
    network = MLP((4, 8, 2), "gaussian")
    network.freeze()
    assert network.kernel is None


def test_gradients_can_be_added():
    torch.manual_seed(0)
    layer = torch.nn.Linear(20, 36).double()
    gradient, start = torch.randn(13, 36), torch.randn(13, 20)
    made = start.clone()
    Dense(layer).pull(gradient, made, add=True)
    torch.testing.assert_close(made, start + gradient @ layer.weight.detach(), rtol=0.0, atol=1e-13)


def test_threads_do_not_change_a_bit():
    _, frozen = _networks((20, 40, 24), dtype=torch.float32)
    values = torch.randn(333, 20, dtype=torch.float32, requires_grad=True)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made = frozen(values)
            results.append((made, *torch.autograd.grad(made.square().sum(), values)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
