"""SOAP against QUIP's, DScribe's and featomic's numbers, values and derivatives."""

import numpy as np
import pytest
import torch
from small_models import ELEMENTS, several_graphs

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.density_expansion import Weighting
from adiabat.descriptors.density_radial import TOLERANCE, radial_table
from adiabat.descriptors.soap import SOAPConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.density_power import NAME
from adiabat.pretrained.importers.quip_words import descriptor_options
from adiabat.pretrained.importers.soap import featomic_options, pulls
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

CONVENTIONS = [
    {"convention": "quip"},
    {"convention": "quip", "normalize": False, "center_everywhere": True},
    {"convention": "dscribe", "compression": "mu1nu1", "weighting": Weighting()},
    {"convention": "dscribe", "basis": "polynomial", "compression": "crossover"},
    {"convention": "featomic"},
]

FEATOMIC = 2e-7  # its own tables are made to 1e-8, and their slopes to a few 1e-6


def small(**options):
    return SOAPConfig.parse({"cutoff": 3.0, "n_max": 3, "l_max": 2} | options)


def graph_of(atoms, cutoff, periodic=False):
    """As QUIP does, with a cell periodic in all directions if it is in any."""
    atoms = atoms.copy()
    if periodic and atoms.pbc.any():
        atoms.pbc = True
    return Graph.build(System.from_ase(atoms, torch.float64), cutoff)


def averaged_derivatives(descriptor, graph):
    """`[moved atoms, 3, features]`."""

    def of_positions(positions):
        return descriptor.averaged(graph.replace(system=graph.system.replace(positions=positions)))[0]

    slopes = torch.autograd.functional.jacobian(of_positions, graph.system.positions, vectorize=True)
    return slopes.permute(1, 2, 0).numpy()


def summed(rows, centers, moved, atoms):
    """A program's derivatives `[rows, 3, features]` as ours."""
    out = np.zeros((atoms, atoms, *rows.shape[1:]))
    np.add.at(out, (centers, moved), rows)
    return out


def close(found, given, tolerance=1e-10):
    assert found.shape == given.shape
    size = np.abs(given).max(initial=0.0)
    assert np.abs(found - given).max(initial=0.0) <= tolerance * size + 1e-15


@pytest.mark.parametrize("name", ["quippy-soap", "quippy-soap-basic", "quippy-soap-average"])
def test_slopes_of_quip(shared, name):
    kit = Kit(shared / "golden" / name)
    given, structures = kit.outputs(), kit.structures()
    keys = [key.removesuffix("/spec") for key in given if key.endswith("/spec")]
    for key in keys:
        line = str(given[f"{key}/spec"]).replace("average=T", "")
        options = descriptor_options(line, "kit", several=name.endswith("average"))
        atoms = structures[key.split("/")[0]]
        descriptor = options.soap.build(atoms.numbers)
        graph = graph_of(atoms, descriptor.cutoff, periodic=True)
        if name.endswith("average"):
            if f"{key}/grad_data" in given:
                expected = summed(given[f"{key}/grad_data"], 0, given[f"{key}/grad_index_0based"][:, 1], len(atoms))
                close(averaged_derivatives(descriptor, graph), expected[0], 2e-9)
            continue
        rows = (atoms.numbers == options.center).nonzero()[0]
        slopes = given.get(f"{key}/grad_data")
        if slopes is None or not len(slopes):
            continue
        centers, moved = given[f"{key}/grad_index_0based"].T
        expected = summed(slopes, centers, moved, len(atoms))[rows]
        close(pulls(descriptor, graph).numpy()[rows], expected, 2e-9)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("quippy-soap", 1e-10),  # slopes of tables
        ("quippy-soap-basic", 2e-10),
        ("quippy-soap-average", 1e-11),
        ("quippy-distance-2b", 1e-14),
        ("quippy-angle-3b", 1e-14),
        ("quippy-coordination", 1e-14),
        ("dscribe-soap", 1e-7),  # the derivatives of its mu2 are finite differences
        ("featomic-soap", FEATOMIC),
        ("featomic-spherical-expansion", FEATOMIC),
    ],
)
def test_parity(shared, name, tolerance):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < tolerance
    if name.startswith("quippy-soap"):
        values = [d.relative for d in report.deviations if "grad" not in d.quantity]
        assert values
        assert max(values) < 1e-11


def test_slopes_of_featomic(shared):
    kit = Kit(shared / "golden" / "featomic-soap")
    given, structures = kit.outputs(), kit.structures()
    config = featomic_options(kit.meta["hyperparameters"]["soap_power_spectrum"])
    for key in [k.removesuffix("/grad_positions") for k in given if k.endswith("soap_power_spectrum/grad_positions")]:
        atoms = structures[key.split("/")[0]]
        descriptor = config.build(atoms.numbers)
        graph = graph_of(atoms, descriptor.cutoff)
        row, _, moved = given[f"{key}/grad_positions_samples"].T
        centers = given[f"{key}/grad_sample_rows"][row][:, 1]
        expected = summed(given[f"{key}/grad_positions"], centers, moved, len(atoms))
        close(pulls(descriptor, graph).numpy(), expected, 20 * FEATOMIC)


@pytest.mark.parametrize("options", CONVENTIONS)
def test_turning_changes_nothing(options):
    descriptor = small(**options).build(ELEMENTS)
    graph = several_graphs()[0]
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    vectors = graph.vectors()
    found = descriptor.from_vectors(vectors @ turn, graph)
    assert descriptor.size == found.shape[1]
    assert float(found.abs().max()) > 0.001
    torch.testing.assert_close(found, descriptor.from_vectors(vectors, graph), rtol=1e-9, atol=1e-10)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("options", CONVENTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_equal_torch(options, dtype):
    descriptor = small(**options).build(ELEMENTS).to(dtype)
    room = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    for graph in several_graphs():
        graph = graph.to(dtype=dtype)
        values, slopes = descriptor.jacobian(graph)
        expected, by_autograd = Descriptor.jacobian(descriptor, graph)
        size = float(by_autograd.abs().max()) if by_autograd.numel() else 1.0
        torch.testing.assert_close(values, expected, **room)
        torch.testing.assert_close(slopes / size, by_autograd / size, **room)
        torch.testing.assert_close(descriptor.values(graph), expected, **room)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("l_max", [0, 1, 5])
def test_frozen_gradients_equal_torch(l_max):
    config = small(l_max=l_max, compression="mu2", weighting=Weighting())
    descriptor, frozen = config.build(ELEMENTS), config.build(ELEMENTS)
    frozen.freeze()
    graph = several_graphs()[0]
    found = []
    for one in (descriptor, frozen):
        vectors = graph.vectors().requires_grad_()
        values = one.from_vectors(vectors, graph)
        weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
        found.append((values.detach(), torch.autograd.grad((values * weights).sum(), vectors)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("basis", ["gaussians", "gto", "polynomial", "powers"])
def test_tables_end_within_their_tolerance(basis):
    table = radial_table(basis, 5, 4, 0.3, 5.0, 5.5)
    assert table.error <= TOLERANCE


def test_refuses_what_does_not_go_together():
    with pytest.raises(ConfigError, match="basis 'gto' is not one of quip"):
        small(basis="gto").build(ELEMENTS)
    with pytest.raises(ConfigError, match="off or mu2"):
        small(compression="crossover").build(ELEMENTS)
    with pytest.raises(ConfigError, match="element_weights has no effect"):
        small(element_weights={"H": 2.0}).build(ELEMENTS)
    with pytest.raises(ConfigError, match="linearly dependent"):
        small(convention="dscribe", basis="polynomial", n_max=30).build(ELEMENTS)
