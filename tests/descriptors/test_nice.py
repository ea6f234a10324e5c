"""NICE: all invariants of each order, contractions of training environments, slopes, and fits."""

import runpy
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
import torch
from descriptor_checks import slopes_are_numeric
from lennard_jones import labeled, linear_error, loss_left
from small_models import ELEMENTS, loosened, several_graphs

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.nice import NICEConfig
from adiabat.descriptors.soap import SOAPConfig
from adiabat.descriptors.soap_bispectrum import SOAPBispectrumConfig
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.density_power import NAME
from adiabat.nn.generalized_couplings import generalized_coupling, in_real_harmonics, independent, monomials
from adiabat.nn.product_terms import ProductTerms
from adiabat.testing.battery import run_battery

WHOLE = {"components": None, "invariants": None}


def small(**options):
    return NICEConfig.parse({"cutoff": 3.0, "n_max": 2, "l_max": 2} | options)


def environments(count, neighbors=6, elements=(1, 8), seed=0):
    """The first atom of each of many small clusters, and where they are in the graph."""
    random, systems = np.random.default_rng(seed), []
    for _ in range(count):
        positions = random.normal(size=(neighbors + 1, 3))
        positions *= random.uniform(0.7, 2.5, size=(neighbors + 1, 1)) / np.linalg.norm(positions, axis=1)[:, None]
        positions[0] = 0.0
        systems.append(System.from_arrays(positions, random.choice(elements, neighbors + 1), dtype=torch.float64))
    return Graph.build(System.batch(systems), 3.0), torch.arange(count) * (neighbors + 1)


def unexplained(wanted, known):
    """Largest share of a column that no linear combination of the known ones makes."""
    wanted, known = (part / part.norm(dim=0) for part in (wanted, known))
    u, s, _ = torch.linalg.svd(known, full_matrices=False)
    u = u[:, s > 1e-13 * s[0]]
    assert u.shape[1] < len(wanted) / 1.2, "too few environments to tell"
    return float((wanted - u @ (u.T @ wanted)).norm(dim=0).max())


def parts(descriptor, values):
    """Features of each order."""
    first = descriptor.size - sum(step.size for step in descriptor.steps)
    return values.split([first] + [step.size for step in descriptor.steps], dim=1)


@pytest.mark.parametrize("order", [2, 3])
def test_orders_are_the_spectra_of_the_density(order):
    options = {"cutoff": 3.0, "l_max": 2, "sigma": 0.5, "width": 0.5, "n_max": 2 if order == 2 else 1}
    elements = ELEMENTS if order == 2 else [8]
    graph, centers = environments(60 if order == 2 else 40, elements=elements)
    config = NICEConfig.parse(options | WHOLE | {"order": order})
    other = {2: SOAPConfig, 3: SOAPBispectrumConfig}[order].parse(options | {"convention": "featomic"})
    descriptor = config.build(elements)
    own = parts(descriptor, descriptor(graph)[centers])[order - 1]
    spectrum = other.build(elements)(graph)[centers]
    assert unexplained(spectrum, own) < 1e-10
    assert unexplained(own, spectrum) < 1e-10


def cluster_expansion(coefficients, l_max, order):
    """All invariants of the cluster expansion of one channel `[atoms, n_max, (l_max + 1)²]`."""
    channels, features = coefficients.shape[1], []
    slots = [(l, n) for l in range(l_max + 1) for n in range(channels)]
    for row in combinations_with_replacement(slots, order):
        degrees = tuple(l for l, _ in row)
        if sum(degrees) % 2 == 0:
            places = [range(n * (l_max + 1) ** 2 + l * l, n * (l_max + 1) ** 2 + (l + 1) ** 2) for l, n in row]
            for between in independent(degrees, [n for _, n in row]):
                features.append(monomials(in_real_harmonics(generalized_coupling(degrees, between)), places))
    terms = ProductTerms([f for f in features if f], coefficients.shape[1] * coefficients.shape[2])
    return terms.double()(coefficients.flatten(1))


@pytest.mark.parametrize(("order", "n_max"), [(2, 2), (3, 2), (4, 1)])
def test_orders_are_the_cluster_expansion(order, n_max):
    descriptor = small(n_max=n_max, order=order, **WHOLE).build([8])
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn((400, 1, n_max, 9), generator=generator)
    own = parts(descriptor, descriptor.invariants(coefficients))[order - 1]
    invariants = cluster_expansion(coefficients[:, 0], 2, order)
    assert unexplained(invariants, own) < 1e-10
    assert unexplained(own, invariants) < 1e-10
    if order == 4:  # what lambda_max leaves out is missed
        less = small(n_max=n_max, order=order, lambda_max=1, **WHOLE).build([8])
        assert unexplained(invariants, parts(less, less.invariants(coefficients))[3]) > 1e-3


