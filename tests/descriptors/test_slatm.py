"""SLATM of atoms and of structures, and the bag of bonds: loops over atoms, slopes, qmllib's numbers."""

from itertools import combinations
from math import acos, cos, exp, pi, sqrt

import ase
import numpy as np
import pytest
import torch
from descriptor_checks import slopes_are_numeric, turning_changes_nothing
from small_models import ELEMENTS, several_graphs, structure

from adiabat.descriptors.bag_of_bonds import BagOfBondsConfig
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.slatm import ASLATMConfig, SLATMConfig
from adiabat.descriptors.structures import represent
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Kit
from adiabat.quickstart import shipped
from adiabat.testing.parity import parity
from adiabat.training import train

SPECTRA = {"step": 0.4, "width": 0.3, "angle_step": 0.5, "angle_width": 0.4}
WATER = ase.Atoms("HOH", [[0.9, 0, 0], [0, 0, 0], [0, 1.2, 0]])


def aslatm(**options):
    return ASLATMConfig.parse({"cutoff": 3.0, "spectra": SPECTRA} | options).build(ELEMENTS).double()


def slatm(**options):
    return SLATMConfig.parse({"cutoff": 3.0, "spectra": SPECTRA} | options).build(ELEMENTS).double()


def row(descriptor, system):
    return descriptor(descriptor.graph(system))[0]


@pytest.mark.parametrize(("name", "quantities"), [("slatm", 4), ("bob-coulomb", 5)])
def test_parity_of_qmllib(shared, name, quantities):
    report = parity(Kit(shared / "golden" / f"qml-{name}"))
    assert report.status == "equal", report
    assert len(report.deviations) == quantities
    assert report.worst < 1e-14


def normal(x, middle, width):
    return exp(-0.5 * ((x - middle) / width) ** 2) / (width * sqrt(2 * pi))


def test_water_by_loops():
    """London's and Axilrod-Teller-Muto's terms, pair by pair and angle by angle."""
    descriptor = slatm()
    distances, angles = (grid.tolist() for grid in (descriptor.atoms.distances, descriptor.atoms.angles))
    z, places = WATER.numbers, WATER.positions
    pairs = {(1, 1): [0.0] * len(distances), (1, 8): [0.0] * len(distances), (8, 8): [0.0] * len(distances)}
    for i, j in combinations(range(3), 2):
        r = float(np.linalg.norm(places[i] - places[j]))
        values = [0.4 * z[i] * z[j] * normal(x, r, 0.3) / x**6 for x in distances]
        key = (min(z[i], z[j]), max(z[i], z[j]))
        pairs[key] = np.add(pairs[key], values)
    blocks = {(m, a, b): np.zeros(len(angles)) for m in (1, 8) for a, b in pairs}
    for middle in range(3):
        a, b = (k for k in range(3) if k != middle)

        def cosine(at, one, other):
            u, v = places[one] - places[at], places[other] - places[at]
            return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))

        sides = [np.linalg.norm(places[i] - places[j]) for i, j in combinations(range(3), 2)]
        beside = cosine(a, middle, b) * cosine(b, middle, a)
        theta = acos(cosine(middle, a, b))
        sizes = 0.5 / 3 * 8 / np.prod(sides) ** 3
        values = [sizes * (1 + cos(x) * beside) * normal(x, theta, 0.4) for x in angles]
        blocks[z[middle], min(z[a], z[b]), max(z[a], z[b])] += values
    expected = np.concatenate([[2.0, 8.0], *pairs.values(), *blocks.values()])
    np.testing.assert_allclose(row(descriptor, System.from_ase(WATER)).numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("ending", ["cosine", "sharp"])
def test_atoms_slopes_and_invariance(ending):
    descriptor = aslatm(ending=ending)
    for graph in several_graphs()[:2]:
        graph = descriptor.prepare(graph)
        slopes_are_numeric(descriptor, graph)
        assert float(turning_changes_nothing(descriptor, graph)[:, 1:].abs().max()) > 0.1


def test_slopes_without_a_pass_for_each_feature():
    descriptor = aslatm()
    for graph in several_graphs():
        for found, plain in zip(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12 * max(float(plain.abs().sum()), 1.0))
            assert not found.requires_grad


def test_atoms_rows_end_smoothly():
    steps = {}
    for ending in ("cosine", "sharp"):
        descriptor, rows = aslatm(ending=ending), []
        for far in (3.0 - 1e-6, 3.0 + 1e-6):
            places = np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, far, 0]])
            rows.append(descriptor(Graph.build(System.from_arrays(places, [8, 1, 1]), 4.0))[0])
        steps[ending] = float((rows[0] - rows[1]).abs().max())
    assert steps["cosine"] < 1e-9
    assert steps["sharp"] > 1e-4


