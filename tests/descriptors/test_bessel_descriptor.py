"""Spherical Bessel descriptors: the authors' numbers, the formula of the paper, slopes, and fits."""

import numpy as np
import pytest
import torch
from descriptor_checks import slopes_are_numeric, turning_changes_nothing
from lennard_jones import labeled, linear_error, loss_left
from scipy.special import eval_legendre, spherical_jn
from small_models import ELEMENTS, loosened, several_graphs

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.spherical_bessel import SphericalBesselConfig, bessel_table
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.density_power import NAME
from adiabat.nn.spherical_bessel import bessel_combinations, spherical_bessel_roots
from adiabat.testing.battery import run_battery

# the example of the authors' program, sb_desc, run once in double precision: n_max 4 and all weights 1; n_max 6 and
# weights 1, −1, 1/2, 1 (first and last features)
POINTS = np.array(
    [
        [1.3681827, -1.3103517, -1.3131874],
        [-1.5151760, 1.3360077, -1.3477119],
        [-1.3989598, -1.2973683, 1.3679189],
        [1.2279369, 1.3400378, 1.4797429],
    ]
)
PLAIN = [3.1870676944419751e-02, 1.3807862002569765e-01, 4.1602290432027247e-04, 9.9813859640894745e-02]
PLAIN += [5.1411957334739793e-04, 2.6414915449825107e-03, 5.7991794764676715e-04, 2.3114765393578967e-03]
PLAIN += [1.0986254531024891e-03, 6.5483702989795256e-01, 1.0603454730226874e-01, 3.4557005889429915e-03]
PLAIN += [5.2392115459105274e-03, 3.6776483360025103e-01, 4.8394458839554000e-01]
WEIGHTED = {0: 0.0062775385455823, 1: 0.023471623206831, 9: 0.2266606429647427, 26: 0.0516417380047763}
WEIGHTED |= {27: 0.6121056812770871}
OPTIONS = [{}, {"densities": "elements"}, {"weights": {"H": 0.3, "O": -2.0}}]


def small(**options):
    return SphericalBesselConfig.parse({"cutoff": 3.0, "n_max": 3} | options)


def features(numbers, elements, **options):
    positions = np.vstack([np.zeros(3), POINTS])
    system = System.from_arrays(positions, [6, *numbers], dtype=torch.float64)
    config = SphericalBesselConfig.parse({"cutoff": 3.7711, **options})
    graph = Graph.build(system, 3.7711)
    return config.build(elements)(graph.replace(system=system))[0].numpy()


def test_numbers_of_the_authors():
    assert np.allclose(features([6] * 4, [6], n_max=4), PLAIN, rtol=0.0, atol=1e-8)
    elements = [1, 6, 7, 8]
    weights = {"H": 1.0, "N": -1.0, "O": 0.5, "C": 1.0}
    found = features([1, 7, 8, 6], elements, n_max=6, weights=weights)
    assert len(found) == 2 * 28
    for place, value in WEIGHTED.items():
        assert found[28 + place] == pytest.approx(value, abs=1e-8)
    assert np.allclose(found[:15], PLAIN, rtol=0.0, atol=1e-8)


def test_legendre_form_of_the_paper():
    cutoff, n_max, numbers = 3.7711, 3, [1, 8, 8, 1]
    found = features(numbers, [1, 6, 8], n_max=n_max, densities="elements")
    lengths = np.linalg.norm(POINTS, axis=1)
    cosines = POINTS @ POINTS.T / np.outer(lengths, lengths)
    expected, kinds = [], np.array(numbers)
    for a, b in [(1, 1), (1, 6), (1, 8), (6, 6), (6, 8), (8, 8)]:
        for n in range(n_max + 1):
            for l in range(n + 1):
                roots = spherical_bessel_roots(l + 1, n_max - l + 2)[l]
                g = spherical_jn(l, lengths[:, None] * roots / cutoff) @ bessel_combinations(l, n_max - l + 1, cutoff)
                sides = [g[:, n - l] * (kinds == z) for z in (a, b)]
                expected.append((2 * l + 1) / (4 * np.pi) * sides[0] @ eval_legendre(l, cosines) @ sides[1])
    assert np.allclose(found, expected, atol=1e-9)


def test_functions_are_orthonormal_and_end_smoothly():
    x, weight = np.polynomial.legendre.leggauss(80)
    x, weight = 2.0 * (x + 1.0), 2.0 * weight
    for l in range(5):
        roots, mixing = spherical_bessel_roots(l + 1, 7)[l], bessel_combinations(l, 6, 4.0)
        g = spherical_jn(l, x[:, None] * roots / 4.0) @ mixing
        assert np.allclose((g * (weight * x**2)[:, None]).T @ g, np.eye(6), atol=1e-12)
        slopes = (spherical_jn(l, roots, derivative=True) * roots) @ mixing
        assert np.abs(slopes).max() < 1e-11
    table, step = bessel_table(4, 4.0), torch.tensor([1e-3, 2e-3])
    ends = table(4.0 - step).abs().amax(dim=1)
    assert float(ends[0]) < 1e-6
    assert float(ends[1] / ends[0]) == pytest.approx(8.0, rel=0.1)  # falls with the third power


@pytest.mark.parametrize("options", OPTIONS)
def test_turning_changes_nothing(options):
    descriptor = small(**options).build(ELEMENTS)
    for graph in several_graphs():
        turning_changes_nothing(descriptor, graph)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_slopes_are_derivatives(options, dtype):
    descriptor = small(**options).build(ELEMENTS).to(dtype)
    room = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    for graph in several_graphs():
        graph = graph.to(dtype=dtype)
        torch.testing.assert_close(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), **room)
    slopes_are_numeric(descriptor.to(torch.float64), several_graphs()[1])


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
def test_frozen_equals_model():
    model = Local(LocalConfig.parse({"descriptor": small().model_dump()}), ELEMENTS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    frozen = model.frozen()
    for graph in several_graphs():
        for name in ("energy", "forces"):
            one, other = (getattr(evaluate(m, m.prepare(graph), (name,)), name) for m in (model, frozen))
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("regressor", ["linear", "network"])
def test_learns_a_potential(regressor):
    config = {"descriptor": small(n_max=6).model_dump(), "regressor": {"kind": regressor}}
    model, data = Local(LocalConfig.parse(config), ELEMENTS), labeled(12)
    if regressor == "linear":
        assert linear_error(model, data) < 0.1
    else:
        assert loss_left(model, data, steps=30) < 0.2


def test_battery():
    model = Local(LocalConfig.parse({"descriptor": small().model_dump()}), [1, 6, 8])
    report = run_battery(loosened(model), skip=("FIT", "REF", "NVE", "RT"))
    assert report.passed, report


def test_refuses_weights_that_do_not_fit():
    with pytest.raises(ConfigError, match="none for O"):
        small(weights={"H": 1.0}).build(ELEMENTS)
    with pytest.raises(ConfigError, match="no effect on densities of elements"):
        small(densities="elements", weights={"H": 1.0}).build(ELEMENTS)
