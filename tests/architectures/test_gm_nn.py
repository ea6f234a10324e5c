"""GM-NN and its Gaussian moments: apax's numbers, identities of the contractions, battery and fits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import ELEMENTS, several_graphs, structure

from adiabat.architectures.local.gm_nn import GMNN, GMNNConfig
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.gaussian_moments import GaussianMomentsConfig
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery

APAX = json.loads((Path(__file__).parent / "gm_nn.json").read_text())  # apax 0.14.0 with the weights of `_waves`


def _waves(place, shape):
    """Weights that look random and need no file."""
    values = np.cos(0.7 * np.arange(1, np.prod(shape) + 1) ** 1.1 + place)
    return torch.from_numpy(values.reshape(shape))


def _model():
    model = GMNN(GMNNConfig(cutoff=3.5, radial=3, basis=4, hidden=(6, 5)), [1, 6, 8])
    with torch.no_grad():
        model.descriptor.coefficients.copy_(_waves(0, (9, 3, 4)))
        for k, (weight, bias) in enumerate(zip(model.head.network.weights, model.head.network.biases, strict=True)):
            weight.copy_(_waves(1 + k, weight.shape))
            bias.copy_(_waves(10 + k, bias.shape))
        model.head.scale.copy_(1.0 + 0.3 * torch.arange(3))
        model.head.shift.copy_(-0.5 * torch.arange(3) - 1.0)
    return model


@pytest.mark.parametrize("case", APAX, ids=("molecule", "small cell"))
def test_numbers_of_apax(case):
    model = _model()
    cell = {"cell": case["cell"], "pbc": True} if case["pbc"] else {}
    system = System.from_arrays(case["positions"], case["numbers"], **cell).to(dtype=torch.float64)
    graph = model.prepare(Graph.build(system, 3.5))
    features = model.descriptor(graph).detach().numpy()
    np.testing.assert_allclose(features @ np.cos(np.arange(features.shape[1])), case["features"], atol=1e-9)
    found = evaluate(model, graph)
    np.testing.assert_allclose(float(found.energy), case["energy"], atol=1e-9)
    np.testing.assert_allclose(found.forces.numpy(), case["forces"], atol=1e-9)


def test_published_size():
    descriptor = GaussianMomentsConfig().build([1])
    assert descriptor.size == 360
    assert GaussianMomentsConfig(contractions=4).build([1]).size == 5 + 3 * 15


def test_contractions_are_those_of_the_table():
    descriptor = GaussianMomentsConfig(cutoff=3.0, basis=3, radial=2).build(ELEMENTS)
    graph = several_graphs()[0]
    vectors = graph.vectors()
    zero, one, two, three = descriptor.moments(vectors, graph)
    two, three = two.unflatten(2, (3, 3)), three.unflatten(2, (3, 3, 3))
    torch.testing.assert_close(two.diagonal(dim1=2, dim2=3).sum(dim=2), zero, rtol=1e-3, atol=1e-6)  # |r̂| is 1
    found = descriptor.from_vectors(vectors, graph)
    expected = {
        2: torch.einsum("zri,zsi->zrs", one, one)[:, 0, 1:2],
        11: torch.einsum("zrij,zsik,ztjk->zrst", two, two, two)[:, 0, 0, :1],
        12: torch.einsum("zrij,zsik,ztjk->zrst", two, two, two)[:, 0, 1, 1:],
        15: torch.einsum("zri,zsj,ztij->zrst", one, one, two)[:, 0].flatten(1),
        21: torch.einsum("zrijk,zsijl,ztkl->zrst", three, three, two)[:, 0].flatten(1),
        27: torch.einsum("zrijk,zsij,ztk->zrst", three, two, one).flatten(1),
    }
    places = {2: 3, 11: 11, 12: 12, 15: 15, 21: 21, 27: 27}
    for name, wanted in expected.items():
        begin = places[name]
        torch.testing.assert_close(found[:, begin : begin + wanted.shape[1]], wanted)


def test_turning_and_mirroring_change_nothing():
    descriptor = GaussianMomentsConfig(cutoff=3.0, basis=3, radial=2).build(ELEMENTS)
    graph = several_graphs()[0]
    vectors = graph.vectors()
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    for one in (turn, -turn):
        torch.testing.assert_close(
            descriptor.from_vectors(vectors @ one, graph), descriptor.from_vectors(vectors, graph)
        )


def test_battery():
    report = run_battery(
        GMNN(GMNNConfig(cutoff=3.5, radial=3, hidden=(16,)), [1, 6, 8]), skip=("REF", "NVE", "RT", "FIT")
    )
    assert report.passed, report.text()


@pytest.mark.parametrize(
    "model",
    [
        {"method": "gm_nn", "cutoff": 3.5, "radial": 3, "hidden": [16, 16]},
        {
            "method": "local",
            "descriptor": {"kind": "gaussian_moments", "cutoff": 3.5, "radial": 1, "basis": 3},
            "regressor": {"kind": "linear"},
        },
    ],
    ids=lambda model: model["method"],
)
def test_fits_and_loads(tmp_path, model):
    from adiabat import load, train
    from adiabat.quickstart import shipped

    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":16"},
        "model": model,
        "fit": {"epochs": 6} if model["method"] == "gm_nn" else {"steps": 1},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    frame = result.prepared.parts["test"][0]
    again = load(tmp_path / "run" / "model.adiabat").predict(frame.to_ase())
    assert result.metrics["forces_mae"] < 1.0
    assert abs(again["energy"] - float(frame.labels["energy"])) < 1.0


@pytest.mark.parametrize("kind", ["gaussian_moments", "mtp", "soap_turbo"])
def test_single_precision_adapts_to_data(kind):
    graphs = several_graphs()
    torch.set_default_dtype(torch.float32)
    options = {"descriptor": {"kind": kind, "cutoff": 3.0}, "regressor": {"kind": "network", "hidden": [4]}}
    model = Local(LocalConfig.parse(options), ELEMENTS)
    model.adapt(graphs)
    assert torch.isfinite(model(model.prepare(graphs[0].to(dtype=torch.float32))).energy).all()


@pytest.mark.parametrize("options", [{"radial": 3}, {"radial": 2, "contractions": 5, "basis": 1}])
def test_kernel_gives_values_slopes_and_tangents(options):
    descriptor = GaussianMomentsConfig(cutoff=3.0, **options).build(ELEMENTS)
    assert descriptor.kernel().size == descriptor.size
    weights = torch.randn((2, descriptor.size))
    for graph in several_graphs():
        made = (descriptor.jacobian(graph), descriptor.weighted(graph, weights), descriptor.tangents(graph, weights))
        torch.testing.assert_close(made[0][0], descriptor(graph).detach(), rtol=1e-11, atol=1e-12)
        plain = (Descriptor.jacobian, Descriptor.weighted, Descriptor.tangents)
        wanted = [own(descriptor, graph, *[weights][: k > 0]) for k, own in enumerate(plain)]
        for found, expected in zip(made, wanted, strict=True):
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_frozen_is_the_same(dtype):
    model = _model().to(dtype)
    frozen, want = model.frozen(), ("energy", "forces", "stress")
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    system = structure(6, 4.0).replace(
        numbers=torch.tensor([model.elements[k % len(model.elements)] for k in range(6)])
    )
    graph = Graph.build(system, model.cutoff).to(dtype=dtype)
    exact, found = evaluate(model, graph, want), evaluate(frozen, frozen.prepare(graph), want)
    for name in want:
        ours, theirs = getattr(found, name), getattr(exact, name)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


def test_refuses_an_empty_range():
    with pytest.raises(ConfigError, match="must be smaller than the cutoff"):
        GaussianMomentsConfig(inner=4.0, cutoff=3.0).build([1])
