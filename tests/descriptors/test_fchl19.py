"""FCHL19 and its kernel: qmllib's numbers, and slopes."""

import pytest
import torch
from small_models import several_graphs

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.fchl19 import FCHL19Config
from adiabat.elements import number
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.fchl19 import NAME
from adiabat.nn.gaussian_process import KernelOptions, kernel
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity


def test_qmllibs_numbers(shared):
    report = parity(Kit(shared / "golden" / "qml-fchl19"), tolerance=1e-8)
    assert report.status == "equal", report
    assert {d.quantity for d in report.deviations} == {
        "default",
        "alt",
        "default_case_elements",
        "grad_representation",
        "grad",
    }


def test_kernel_is_the_local_one():
    made = FCHL19Config(cutoff=3.0, angular_cutoff=3.0, radial=4, angular=3).build([1, 6, 8])
    x = made(several_graphs()[1])
    sigma = 2.0
    options = KernelOptions(form="rbf", length=sigma / x.shape[1] ** 0.5)
    expected = torch.exp(-torch.cdist(x, x).square() / (2.0 * sigma**2))
    assert torch.allclose(kernel(options, x, x)[0], expected, atol=1e-10)


@pytest.mark.parametrize("order", [1, 2])
def test_slopes_are_derivatives(order):
    elements = sorted({number(s) for s in ("H", "C", "O")} | set(several_graphs()[1].system.numbers.tolist()))
    made = FCHL19Config(cutoff=3.0, angular_cutoff=2.8, radial=3, angular=2, order=order, smearing=0.8).build(
        elements
    )
    graph = several_graphs()[1]
    _, slopes = made.jacobian(graph)
    vectors = graph.vectors()
    step = 1e-6
    for pair, axis in ((0, 0), (5, 2)):
        shift = torch.zeros_like(vectors)
        shift[pair, axis] = step
        ahead, behind = made.from_vectors(vectors + shift, graph), made.from_vectors(vectors - shift, graph)
        numeric = (ahead - behind)[graph.centers[pair]] / (2.0 * step)
        assert torch.allclose(slopes[pair, :, axis], numeric, atol=1e-7)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("reach", [(3.0, 2.5), (2.5, 3.0)])
def test_kernel_gives_the_same(reach):
    """Values, slopes of every feature, and the gradient of a weighted sum that a frozen descriptor gives."""
    for graph in several_graphs():
        options = FCHL19Config(cutoff=reach[0], angular_cutoff=reach[1], radial=3, angular=4, order=2, smearing=0.8)
        made = options.build(graph.system.numbers.tolist())
        graph = Graph.build(graph.system, made.cutoff)
        values, slopes = made.jacobian(graph)
        expected, expected_slopes = Descriptor.jacobian(made, graph)
        size = float(expected_slopes.abs().max()) if expected_slopes.numel() else 1.0
        assert torch.allclose(values, expected, rtol=1e-11, atol=1e-13)
        assert torch.allclose(slopes, expected_slopes, rtol=1e-10, atol=1e-12 * size)
        assert torch.allclose(made.values(graph), expected, rtol=1e-11, atol=1e-13)
        weights = torch.linspace(-1.0, 1.0, expected.numel()).view_as(expected)
        vectors = graph.vectors().detach().requires_grad_()
        rows = made.kernel()(vectors, *made.given(graph)[1:])
        found = torch.autograd.grad((rows * weights).sum(), vectors)[0]
        own = (weights[graph.centers][:, :, None] * expected_slopes).sum(dim=1)
        assert torch.allclose(found, own, rtol=1e-9, atol=1e-11 * size)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
def test_kernel_in_line_and_with_unknown_elements():
    made = FCHL19Config(cutoff=3.0, angular_cutoff=3.0, radial=4, angular=3).build([6, 8])
    graph = several_graphs()[0]
    kinds = torch.full((graph.system.atoms,), -1)
    assert made.kernel()(graph.vectors(), kinds, made.given(graph)[2]).isnan().all()
    system = graph.system.replace(
        positions=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.1], [0.0, 0.0, -1.2]]),
        numbers=torch.tensor([6, 8, 8]),
        system=torch.zeros(3, dtype=torch.int64),
        cell=torch.zeros((1, 3, 3)),
        pbc=torch.zeros((1, 3), dtype=torch.bool),
    )
    values, slopes = made.jacobian(Graph.build(system, 3.0))
    expected, expected_slopes = Descriptor.jacobian(made, Graph.build(system, 3.0))
    assert slopes.isfinite().all()
    assert torch.allclose(values, expected, atol=1e-12)
    assert torch.allclose(slopes, expected_slopes, atol=1e-6)
