"""Products along paths by kernels equal those in plain operations, with derivatives of any order."""

import pytest
import torch

from adiabat.geometry.neighborhood import Neighborhood
from adiabat.kernels import path_form
from adiabat.nn.irreps import Irreps
from adiabat.nn.tensor_product import NeighborTensorProduct

ATOMS, WIDTH = 5, 3
HARMONICS = Irreps.parse("1x0e+1x1e+1x2e+1x3e")


def setup(degrees, channels: int, dtype=torch.float64):
    """A product and its arguments; the last slot of every atom is filled up."""
    torch.manual_seed(0)
    features = Irreps.parse("+".join(f"{channels}x{l}e" for l in degrees))
    product = NeighborTensorProduct(features, HARMONICS, features).to(dtype)
    hood = Neighborhood(torch.arange(ATOMS * WIDTH), torch.randint(0, ATOMS, (ATOMS, WIDTH)))
    slots = ATOMS * WIDTH
    harmonics = torch.randn(slots, HARMONICS.dim, dtype=dtype)
    harmonics[WIDTH - 1 :: WIDTH] = 0
    sizes = [(ATOMS, 2 * l + 1, channels) for l in degrees] + [(slots, product.path_count * channels)]
    made = [torch.randn(size, dtype=dtype).requires_grad_() for size in sizes]
    return product, hood, [*made, harmonics.requires_grad_()]


def derivatives(product, hood, inputs):
    """Values, slopes and slopes of slopes."""
    *features, weights, harmonics = inputs
    torch.manual_seed(1)
    made = product(features, harmonics, weights, hood)
    energy = sum((x * torch.randn_like(x)).sum() + x.square().sum() for x in made)
    slopes = torch.autograd.grad(energy, inputs, create_graph=True)
    total = torch.stack([(x * torch.randn_like(x)).sum() + x.square().mean() for x in slopes]).sum()
    return [*made, *slopes, *torch.autograd.grad(total, inputs)]


@pytest.mark.parametrize(
    ("degrees", "channels", "dtype", "tolerance"),
    [
        ((0,), 16, torch.float64, 1e-12),
        ((0, 1, 2), 8, torch.float64, 1e-12),
        ((1, 3), 24, torch.float64, 1e-12),
        ((0, 1, 2), 32, torch.float32, 1e-5),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_equal_operations(degrees, channels, dtype, tolerance, threads):
    product, hood, inputs = setup(degrees, channels, dtype)
    assert path_form.usable(inputs[0], product._form)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = derivatives(product.train(), hood, inputs)
    finally:
        torch.set_num_threads(before)
    expected = derivatives(product.eval(), hood, inputs)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max()


def test_kernels_are_taken_in_training_alone(monkeypatch):
    product, hood, inputs = setup((0, 1), 8)
    calls = []
    sums = path_form.sums
    monkeypatch.setattr(path_form, "sums", lambda *given: calls.append(1) or sums(*given))
    derivatives(product.eval(), hood, inputs)
    assert not calls
    derivatives(product.train(), hood, inputs)
    assert calls


def test_what_kernels_cannot_take():
    product, _, inputs = setup((0, 1), 6)
    assert not path_form.usable(inputs[0], product._form)  # channels are no whole blocks
    assert not path_form.usable(torch.zeros(1, 9, 8), path_form.paths_of([9], [(0, 9)]))  # l = 4