@pytest.mark.parametrize("pbc", [True, False])
def test_structures_are_invariant(pbc):
    descriptor, system = slatm(), structure(5, 4.0, pbc=pbc)
    turn = -torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(1)))[0]
    order = torch.tensor([3, 0, 4, 1, 2])
    places = (system.positions @ turn + torch.tensor([0.3, -1.0, 2.0]))[order]
    moved = System.from_arrays(places, system.numbers[order], system.cell[0] @ turn if pbc else None, pbc)
    before = row(descriptor, system)
    torch.testing.assert_close(row(descriptor, moved), before, rtol=0, atol=1e-10 * float(before.abs().max()))
    together = descriptor(descriptor.graph(System.batch([system, structure(1, 3.0), moved])))
    torch.testing.assert_close(together[0], before)
    torch.testing.assert_close(together[2], before)


def test_slopes_of_structures():
    descriptor, system = slatm(), structure(4, 3.5)
    graph = descriptor.graph(system)
    weights = torch.randn(descriptor.size, generator=torch.Generator().manual_seed(2))

    def total(positions, cell):
        return descriptor(graph.replace(system=system.replace(positions=positions, cell=cell)))[0] @ weights

    inputs = (system.positions.clone().requires_grad_(), system.cell.clone().requires_grad_())
    scale = float(total(*inputs).detach().abs())
    assert torch.autograd.gradcheck(total, inputs, eps=1e-5, rtol=1e-6, atol=1e-6 * max(scale, 1.0))


def test_a_linear_fit_of_forces(tmp_path):
    """Forces are 0.9 eV/Å in the mean."""
    spectra = {"step": 0.15, "width": 0.15, "angle_step": 0.4, "angle_width": 0.3, "power": 1.0}
    descriptor = {"kind": "aslatm", "cutoff": 4.0, "spectra": spectra}
    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":30"},
        "model": {"method": "local", "descriptor": descriptor, "regressor": {"kind": "linear"}},
        "output": str(tmp_path / "run"),
    }
    assert train(run, show=False).metrics["forces_mae"] < 0.25


def test_bags_by_hand():
    """Diagonal, then bonds with the same element, then with the next ones: two places of each are free."""
    r = [0.9, 1.2, sqrt(0.9**2 + 1.2**2)]
    rows = represent([WATER], {"kind": "bag_of_bonds", "atoms": {"O": 1, "H": 3}})
    expected = [0.5 * 8**2.4, 8 / r[0], 8 / r[1], 0.0, 0.5, 0.5, 0.0, 1 / r[2], 0.0, 0.0]
    torch.testing.assert_close(rows[0], torch.tensor(expected))


def test_bags_are_invariant_with_slopes():
    descriptor = BagOfBondsConfig(atoms={"H": 4, "O": 5}).build(ELEMENTS).double()
    system, other = structure(6, 4.0, pbc=False), structure(3, 3.0, 1, pbc=False)
    turn = -torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(1)))[0]
    order = torch.tensor([3, 0, 4, 1, 5, 2])
    moved = System.from_arrays((system.positions @ turn + 1.0)[order], system.numbers[order])
    before = row(descriptor, system)
    torch.testing.assert_close(row(descriptor, moved), before, rtol=0, atol=1e-10)
    together = descriptor(descriptor.graph(System.batch([other, system])))
    torch.testing.assert_close(together, torch.stack([row(descriptor, other), before]))
    graph = descriptor.graph(system)

    def rows(positions):
        return descriptor(graph.replace(system=system.replace(positions=positions)))

    assert torch.autograd.gradcheck(rows, system.positions.clone().requires_grad_(), eps=1e-5, rtol=1e-6, atol=1e-6)


def test_what_has_no_bag_is_refused():
    with pytest.raises(ConfigError, match="names no number of O"):
        BagOfBondsConfig(atoms={"H": 4}).build(ELEMENTS)
    descriptor = BagOfBondsConfig(atoms={"H": 1, "O": 5}).build(ELEMENTS)
    with pytest.raises(CapabilityError, match=r"2 H and bags have room for 1: raise atoms\.H"):
        descriptor.graph(System.from_ase(WATER))
    with pytest.raises(CapabilityError, match="knows no images"):
        descriptor.graph(structure(2, 3.0))
