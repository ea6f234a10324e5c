"""Tables of radial functions: values, slopes, the error bound, and what cannot be tabulated."""

import pytest
import torch

from adiabat.errors import CapabilityError
from adiabat.kernels.tables import TOLERANCE, tabulate
from adiabat.nn.cutoffs import XPLORCutoff


def waves(r):
    return torch.sin(r[:, None] * torch.arange(1, 7)) / r[:, None]


def test_values_and_slopes_within_the_bound():
    table = tabulate(waves, 5.0)
    assert table.error <= TOLERANCE
    r = torch.rand(5000, dtype=torch.float64) * 4.98 + 0.015
    r.requires_grad_()
    exact, found = waves(r), table(r)
    assert (exact - found).detach().abs().max() <= TOLERANCE * exact.detach().abs().max()
    slopes = [torch.autograd.grad(values.sum(), r)[0] for values in (exact, found)]
    assert float((slopes[0] - slopes[1]).abs().max() / slopes[0].abs().max()) <= 5 * TOLERANCE


def test_smooth_at_the_knots():
    table = tabulate(waves, 5.0)
    knots = table.start + torch.arange(1, table.intervals, dtype=torch.float64) / table.inverse_step
    for order in range(3):
        sides = []
        for shift in (-1e-9, 1e-9):
            r = (knots + shift).requires_grad_()
            value = table(r).sum()
            for _ in range(order):
                (slope,) = torch.autograd.grad(value, r, create_graph=True)
                value = slope.sum()
            sides.append((slope if order else table(r)).detach())
        assert float((sides[0] - sides[1]).abs().max()) < 1e-5


def test_refining_changes_nothing():
    table = tabulate(waves, 5.0)
    fine = table.refined(4 * table.intervals)
    r = torch.rand(1000, dtype=torch.float64) * 4.98 + 0.015
    other = type(table)(fine, table.start, table.stop)
    torch.testing.assert_close(other(r), table(r), rtol=0, atol=1e-12)


def test_single_precision_keeps_slopes():
    table = tabulate(waves, 5.0)
    r = torch.rand(1000, dtype=torch.float64) * 4.98 + 0.015
    slopes = []
    for values in (table, table.to(torch.float32)):
        x = r.to(values.coefficients.dtype).requires_grad_()
        slopes.append(torch.autograd.grad(values(x).sum(), x)[0].double())
    assert float((slopes[0] - slopes[1]).abs().max() / slopes[0].abs().max()) < 3e-6


def test_what_is_not_smooth_is_refused():
    with pytest.raises(CapabilityError, match="cannot be tabulated: with 8192 intervals the error is"):
        tabulate(lambda r: (r[:, None] - 2.345).abs() ** 0.5, 5.0)


def test_a_kink_becomes_a_knot():
    """A function whose second derivative jumps is tabulated as well as a smooth one, if it is said where."""
    cutoff = XPLORCutoff(5.0, 4.3)

    def damped(r):
        return waves(r) * cutoff(r)[:, None]

    with pytest.raises(CapabilityError, match="cannot be tabulated"):
        tabulate(damped, 5.0)
    table = tabulate(damped, 5.0, kink=4.3)
    assert table.intervals < 2048
    assert (4.3 - table.start) * table.inverse_step == pytest.approx(round((4.3 - table.start) * table.inverse_step))
    r = torch.linspace(table.start + 1e-3, 4.999, 3001, dtype=torch.float64)
    assert (damped(r) - table(r)).abs().max() <= TOLERANCE * damped(r).abs().max()


def test_narrow_takes_some_channels():
    table = tabulate(waves, 5.0)
    r = torch.linspace(0.5, 4.9, 50, dtype=torch.float64)
    assert torch.equal(table.narrow(2, 3)(r), table(r)[:, 2:5])
