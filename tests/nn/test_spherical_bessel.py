"""Radial bases of spherical Bessel functions."""

import numpy as np
import torch
from scipy.integrate import trapezoid
from scipy.special import spherical_jn

from adiabat.nn.spherical_bessel import SmoothBesselBasis, SphericalBesselBasis, spherical_bessel_roots

CUTOFF = 4.3


def grid(points=20001):
    return torch.linspace(1e-6, CUTOFF, points)


def test_roots():
    roots = spherical_bessel_roots(5, 4)
    assert all(np.abs(spherical_jn(l, roots[l])).max() < 1e-14 for l in range(5))
    np.testing.assert_allclose(roots[0], np.arange(1, 5) * np.pi, rtol=1e-15)
    for l in range(5):  # none is missed: between two of them the function changes sign once
        values = spherical_jn(l, np.linspace(0.1, roots[l, -1] + 0.1, 5000))
        assert (np.diff(np.sign(values)) != 0).sum() == 4


def test_bessel_functions():
    basis = SphericalBesselBasis(4, 3, CUTOFF)
    r = torch.linspace(0.3, CUTOFF, 50)
    values = basis(r).reshape(50, 4, 3)
    for l, n in np.ndindex(4, 3):
        root = spherical_bessel_roots(4, 3)[l, n]
        exact = spherical_jn(l, root * r.numpy() / CUTOFF) * np.sqrt(2 / CUTOFF**3) / abs(spherical_jn(l + 1, root))
        np.testing.assert_allclose(values[:, l, n], exact, rtol=1e-9, atol=1e-12)
    assert float(basis(torch.tensor([CUTOFF, CUTOFF + 1.0])).abs().max()) < 1e-15


def test_both_are_orthonormal():
    r = grid()
    for values in (SphericalBesselBasis(3, 3, CUTOFF)(r[1:])[:, 3:6], SmoothBesselBasis(4, CUTOFF)(r[1:])):
        weighted = values[:, :, None] * values[:, None, :] * r[1:, None, None] ** 2
        overlap = trapezoid(weighted.numpy(), r[1:].numpy(), axis=0)
        np.testing.assert_allclose(overlap, np.eye(values.shape[1]), atol=1e-5)


def test_smooth_one_ends_with_two_vanishing_slopes():
    r = torch.tensor([CUTOFF], requires_grad=True)
    for value in SmoothBesselBasis(4, CUTOFF)(r)[0]:
        (slope,) = torch.autograd.grad(value, r, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, r, retain_graph=True)
        assert max(abs(float(x.detach())) for x in (value, slope, curvature)) < 1e-13


def test_double_precision_survives_a_change_of_type():
    basis = SphericalBesselBasis(3, 2, CUTOFF).float().double()
    torch.testing.assert_close(basis.frequencies, SphericalBesselBasis(3, 2, CUTOFF).frequencies, rtol=0, atol=0)
