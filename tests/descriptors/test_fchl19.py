"""FCHL19 and its kernel: qmllib's numbers, and slopes."""

import pytest
import torch
from small_models import several_graphs

from adiabat.descriptors.fchl19 import FCHL19Config
from adiabat.elements import number
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
