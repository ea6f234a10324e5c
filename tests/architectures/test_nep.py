"""NEP through the battery, and what its options do."""

import pytest
import torch

from adiabat.architectures import build, method
from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.compile import compiled
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.nn.invariants import DensityInvariants
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.testing.battery import run_battery
from adiabat.testing.structures import structures

SMALL = NEPConfig(
    cutoff=4.5, angular_cutoff=3.5, channels=3, angular_channels=2, basis=4, angular_basis=4, l_max=2, hidden=8
)


def _changed(**changes):
    return NEPConfig.parse(SMALL.model_dump() | changes)


def test_battery(shared):
    torch.manual_seed(1)
    report = run_battery(NEP(SMALL, [1, 6, 8]), kits=[shared / "golden" / "nep-pbte"], skip=("NVE",))
    assert report.passed, report.text()
    assert report["REF"].passed


@pytest.mark.skipif(available("density_network") is not None, reason="no compiled kernels")
def test_frozen_conserves_energy():
    torch.manual_seed(1)
    others = ("INV", "FD", "CUT", "EXT", "FIT", "PBC", "REF", "BATCH", "RT")
    report = run_battery(NEP(SMALL, [1, 6, 8]).frozen(), skip=others)
    assert report["NVE"].passed, report.text()


def test_all_features_and_repulsion_pass_too():
    torch.manual_seed(2)
    config = _changed(four_body=((2, 2, 2), (1, 1, 2)), five_body=True, networks="shared", repulsion=(0.5, 1.5))
    report = run_battery(NEP(config, [29]), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_registered_with_gpumds_defaults():
    model = build(NEPConfig(), [1, 8])
    assert isinstance(model, NEP)
    assert model.descriptor.size == 5 + 5 * (4 + 1)
    assert method("nep").paper == "10.1103/PhysRevB.104.104309"


def test_invariants_of_three_neighbors():
    """Sums over l of density products are sums of Legendre polynomials of the angles."""
    torch.manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn(3, 3), dim=1)
    density = SphericalHarmonics(2, "integral")(directions)[:, 1:].sum(dim=0)
    cosine = directions @ directions.T
    found = DensityInvariants(2, ((2, 2, 2),), True)(density[None, None])[0, :, 0]
    first = 3 * cosine.sum() / (4 * torch.pi)
    second = 5 * (1.5 * cosine**2 - 0.5).sum() / (4 * torch.pi)
    tensor = (directions[:, :, None] * directions[:, None]).sum(dim=0) - torch.eye(3)
    triple = -108 * (2 / 35) ** 0.5 * (5 / (16 * torch.pi)) ** 1.5 * torch.linalg.det(tensor)
    torch.testing.assert_close(found, torch.stack([first, second, triple, 7 / 15 * first**2]))


def test_scaler_is_the_inverse_range():
    torch.manual_seed(4)
    model = NEP(SMALL, [1, 6, 8])
    graphs = [Graph.build(system, model.cutoff) for system in structures(model.elements, model.cutoff).values()]
    model.adapt(graphs)
    with torch.no_grad():
        rows = torch.cat([model.features(graph) for graph in graphs]) * model.factor
    torch.testing.assert_close(rows.amax(dim=0) - rows.amin(dim=0), torch.ones(model.descriptor.size))


def test_radii_of_elements_are_averaged():
    torch.manual_seed(5)
    model = NEP(_changed(element_cutoffs={"H": (3.0, 2.0)}), [1, 8])
    assert model.cutoff == 4.5
    reach = {(1, 1): 3.0, (1, 8): 3.75, (8, 8): 4.5}
    for numbers, radius in reach.items():
        energies = []
        for distance in (radius - 0.05, radius + 0.001, 6.0):
            system = System.from_arrays([[0, 0, 0], [0, 0, distance]], numbers)
            energies.append(float(evaluate(model, Graph.build(system, model.cutoff)).energy))
        assert energies[0] != energies[2]
        assert energies[1] == pytest.approx(energies[2], abs=1e-12)


