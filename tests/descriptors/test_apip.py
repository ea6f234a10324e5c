"""Permutationally invariant polynomials: clusters one by one, the cluster expansion's span, slopes, and fits."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from descriptor_checks import turning_changes_nothing
from lennard_jones import labeled, linear_error, loss_left
from small_models import ELEMENTS, loosened, several_graphs

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.descriptors.ace import ACEDescriptorConfig
from adiabat.descriptors.apip import APIPConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery


def small(**options):
    return APIPConfig.parse({"cutoff": 3.0, "degrees": (3, 2, 2)} | options)


def environments(count, neighbors=5, seed=0):
    random, systems = np.random.default_rng(seed), []
    for _ in range(count):
        positions = random.normal(size=(neighbors + 1, 3))
        positions *= random.uniform(0.9, 2.9, size=(neighbors + 1, 1)) / np.linalg.norm(positions, axis=1)[:, None]
        positions[0] = 0.0
        systems.append(System.from_arrays(positions, [8] * (neighbors + 1), dtype=torch.float64))
    return Graph.build(System.batch(systems), 3.0), torch.arange(count) * (neighbors + 1)


def unexplained(wanted, known):
    """Largest share of a column that no linear combination of the known ones makes."""
    wanted, known = (part / part.norm(dim=0) for part in (wanted, known))
    u, s, _ = torch.linalg.svd(known, full_matrices=False)
    u = u[:, s > 1e-14 * s[0]]
    assert u.shape[1] < len(wanted) / 1.2, "too few environments to tell"
    return float((wanted - u @ (u.T @ wanted)).norm(dim=0).max())


@pytest.mark.parametrize(
    ("degrees", "n_max", "l_max", "inside"),
    [
        ((6, 6, 4), (6, 2, 1), (0, 2, 2), "ace"),
        ((3, 3), (6, 4), (0, 3), "apip"),
        ((2, 2, 1), (5, 3, 2), (0, 2, 1), "apip"),
    ],
)
def test_span_is_that_of_the_cluster_expansion(degrees, n_max, l_max, inside):
    """With the same radial functions, products of neighbors with themselves being polynomials of fewer bodies."""
    graph, centers = environments(300)
    bond = {"basis": "ChebPow", "decay": 1.0, "count": n_max[0]}
    ace = ACEDescriptorConfig.parse({"cutoff": 3.0, "n_max": n_max, "l_max": l_max, "bond": bond}).build([8]).double()
    ours = small(degrees=degrees, transform="linear", power=1, inner=0.5).build([8])
    rows = {"ace": ace(graph)[centers], "apip": ours(graph)[centers]}
    (other,) = rows.keys() - {inside}
    assert unexplained(rows[inside], rows[other]) < 1e-8
    fewer = rows[other][:, : rows[other].shape[1] // 2]
    assert unexplained(rows[inside], fewer) > 1e-3


@pytest.mark.parametrize("form", ["angles", "distances"])
def test_features_are_sums_over_clusters(form):
    """Symmetrized polynomials of every cluster, one by one, span the features' four bodies and back."""
    config = small(form=form, degrees=(0, 0, 2), transform="morse")
    descriptor, (graph, centers) = config.build([8]), environments(40)
    found = descriptor(graph)[centers][:, 2:]
    expected = []
    for powers in np.ndindex(*(3,) * 6):
        if sum(powers) <= 2 and powers == max(images(powers)):
            expected.append(powers)
    assert found.shape[1] == len(expected)
    rows = np.zeros((40, len(expected)))
    for k in range(40):
        points = graph.system.positions[6 * k + 1 : 6 * k + 6].numpy()
        for cluster in combinations(points, 3):
            r = torch.tensor(np.linalg.norm(cluster, axis=1))
            ends = np.prod((config.transformed(r) - config.transformed(torch.tensor(3.0))).numpy() ** 2)
            edges = [(cluster[i], cluster[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
            if form == "angles":
                sides = np.array([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in edges])
            else:
                sides = config.transformed(torch.tensor([np.linalg.norm(a - b) for a, b in edges])).numpy()
            values = np.concatenate((config.transformed(r).numpy(), sides))
            for column, powers in enumerate(expected):
                rows[k, column] += ends * sum(np.prod(values**p) for p in images(powers))
    assert unexplained(torch.from_numpy(rows), found) < 1e-9
    assert unexplained(found, torch.from_numpy(rows)) < 1e-9


def images(powers):
    """Powers of three distances and three sides under exchanges of three neighbors."""
    edges = {frozenset(e): k for k, e in enumerate(((0, 1), (0, 2), (1, 2)))}
    found = []
    for p in permutations(range(3)):
        sides = [powers[3 + edges[frozenset((p[i], p[j]))]] for i, j in ((0, 1), (0, 2), (1, 2))]
        found.append((*(powers[k] for k in p), *sides))
    return found


OPTIONS = [{}, {"form": "distances", "transform": "agnesi"}, {"cutoffs": (3.0, 2.5, 2.0), "transform": "morse"}]


@pytest.mark.parametrize("options", OPTIONS)
def test_turning_changes_nothing(options):
    descriptor = small(**options).build(ELEMENTS)
    for graph in several_graphs():
        turning_changes_nothing(descriptor, graph)
    if "cutoffs" not in options:  # else three of some elements are nowhere close enough
        assert float(descriptor(several_graphs()[0]).abs().amax(dim=0).min()) > 0.0


@pytest.mark.parametrize("options", OPTIONS)
def test_slopes_are_derivatives(options):
    descriptor, graph, step = small(**options).build(ELEMENTS), several_graphs()[1], 1e-5
    slopes = descriptor.jacobian(graph)[1]
    for pair, axis in ((0, 0), (5, 2), (11, 1)):
        shift = torch.zeros((graph.pairs.shape[1], 3))
        shift[pair, axis] = step
        ahead, behind = (descriptor.from_vectors(graph.vectors() + s * shift, graph) for s in (1, -1))
        numeric = (ahead - behind)[graph.centers[pair]] / (2.0 * step)
        torch.testing.assert_close(slopes[pair, :, axis], numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("transform", ["inverse", "morse", "agnesi", "linear"])
def test_neighbors_come_and_go_smoothly(transform):
    descriptor, rows = small(transform=transform, cutoffs=(3.0, 2.6, 2.6)).build([8]), []
    for stop in (3.0, 2.6):
        rows = []
        for r in (stop - 2e-4, stop - 1e-4, stop + 1e-4):
            places = [[0, 0, 0], [r, 0, 0], [0, 1.5, 0], [0, 0, 1.2]]
            system = System.from_arrays(places, [8] * 4, dtype=torch.float64)
            own = descriptor(Graph.build(system, 3.0))[0]
            rows.append(own if stop == 3.0 else own[4:])
        near, nearer = ((rows[k] - rows[2]).abs().max() for k in (1, 0))
        assert float(near) < 1e-6
        assert float(nearer / near) == pytest.approx(4.0, rel=0.05)


def test_elements_are_told_apart():
    places = [[0, 0, 0], [1.0, 0, 0], [0, 1.3, 0], [0, 0, 1.6]]
    descriptor, rows = small().build(ELEMENTS), []
    for numbers in ([8, 1, 1, 8], [8, 1, 8, 1], [8, 8, 1, 1]):
        rows.append(descriptor(Graph.build(System.from_arrays(places, numbers, dtype=torch.float64), 3.0))[0])
    for one, other in combinations(rows, 2):
        assert float((one - other).abs().max()) > 1e-2
    order = [0, 3, 1, 2]
    same = System.from_arrays([places[k] for k in order], [[8, 1, 8, 1][k] for k in order], dtype=torch.float64)
    torch.testing.assert_close(descriptor(Graph.build(same, 3.0))[0], rows[1], rtol=1e-10, atol=1e-12)


def test_linear_fit():
    config = {"descriptor": small(degrees=(8, 2)).model_dump(), "regressor": {"kind": "linear"}}
    assert linear_error(Local(LocalConfig.parse(config), ELEMENTS), labeled(12)) < 0.05


def test_network_fit():
    config = {"descriptor": small().model_dump(), "regressor": {"kind": "network"}}
    assert loss_left(Local(LocalConfig.parse(config), ELEMENTS), labeled(8)) < 0.2


def test_battery():
    config = LocalConfig.parse({"descriptor": small(degrees=(2, 1, 1)).model_dump()})
    report = run_battery(loosened(Local(config, [1, 6, 8])), skip=("FIT", "REF", "NVE", "RT"))
    assert report.passed, report


def test_refuses_options_that_do_not_fit():
    for wrong, words in (
        ({"degrees": (1, 1, 1, 1)}, "one to three"),
        ({"cutoffs": (3.0,)}, "as many numbers"),
        ({"inner": 3.5}, "smaller than"),
    ):
        with pytest.raises(ConfigError, match=words):
            small(**wrong).build([8])
