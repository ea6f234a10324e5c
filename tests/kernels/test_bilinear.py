"""Products of components and summed paths of the neighbor product against torch: values and gradients."""

import numpy as np
import pytest
import torch

from adiabat.errors import CapabilityError
from adiabat.kernels.bilinear import Bilinear
from adiabat.kernels.build import available
from adiabat.kernels.neighbor_product import NeighborProduct, Path
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import tabulate
from adiabat.nn.bilinear_product import BilinearProduct

REASON = available("bilinear") or available("neighbor_product")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")


def slopes(made, given):
    torch.manual_seed(2)
    gradients = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in made]
    return [*made, *torch.autograd.grad(made, given, gradients)]


@pytest.mark.parametrize("sizes", [(1, 1, 1), (4, 9, 3), (9, 9, 9)])
@pytest.mark.parametrize("channels", [1, 8, 21])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_products(sizes, channels, dtype, tolerance):
    random = np.random.default_rng(0)
    table = random.normal(size=sizes) * (random.random(sizes) < 0.4)
    plain, fast = (BilinearProduct(table).to(dtype) for _ in range(2))
    fast.freeze()
    torch.manual_seed(1)
    x, y = (torch.randn(5, n, channels, dtype=dtype, requires_grad=True) for n in sizes[:2])
    for a, b in zip(slopes([fast(x, y)], [x, y]), slopes([plain(x, y)], [x, y]), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=tolerance * max(1.0, float(b.detach().abs().max())))


def test_too_many_components_are_refused():
    with pytest.raises(CapabilityError, match="up to l = 3"):
        Bilinear(np.ones((25, 25, 25)), torch.float64)


def test_paths_are_summed():
    torch.manual_seed(3)
    paths = [Path(0, 0), Path(1, 0), Path(1, 1)]
    weights = torch.randn(3 * 5)
    table = tabulate(lambda r: torch.cos(r[:, None] * weights), 4.0)
    beside, summed = (NeighborProduct([1, 3], [1, 3], paths, 5, [table], summed=s) for s in (False, True))
    features = [torch.randn(4, n, 5, requires_grad=True) for n in (1, 3)]
    pairs = PairIndex.of(torch.stack([torch.arange(4).repeat_interleave(3), torch.randint(0, 4, (12,))]), 4)
    coupled = torch.randn(12, 1 + 3 + 9, requires_grad=True)
    distances = (1.0 + 2.0 * torch.rand(12)).requires_grad_()
    given = [*features, coupled, distances]
    inputs = (features, coupled, distances, torch.zeros(12, dtype=torch.int64), pairs)
    wanted = slopes([x.unflatten(2, (-1, 5)).sum(dim=2) for x in beside(*inputs)], given)
    for made in (summed(*inputs), summed.reference(*inputs)):
        for a, b in zip(slopes(made, given), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
