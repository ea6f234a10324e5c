"""The kernel of M3GNet's blocks equals torch, values and gradients, whatever the widths and the number of threads."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from adiabat.kernels.bond_update import BondUpdate
from adiabat.kernels.build import available

MISSING = available("bond_update")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no compiled kernels: {MISSING}")
ATOMS, FUNCTIONS, SUMS = 7, 5, 9


def layers(sizes, bias=True, dtype=torch.float64):
    return [nn.Linear(a, b, bias=bias, dtype=dtype) for a, b in pairwise(sizes)]


def make(channels, depth, activated, dtype=torch.float64):
    torch.manual_seed(0)
    sizes = [3 * channels, *[channels] * depth]
    angles = [layers([SUMS, channels], False, dtype)[0] for _ in range(2)]
    bonds, atoms = ([layers(sizes, True, dtype) for _ in range(2)] for _ in range(2))
    radial = [layers([FUNCTIONS, channels], False, dtype)[0] for _ in range(2)]
    parts = angles, bonds, atoms, radial
    return BondUpdate(*parts, activated), (*parts, activated)


def given(pairs, channels, width, dtype=torch.float64):
    random = torch.Generator().manual_seed(1)
    v, e, s = (
        torch.randn(shape, generator=random, dtype=dtype)
        for shape in ((ATOMS, channels), (pairs, width), (pairs, SUMS))
    )
    e[:, channels:] = 0
    r = 1 + torch.rand(pairs, generator=random, dtype=dtype)
    centers, neighbors = torch.randint(ATOMS, (2, pairs), generator=random)
    return [t.requires_grad_() for t in (v, e, s, r)], (centers, neighbors, neighbors)


def radial_functions(r):
    """h and its slope."""
    orders = torch.arange(1, FUNCTIONS + 1, dtype=r.dtype)
    x = r[:, None] * orders
    return torch.sin(x), orders * torch.cos(x)


def reference(parts, v, e, s, r, index):
    angles, bonds, atoms, radial, activated = parts
    h, (i, j, target) = radial_functions(r)[0], index

    def gated(nets, x):
        value = gate = x
        for layer, other in zip(*nets, strict=True):
            value, last = functional.silu(layer(value)), other(gate)
            gate = functional.silu(last)
        return value * torch.sigmoid(last)

    e = e + functional.pad(gated([[layer] for layer in angles], s), (0, e.shape[1] - v.shape[1]))
    channels = v.shape[1]
    own = e[:, :channels]
    own = own + gated(bonds, torch.cat([v[i], v[j], own], dim=1)) * radial[0](h)
    weights = radial[1](h)
    weights = functional.silu(weights) if activated else weights
    messages = gated(atoms, torch.cat([v[i], v[j], own], dim=1)) * weights
    return functional.pad(own, (0, e.shape[1] - channels)), torch.zeros_like(v).index_add(0, target, messages)


def both(pairs, channels, depth, activated=False, dtype=torch.float64):
    kernel, parts = make(channels, depth, activated, dtype)
    inputs, index = given(pairs, channels, kernel.width, dtype)
    v, e, s, r = inputs
    with torch.no_grad():
        radial = radial_functions(r)
    for made in (kernel(v, e, s, (r, *radial), index), reference(parts, v, e, s, r, index)):
        loss = sum((m * torch.arange(m.numel(), dtype=dtype).view(m.shape).cos())[:, :channels].sum() for m in made)
        gradients = list(torch.autograd.grad(loss, inputs))
        gradients[1] = gradients[1][:, :channels]
        yield [*made, *gradients]


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize(("pairs", "channels", "depth"), [(500, 16, 3), (49, 5, 2), (1, 24, 1), (0, 8, 3)])
def test_equals_torch(pairs, channels, depth, activated):
    for ours, theirs in zip(*both(pairs, channels, depth, activated), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_float32():
    for ours, theirs in zip(*both(200, 40, 3, dtype=torch.float32), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_threads_change_nothing():
    kernel, _ = make(16, 3, True)
    (v, e, s, r), index = given(2000, 16, kernel.width)
    with torch.no_grad():
        radial = radial_functions(r)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            made = kernel(v, e, s, (r, *radial), index)
            found.append([*made, *torch.autograd.grad(sum(m.square().sum() for m in made), [v, e, s, r])])
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*found, strict=True):
        assert torch.equal(one, three)
