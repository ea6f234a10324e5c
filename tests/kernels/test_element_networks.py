"""Ensembles of element networks in C++ against the networks in torch."""

import pytest
import torch

from adiabat.errors import CapabilityError
from adiabat.kernels.build import available
from adiabat.kernels.element_networks import ACTIVATIONS, PackedNetworks
from adiabat.nn.element_networks import ElementNetworks

REASON = available("element_networks")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")


def _members(count, size, hidden, activation, dtype):
    torch.manual_seed(0)
    made = [ElementNetworks([size] * len(hidden), hidden, (activation,) * len(hidden[0])) for _ in range(count)]
    for parameter in [p for member in made for p in member.parameters() if p.dim() == 1]:
        torch.nn.init.normal_(parameter)
    return [member.to(dtype) for member in made]


def _results(run, features, weights):
    features = features.clone().requires_grad_()
    values = run(features)
    (slopes,) = torch.autograd.grad((values * weights).sum(), features)
    return values.detach(), slopes


@pytest.mark.parametrize(("dtype", "room"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("size", "hidden"), [(150, [(20, 33), (5, 9)]), (7, [(3,)]), (40, [(8, 8, 6)] * 3)])
def test_equals_the_networks(activation, dtype, room, size, hidden):
    members = _members(3, size, hidden, activation, dtype)
    kernel = PackedNetworks([m.layers for m in members], activation)
    for atoms in (0, 1, 130):
        features = 3 * torch.randn(atoms, size, dtype=dtype)
        element = torch.randint(len(hidden), (atoms,))
        weights = torch.randn(3, atoms, dtype=dtype)
        found = _results(lambda x, e=element: kernel(x, e), features, weights)
        expected = _results(
            lambda x, e=element: torch.stack([m.everywhere(x, e) for m in members]), features, weights
        )
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            if atoms:
                torch.testing.assert_close(one, other, rtol=0, atol=room * float(other.abs().max()))


def test_columns_of_zeros_are_left_out():
    members = _members(1, 150, [(20,)], "celu", torch.float64)
    kernel = PackedNetworks([m.layers for m in members], "celu")
    features, element = torch.randn(5, 150), torch.zeros(5, dtype=torch.int64)
    features[:, 32:96] = 0.0
    found, slopes = _results(lambda x: kernel(x, element), features, torch.ones(1, 5))
    expected, exact = _results(lambda x: members[0].everywhere(x, element)[None], features, torch.ones(1, 5))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(slopes[:, 96:], exact[:, 96:])
    assert slopes[:, 32:96].abs().max() == 0.0
    assert exact[:, 32:96].abs().max() > 0.0


def test_faults_are_named():
    layers = [m.layers for m in _members(1, 4, [(3,)], "silu", torch.float64)]
    with pytest.raises(CapabilityError, match="'silu'"):
        PackedNetworks(layers, "silu")
    kernel = PackedNetworks(layers, "celu")
    assert kernel(torch.ones(2, 4), torch.tensor([0, 1])).isnan().all()
    with pytest.raises(CapabilityError, match="hidden layer"):
        PackedNetworks([[[torch.nn.Linear(4, 1)]]], "celu")