def test_networks_of_elements_differ_unless_shared():
    torch.manual_seed(6)
    count = {kind: sum(p.numel() for p in NEP(_changed(networks=kind), [1, 8]).networks.parameters()) for kind in
             ("element", "shared")}  # fmt: skip
    assert count["element"] == 2 * count["shared"]


def _salt():
    cell = [[4.5, 0.2, 0.0], [0.0, 4.3, 0.3], [-0.2, 0.1, 4.7]]
    positions = [[0, 0, 0], [2.2, 0.3, 0.1], [0.1, 2.1, 2.4], [2.3, 2.2, 0.2]]
    return System.from_arrays(positions, [1, 8, 8, 1], cell=cell, pbc=True)


@pytest.mark.parametrize("charges", ["reciprocal", "full"])
def test_derivatives_with_charges(charges):
    torch.manual_seed(7)
    model, system = NEP(_changed(charges=charges), [1, 8]), _salt()
    found = evaluate(model, Graph.build(system, model.cutoff), ("energy", "forces", "stress", "charges"))
    assert float(found.charges.sum()) == pytest.approx(0.0, abs=1e-12)
    assert found.charges.abs().max() > 0.01
    direction, strain, step = torch.randn(4, 3), torch.randn(3, 3), 1e-5
    strain = strain + strain.T
    slopes = []
    for along, squeeze in ((direction, torch.zeros(3, 3)), (torch.zeros(4, 3), strain)):
        energies = []
        for sign in (step, -step):
            matrix = torch.eye(3) + sign * squeeze
            moved = system.replace(positions=system.positions @ matrix + sign * along, cell=system.cell @ matrix)
            energies.append(float(evaluate(model, Graph.build(moved, model.cutoff)).energy))
        slopes.append((energies[0] - energies[1]) / (2 * step))
    assert slopes[0] == pytest.approx(-float((found.forces * direction).sum()), rel=1e-6)
    assert slopes[1] == pytest.approx(float((found.stress[0] * strain).sum() * system.volume), rel=1e-6)


def test_charges_add_up_to_the_total_charge():
    model = NEP(_changed(charges="full"), [1, 8])
    charged = _salt().replace(charge=torch.tensor([1.0]))
    batch = Graph.build(System.batch([_salt(), charged]), model.cutoff)
    sums = batch.system.sum_over_atoms(evaluate(model, batch, ("charges",)).charges)
    torch.testing.assert_close(sums, torch.tensor([0.0, 1.0]), rtol=0, atol=1e-12)


def test_captured_with_charges():
    torch.manual_seed(8)
    model = NEP(_changed(l_max=1, four_body=(), charges="reciprocal"), [1, 8])
    want = ("energy", "forces", "stress", "charges")
    run = compiled(model, want, backend="captured")
    one = _salt()
    for system in (one, System.batch([one, one.replace(cell=one.cell * 1.3)])):
        graph = Graph.build(system, model.cutoff)
        found, wanted = run(graph), evaluate(model, graph, want)
        for name in want:
            torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0, atol=1e-10)
    assert run.reason is None


def test_charges_need_three_periodic_directions():
    model = NEP(_changed(charges="full"), [1, 8])
    slab = _salt().replace(pbc=torch.tensor([[True, True, False]]))
    with pytest.raises(CapabilityError, match="periodic in three directions"):
        evaluate(model, Graph.build(slab, model.cutoff))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angular_cutoff": 5.0}, "angular radii"),
        ({"four_body": ((1, 1, 1),)}, "even sum"),
        ({"four_body": ((1, 3, 4),)}, "l_max of at least 4"),
        ({"l_max": 0, "four_body": (), "five_body": True}, "five_body"),
        ({"element_cutoffs": {"Cu": (4.0, 3.0)}}, "names Cu"),
        ({"repulsion": (2.0, 1.0)}, "inner < outer"),
    ],
)
def test_options_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        NEP(_changed(**changes), [1, 8])
