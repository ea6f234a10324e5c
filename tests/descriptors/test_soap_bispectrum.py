"""Bispectrum of SOAP's density: invariant, and it knows what the power spectrum does not."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import ELEMENTS, several_graphs

from adiabat.descriptors.soap import SOAPConfig
from adiabat.descriptors.soap_bispectrum import SOAPBispectrumConfig
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available

EXAMPLE = Path(__file__).parents[2] / "examples" / "degenerate_environments.py"


def small(**options):
    return SOAPBispectrumConfig.parse({"cutoff": 3.0, "n_max": 2, "l_max": 3} | options)


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_turning_changes_nothing(mirror):
    descriptor = small(convention="featomic").build(ELEMENTS)
    graph = several_graphs()[0]
    turn = mirror * torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    vectors = graph.vectors()
    found = descriptor.from_vectors(vectors @ turn, graph)
    assert found.shape[1] == descriptor.size
    torch.testing.assert_close(found, descriptor.from_vectors(vectors, graph), rtol=1e-9, atol=1e-10)
    # nothing is zero for a reason of symmetry
    assert float(found.abs().amax(dim=0).min()) > 1e-6 * float(found.abs().max())


def test_degree_zero_is_the_cube_of_the_coefficient():
    descriptor = small(l_max=0, n_max=1, compression="mu2").build(ELEMENTS)
    graph = several_graphs()[0]
    found = descriptor.expansion.from_vectors(graph.vectors(), graph)[:, 0, 0]
    torch.testing.assert_close(descriptor(graph), found**3)


def test_each_product_is_there_once():
    descriptor = small(l_max=2, n_max=1, convention="featomic").build(ELEMENTS)
    found = descriptor(several_graphs()[1])
    rows = (found / found.abs().amax(dim=0)).T
    same = torch.cdist(rows, rows) + torch.eye(len(rows))
    assert float(same.min()) > 1e-6


def test_knows_twins_that_the_power_spectrum_does_not():
    one, other = runpy.run_path(str(EXAMPLE))["twins"]()
    rows = {"soap": [], "bispectrum": []}
    for points in (one, other):
        positions = np.vstack([np.zeros(3), points])
        for name, config in (("soap", SOAPConfig), ("bispectrum", SOAPBispectrumConfig)):
            made = config(cutoff=4.0, n_max=4, l_max=4)
            graph = Graph.build(System.from_arrays(positions, [6] + [1] * len(points)), 4.0)
            rows[name].append(made.build([1, 6])(graph.to(dtype=torch.float64))[0])
    differences = {k: float((a - b).abs().max() / a.abs().max()) for k, (a, b) in rows.items()}
    assert differences["soap"] < 1e-6
    assert differences["bispectrum"] > 1e-3


@pytest.mark.skipif(available("density_power") is not None, reason="no compiled kernels")
def test_frozen_equals_torch():
    one, frozen = small().build(ELEMENTS), small().build(ELEMENTS)
    frozen.freeze()
    for graph in several_graphs():
        torch.testing.assert_close(frozen(graph), one(graph), rtol=1e-10, atol=1e-14)
