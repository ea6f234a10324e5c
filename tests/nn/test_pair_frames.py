"""Rotations into the frames of pairs, what acts there, and products on the sphere and on the rotations."""

import numpy as np
import pytest
import torch
from torch import nn

from adiabat.geometry import Graph, System
from adiabat.nn.degree_mixing import DegreeMixing
from adiabat.nn.degrees import DegreeGate, DegreeLinear, DegreeNorm
from adiabat.nn.grid_product import GridOptions, GridProduct
from adiabat.nn.rotation_grid import RotationGrid
from adiabat.nn.so2 import FrameBuilder, SO2Linear, orders
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.nn.wigner import WignerRows, order_scale, pair_frames


def _axes():
    return torch.cat((torch.eye(3), -torch.eye(3)))


def _directions(count=7):
    random = torch.randn(count, 3)
    return torch.cat((_axes(), random / random.norm(dim=1, keepdim=True)))


def _full(l_max, frames):
    """Wigner's matrices of all degrees as one `[n, (l_max+1)², (l_max+1)²]`."""
    return torch.stack([torch.block_diag(*blocks) for blocks in zip(*WignerRows(l_max, l_max)(frames), strict=True)])


def test_frames_have_their_polar_axis_along_the_pair():
    u = _directions()
    frames = pair_frames(u)
    polar = torch.tensor([0.0, 1.0, 0.0]).expand_as(u)
    torch.testing.assert_close((frames @ u[:, :, None])[:, :, 0], polar, rtol=0.0, atol=1e-14)
    torch.testing.assert_close(frames @ frames.transpose(1, 2), torch.eye(3).expand_as(frames), rtol=0.0, atol=1e-14)
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(len(u)), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("l_max", [1, 2, 6])
def test_wigner_matrices_turn_spherical_harmonics(l_max):
    """Y(R r) = D(R) Y(r), by harmonics that know nothing of D."""
    frames, harmonics = pair_frames(_directions()), SphericalHarmonics(l_max)
    r = torch.randn(len(frames), 3)
    turned = (frames @ r[:, :, None])[:, :, 0]
    found = (_full(l_max, frames) @ harmonics(r)[:, :, None])[:, :, 0]
    torch.testing.assert_close(found, harmonics(turned), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(("l_max", "m_max"), [(6, 2), (4, 0), (3, 3), (1, 0)])
def test_rows_are_those_of_the_whole_matrix(l_max, m_max):
    frames = pair_frames(_directions())
    for l, rows in enumerate(WignerRows(l_max, m_max)(frames)):
        whole, kept = WignerRows(l_max, l_max)(frames)[l], min(l, m_max)
        torch.testing.assert_close(rows, whole[:, l - kept : l + kept + 1], rtol=0.0, atol=1e-12)


def test_slopes_are_those_of_finite_differences_along_the_axes_too():
    def squares(vectors):
        rows = WignerRows(3, 1)(pair_frames(vectors / vectors.norm(dim=1, keepdim=True)))
        # turns about the pair do not change these sums over m = ±1
        return torch.cat([(part.square().sum(dim=1) * torch.arange(1.0, part.shape[2] + 1)) for part in rows], dim=1)

    assert torch.autograd.gradcheck(squares, ((1.3 * _axes()).requires_grad_(),), atol=1e-8)
    assert torch.autograd.gradgradcheck(squares, ((1.3 * _axes()[1:4:2]).requires_grad_(),), atol=1e-6)


def test_there_and_back_is_the_identity_with_all_orders():
    system = System.from_arrays(np.eye(3) * 1.2, [1, 1, 8])
    graph = Graph.build(system, 2.0)
    u = graph.vectors()
    frames = FrameBuilder(2, 2)(u / u.norm(dim=1, keepdim=True), graph)
    x = torch.randn(3, 9, 4)
    expected = graph.sum_over_neighbors(graph.of_neighbors(x))
    torch.testing.assert_close(frames.sum(frames.of_neighbors(x)), expected, rtol=0.0, atol=1e-13)
    zonal = graph.sum_over_neighbors(SphericalHarmonics(2, "norm")(u)[:, :, None])
    torch.testing.assert_close(frames.sum_of_axes(torch.ones(len(u), 3, 1)), zonal, rtol=0.0, atol=1e-13)


def _turned(y, l_max, m_max, angle):
    """Features in a frame after a turn about the pair."""
    turned = y.clone()
    place = {key: k for k, key in enumerate(orders(l_max, m_max))}
    for (l, m), k in place.items():
        if m > 0:
            cosine, sine = np.cos(m * angle), np.sin(m * angle)
            turned[:, k] = cosine * y[:, k] + sine * y[:, place[l, -m]]
            turned[:, place[l, -m]] = cosine * y[:, place[l, -m]] - sine * y[:, k]
    return turned


class _Mixing(nn.Module):
    def __init__(self, mixing, rank):
        super().__init__()
        self.inner, self.radial = DegreeMixing(3, 2, 4, mixing, rank), torch.randn(5, 4, 4)

    def forward(self, y):
        return self.inner(y, self.radial)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: SO2Linear(3, 2, 4, 4),
        lambda: DegreeGate([l for l, _ in orders(3, 2)], 4),
        lambda: _Mixing("none", 1),
        lambda: _Mixing("degree", 1),
        lambda: _Mixing("channel", 2),
        lambda: _Mixing("channel", 0),
    ],
)
def test_layers_in_the_frame_do_not_notice_a_turn_about_the_pair(layer):
    layer, y = layer(), torch.randn(5, len(orders(3, 2)), 4)
    found = layer(_turned(y, 3, 2, 0.7))
    torch.testing.assert_close(found, _turned(layer(y), 3, 2, 0.7), rtol=0.0, atol=1e-13)
    assert float((found - layer(y)).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("layer", [lambda: DegreeLinear(3, 4, 4), lambda: DegreeNorm(3, 4)])
def test_layers_of_degrees_are_equivariant(layer):
    layer, x, matrix = layer(), torch.randn(5, 16, 4), _full(3, pair_frames(_directions())[-1:])[0]
    torch.testing.assert_close(layer(matrix @ x), matrix @ layer(x), rtol=0.0, atol=1e-12)


def test_norm_gives_all_degrees_together_unit_size():
    x = 7.0 * torch.randn(5, 16, 4)
    found = DegreeNorm(3, 4)(x)
    mean = torch.stack([part.square().mean(dim=(1, 2)) for part in found.split((1, 3, 5, 7), dim=1)]).mean(dim=0)
    torch.testing.assert_close(mean, torch.ones(5), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("product", ["plain", "network", "branches"])
@pytest.mark.parametrize(("domain", "k_max"), [("sphere", 0), ("rotations", 1), ("rotations", 2)])
def test_products_of_functions_are_equivariant(domain, k_max, product):
    options = GridOptions.parse({"domain": domain, "k_max": k_max, "product": product, "branches": 2})
    layer, matrix = GridProduct(2, 3, options, joined=True), _full(2, pair_frames(_directions())[-1:])[0]
    matrix = torch.kron(matrix, torch.eye(options.frames))
    f, g = torch.randn(2, 4, 9 * options.frames, 3)
    turned = layer(matrix @ f, matrix @ g, f[:, 0], g[:, 0])
    torch.testing.assert_close(turned, matrix @ layer(f, g, f[:, 0], g[:, 0]), rtol=0.0, atol=1e-12)


def test_values_are_those_of_the_function_and_lead_back():
    grid, x = RotationGrid(3), torch.randn(2, 16, 3)
    torch.testing.assert_close(grid.coefficients(grid(x)), x, rtol=0.0, atol=1e-13)
    ones = torch.zeros(1, 16, 1)
    ones[:, 0] = 1.0
    torch.testing.assert_close(grid(ones), torch.ones(1, 1, grid.values.shape[0]), rtol=0.0, atol=1e-14)
    # Y_1 · Y_1 with Σ Y² = 1: a third of it is the scalar's part
    vector = torch.zeros(1, 16, 1)
    vector[:, 2] = 1.0
    square = grid.coefficients(grid(vector).square())
    assert float(square[0, 0, 0]) == pytest.approx(1 / 3, abs=1e-14)
    assert float(square[0, 6, 0]) == pytest.approx(2 / 3, abs=1e-14)


def test_scale_makes_up_for_orders_left_out():
    assert order_scale(2, 1).tolist() == pytest.approx([1.0] * 4 + [(5 / 3) ** 0.5] * 5)
