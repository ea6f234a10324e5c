"""FCHL19 and its kernel: qmllib's numbers, and slopes."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from small_models import several_graphs

from adiabat.descriptors.fchl19 import FCHL19Config
from adiabat.elements import number
from adiabat.geometry import Graph, System
from adiabat.nn.gaussian_process import KernelOptions, kernel

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
KIT = GOLDEN / "qml-fchl19"
needs_kit = pytest.mark.skipif(not KIT.exists(), reason="the golden kits are not here")
NAMES = {
    "nRs2": "radial",
    "nRs3": "angular",
    "nFourier": "order",
    "eta2": "radial_width",
    "eta3": "angular_width",
    "zeta": "smearing",
    "rcut": "cutoff",
    "acut": "angular_cutoff",
    "two_body_decay": "radial_decay",
    "three_body_decay": "angular_decay",
    "three_body_weight": "angular_weight",
}


def descriptor(variant, elements):
    options = json.loads((KIT / "meta.json").read_text())["hyperparameters"][variant]
    return FCHL19Config.parse({NAMES[name]: value for name, value in options.items()}).build(elements)


def structures():
    return {a.info.get("name") or a.info.get("case"): a for a in ase.io.read(GOLDEN / "structures.extxyz", ":")}


@needs_kit
def test_values_are_qmllibs():
    expected, atoms, checked = np.load(KIT / "outputs.npz"), structures(), 0
    elements = [1, 6, 7, 8, 11, 17]
    for name, one in atoms.items():
        for variant in ("default", "alt"):
            if f"{name}/{variant}" not in expected:
                continue
            made = descriptor(variant, elements)
            found = made(Graph.build(System.from_ase(one), made.cutoff))
            reference = expected[f"{name}/{variant}"]
            assert np.abs(found.numpy() - reference).max() < 1e-8 * max(np.abs(reference).max(), 1.0)
            checked += 1
    assert checked == 10


@needs_kit
def test_slopes_are_qmllibs():
    expected = np.load(KIT / "outputs.npz")
    one = structures()["ethanol"]
    made = descriptor("default", sorted(set(one.numbers)))
    graph = Graph.build(System.from_ase(one), made.cutoff)
    values, slopes = made.jacobian(graph)
    gradient = torch.zeros((len(one), values.shape[1], len(one), 3))
    for p, (i, j) in enumerate(graph.pairs.T.tolist()):
        gradient[i, :, j] += slopes[p]
        gradient[i, :, i] -= slopes[p]
    assert np.abs(values.numpy() - expected["ethanol/grad_representation"]).max() < 1e-8
    reference = expected["ethanol/grad"]
    assert np.abs(gradient.numpy() - reference).max() < 1e-8 * np.abs(reference).max()


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