@pytest.mark.parametrize("options", [{"order": 4, "components": 3, "invariants": 12}, {"order": 3, **WHOLE}])
def test_turning_changes_nothing(options):
    descriptor = small(**options).build(ELEMENTS)
    descriptor.adapt(several_graphs()[:2])
    for graph in several_graphs():
        for mirror in (1.0, -1.0):
            turn = mirror * torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
            found = descriptor.from_vectors(graph.vectors() @ turn, graph)
            torch.testing.assert_close(found, descriptor(graph), rtol=1e-9, atol=1e-10)


def test_contractions_keep_the_variance():
    graphs = several_graphs()[:2]
    whole = small(order=3, **WHOLE).build(ELEMENTS)
    kept = small(order=3, components=500, invariants=500).build(ELEMENTS)
    kept.adapt(graphs)
    expected, found = (parts(d, torch.cat([d(g) for g in graphs])) for d in (whole, kept))
    for one, other in zip(expected[1:], found[1:], strict=True):
        spread = [torch.linalg.svdvals(part - part.mean(dim=0))[:8] for part in (one, other)]
        torch.testing.assert_close(spread[0] / spread[0][0], spread[1] / spread[1][0], rtol=1e-6, atol=1e-9)
        assert float((other - other.mean(dim=0)).square().sum(dim=1).mean()) == pytest.approx(1.0)
        variances = other.var(dim=0)
        assert bool((variances[:8].diff() <= 1e-9).all())
    few = small(order=3, components=6, invariants=20, threshold=1e-3).build(ELEMENTS)
    few.adapt(graphs)
    last = parts(few, few(graphs[0]))[2]
    assert last.shape[1] == 20
    assert 0 < int((last.abs().amax(dim=0) == 0.0).sum()) < 20


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_slopes_are_derivatives(dtype):
    descriptor = small(order=3, components=3, invariants=10).build(ELEMENTS)
    descriptor.adapt(several_graphs()[:2])
    room = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-3}
    for graph in several_graphs():
        graph, made = graph.to(dtype=dtype), descriptor.to(dtype)
        torch.testing.assert_close(made.jacobian(graph), Descriptor.jacobian(made, graph), **room)
    slopes_are_numeric(descriptor.to(torch.float64), several_graphs()[1])


def test_neighbors_come_and_go_smoothly():
    descriptor, rows = small(order=4, components=4, invariants=10).build([8]), []
    for r in (3.0 - 2e-4, 3.0 - 1e-4, 3.0 + 1e-4):
        system = System.from_arrays([[0, 0, 0], [r, 0, 0], [0, 1.5, 0]], [8] * 3, dtype=torch.float64)
        rows.append(descriptor(Graph.build(system, 3.0))[0])
    near, nearer = ((rows[k] - rows[2]).abs().max() for k in (1, 0))
    assert float(near) < 1e-6
    assert float(nearer / near) == pytest.approx(4.0, rel=0.05)


def model(regressor="linear", **options):
    descriptor = small(**options).model_dump()
    return Local(LocalConfig.parse({"descriptor": descriptor, "regressor": {"kind": regressor}}), ELEMENTS)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
def test_frozen_equals_model():
    made = loosened(model(components=3, invariants=8))
    frozen = made.frozen()
    for graph in several_graphs():
        for name in ("energy", "forces"):
            one, other = (getattr(evaluate(m, m.prepare(graph), (name,)), name) for m in (made, frozen))
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_contractions_are_saved():
    made = loosened(model(components=3, invariants=8))
    made.adapt(several_graphs()[:2])
    again = model(components=3, invariants=8)
    again.load_arrays(made.state_dict())
    graph = several_graphs()[1]
    torch.testing.assert_close(evaluate(again, graph).energy, evaluate(made, graph).energy, rtol=0.0, atol=0.0)


def test_errors_fall_with_the_order():
    """With as many features for each, see the benchmark."""
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "methane_orders.py"))
    found = [error for error, _ in benchmark["errors"](500, 200, budget=100, orders=(1, 2, 3)).values()]
    assert found[1] < 0.6 * found[0]
    assert found[2] < 0.95 * found[1]


def test_linear_fit():
    data, made = labeled(10), model(n_max=6, sigma=0.3, components=2, invariants=20)
    made.adapt([Graph.build(data[k].system, 3.0) for k in range(len(data))])
    assert linear_error(made, data) < 0.1


def test_network_fit():
    assert loss_left(model("network", components=3, invariants=10), labeled(8)) < 0.2


def test_battery():
    descriptor = small(components=3, invariants=8).model_dump()
    made = loosened(Local(LocalConfig.parse({"descriptor": descriptor}), [1, 6, 8]))
    report = run_battery(made, skip=("FIT", "REF", "NVE", "RT"))
    assert report.passed, report
