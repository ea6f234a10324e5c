"""soap_turbo: QUIP's numbers, values and derivatives, its kernels, regressors on it, and it as a term of GAP."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from small_models import ELEMENTS, loosened, several_graphs

from adiabat.architectures.local.gap import GAP, GAPConfig
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.density_radial import TOLERANCE
from adiabat.descriptors.separable_radial import _overlaps
from adiabat.descriptors.soap_turbo import SOAPTurboConfig
from adiabat.elements import symbol
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.density_power import NAME
from adiabat.potential import Referenced
from adiabat.pretrained.importers.quip import read_gap, write_gap
from adiabat.pretrained.importers.quip_words import AS_QUIP, descriptor_options
from adiabat.pretrained.importers.soap import pulls
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

STORED = json.loads((Path(__file__).parent / "soap_turbo.json").read_text())
OWN = {"n_max": {"H": 2, "O": 3}, "sigma_r": {"H": 0.3, "O": 0.4}, "sigma_r_scaling": 0.1, "sigma_t_scaling": 0.05}
OPTIONS = [{}, {"compression": "off", **OWN}, {"basis": "poly3", "radial_enhancement": 2}, {"compression": "1_2"}]


def small(**options):
    return SOAPTurboConfig.parse({"cutoff": 3.0, "n_max": 3, "l_max": 2} | options)


def test_parity(shared):
    report = parity(Kit(shared / "golden" / "quippy-soap-turbo"))
    assert report.status == "equal", report
    assert report.worst < 5e-8
    assert "0/grad_data" in {row.quantity for row in report.deviations}


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: " ".join(case["words"].split()[-5:]))
def test_values_and_slopes_of_quip(case):
    options = descriptor_options(case["words"], "the file")
    descriptor = options.soap.build(ELEMENTS)
    numbers = [{"H": 1, "O": 8}[s] for s in STORED["symbols"]]
    graph = Graph.build(System.from_arrays(STORED["positions"], numbers).to(dtype=torch.float64), descriptor.cutoff)
    center = np.array(numbers) == options.center
    expected, values = np.array(case["values"]), descriptor.values(graph).numpy()[center]
    np.testing.assert_allclose(values, expected, rtol=0, atol=6e-10)
    slopes = pulls(descriptor, graph).numpy()[center].sum(axis=0) @ np.cos(np.arange(descriptor.size))
    # the program's own slopes are not those of its values, by 10⁻⁷ with nf=3 and 10⁻⁴ with nf=2
    np.testing.assert_allclose(
        slopes, np.array(case["pulls"]), rtol=0, atol=1e-9 if "nf=2" in case["words"] else 1e-7
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_invariant_and_smooth(options):
    descriptor = small(**options).build(ELEMENTS)
    assert descriptor.expansion.error <= TOLERANCE
    graph = several_graphs()[0]
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    vectors = graph.vectors()
    found = descriptor.from_vectors(vectors @ turn, graph)
    torch.testing.assert_close(found, descriptor.from_vectors(vectors, graph), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))
    places = torch.tensor([2.999, 3.0, 3.001])
    ends = descriptor.expansion.table(places, torch.zeros(3, dtype=torch.int64))
    inside = float(descriptor.expansion.table(torch.tensor([1.5])).abs().max())
    assert float(ends[0].abs().max()) < 1e-5 * inside
    assert float(ends[1:].abs().max()) < 1e-9 * inside


@pytest.mark.parametrize("distance", [2.1, 3.0, 3.4])
def test_integrals_over_the_shell(distance):
    """Whole ones are those of a fine quadrature, and what `ending` false leaves out is of the size documented."""
    density = small(filter=3.0, width=0.6, cutoff=3.5, basis="poly3", sigma_r=0.3, sigma_r_scaling=0.1).density(1)
    r, sigma = np.array([distance / 3.5]), np.array([0.3 / 3.5 + 0.1 * distance / 3.5])
    whole, without = (_overlaps(r, sigma, replace(density, ending=e), True)[0] for e in (True, False))
    soft = 1.0 - 0.6 / 3.5

    def integrand(x, n):
        filtered = np.exp(-0.5 * (3.0 * max(x - soft, 0.0) / (1.0 - soft)) ** 2)
        return np.sqrt(2 * n + 5) * (1 - x) ** (n + 2) * np.exp(-0.5 * ((x - r[0]) / sigma[0]) ** 2) * filtered

    for n in (1, 2, 3):
        parts = (quad(integrand, *ends, args=(n,), epsabs=1e-13)[0] for ends in ((0.0, soft), (soft, 1.0)))
        assert whole[n - 1] == pytest.approx(sum(parts), abs=1e-12)
    assert 1e-10 < np.abs(whole - without).max() < 4e-6


@pytest.mark.parametrize("scaling", [0.0, 0.1])
def test_skipped_tails_are_small(scaling):
    graph = several_graphs()[0]
    options = {"sigma_r": 0.3, "sigma_r_scaling": scaling}
    whole, without = (small(skip=skip, **options).build(ELEMENTS)(graph) for skip in (None, 4.0))
    assert 0.0 < float((whole - without).abs().max()) < 1e-5


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_equal_torch(options, dtype):
    descriptor, frozen = (small(**options).build(ELEMENTS).to(dtype) for _ in range(2))
    frozen.freeze()
    room = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 2e-4}
    for graph in several_graphs():
        graph = graph.to(dtype=dtype)
        values, slopes = descriptor.jacobian(graph)
        expected, by_autograd = Descriptor.jacobian(descriptor, graph)
        size = float(by_autograd.abs().max()) if by_autograd.numel() else 1.0
        torch.testing.assert_close(values, expected, **room)
        torch.testing.assert_close(slopes / size, by_autograd / size, **room)
        torch.testing.assert_close(frozen(graph), expected, **room)


@pytest.mark.parametrize("regressor", ["linear", "network"])
def test_fits_and_loads(tmp_path, regressor):
    from adiabat import load, train
    from adiabat.quickstart import shipped

    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":30"},
        "model": {
            "method": "local",
            "descriptor": {"kind": "soap_turbo", "cutoff": 3.5, "n_max": 3, "l_max": 2},
            "regressor": {"kind": regressor},
        },
        "fit": {"epochs": 30} if regressor == "network" else {},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    frame = result.prepared.parts["test"][0]
    again = load(tmp_path / "run" / "model.adiabat").predict(frame.to_ase())
    assert result.metrics["forces_mae"] < 0.8
    assert abs(again["energy"] - float(frame.labels["energy"])) < 1.0


def test_a_gap_of_it_is_written_and_read(tmp_path):
    terms = [
        {"kind": "distance_2b", "cutoff": 3.0, "points": 4},
        {"kind": "soap_turbo", "soap": {"cutoff": 3.0, "l_max": 2, **AS_QUIP, **OWN}, "points": 4},
    ]
    model = GAP(GAPConfig.parse({"terms": terms}), ELEMENTS)
    graph = several_graphs()[0]
    model.adapt([graph])
    potential = Referenced(loosened(model), {1: -1.0, 8: -2.0}, scale=0.5)
    write_gap(potential, tmp_path / "gap.xml")
    one, two = evaluate(potential, graph), evaluate(read_gap(tmp_path / "gap.xml"), graph)
    assert torch.allclose(one.energy, two.energy, rtol=1e-12)
    assert torch.allclose(one.forces, two.forces, atol=1e-12)


def test_refuses_what_does_not_go_together():
    for options, words in (
        ({"n_max": 12}, "can have 1 to 11"),
        ({"n_max": 11, "basis": "poly3"}, "can have 1 to 10"),
        ({"n_max": {"H": 2, "O": 3}, "compression": "1_1"}, "needs the same n_max"),
        ({"sigma_r": {"H": 0.3}}, f"no value for {symbol(8)}"),
        ({"sigma_t_scaling": -0.2}, "must stay positive"),
        ({"amplitude_scaling": -1.0}, "must not be negative"),
        ({"width": 3.0}, "smaller than the cutoff"),
    ):
        with pytest.raises(ConfigError, match=words):
            small(**options).build(ELEMENTS)
    with pytest.raises(CapabilityError, match="compress_file"):
        descriptor_options("soap_turbo species_Z={1} compress_file=a.dat", "the file")
