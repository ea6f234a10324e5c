"""SpookyNet through the battery, beside the published program, and what charge, spin and attention do."""

import morse
import pytest
import torch
from precision import check_single_precision
from small_models import loosened

from adiabat.architectures import build, method
from adiabat.architectures.equivariant.spookynet import SpookyNet, SpookyNetConfig
from adiabat.compile import compiled
from adiabat.config import RunConfig
from adiabat.data import write
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced
from adiabat.pretrained.importers.spookynet import from_kit, read_spookynet
from adiabat.pretrained.kit import Kit
from adiabat.sums import Sum
from adiabat.testing.battery import check_ext, run_battery
from adiabat.testing.parity import parity
from adiabat.testing.structures import structures
from adiabat.training import train

SMALL = SpookyNetConfig(cutoff=3.5, reach=5.0, channels=6, layers=2, basis=5)
MOLECULAR = SMALL.model_copy(update={"reach": None})
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0.1]], [8, 1, 1])
WANT = ("energy", "forces", "charges", "dipole")


def with_state(system, charge=0.0, multiplicity=1):
    return system.replace(charge=torch.tensor([charge]), multiplicity=torch.tensor([multiplicity]))


def test_battery():
    torch.manual_seed(1)
    model = loosened(SpookyNet(SMALL, [1, 6, 8]))
    # attention couples far fragments, as the paper wants
    report = run_battery(model, skip=("NVE", "FIT", "RT", "EXT"))
    assert report.passed, report.text()
    several = structures([1, 6, 8], SMALL.reach)
    cells = check_ext(model, {name: several[name] for name in ("triclinic", "slab", "one-atom")})
    assert cells.passed, cells.message
    assert check_ext(model, {"fragments": several["fragments"]}).passed is False


def test_battery_of_molecules():
    torch.manual_seed(1)
    several = {k: v for k, v in structures([1, 6, 8], 3.5).items() if k in ("molecule", "fragments", "atom")}
    report = run_battery(
        loosened(SpookyNet(MOLECULAR, [1, 6, 8])), several, skip=("NVE", "FIT", "RT", "EXT", "PBC", "CUT")
    )
    assert report.passed, report.text()


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL, MOLECULAR])
def test_learns_and_conserves_energy(config):
    torch.manual_seed(1)
    molecules = None if config.reach else {"molecule": structures([1, 6, 8])["molecule"]}
    report = run_battery(
        SpookyNet(config, [1, 6, 8]), molecules, skip=("INV", "FD", "CUT", "EXT", "PBC", "REF", "BATCH")
    )
    assert report.passed, report.text()


@pytest.mark.parametrize(("name", "cases"), [("spookynet", 20), ("spookynet-lrcut", 40), ("spookynet-real", 20)])
def test_parity(shared, name, cases):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-9
    assert {d.quantity: d.cases for d in report.deviations} == dict.fromkeys(
        ("energy", "forces", "atomic_energies", "charges"), cases
    )


def test_features(shared):
    kit = Kit(shared / "golden" / "spookynet")
    model = from_kit(kit).potentials[""]
    graph = model.prepare(Graph.build(System.from_ase(kit.structures()["acetamide"]), model.cutoff))
    numbers = graph.system.numbers
    found = model.features(graph, model.edges(graph.vectors(), graph, numbers, numbers)).detach()
    torch.testing.assert_close(found, torch.as_tensor(kit.outputs()["acetamide/features"]), rtol=1e-12, atol=1e-12)


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "spookynet")
    options, weights = kit.meta["hyperparameters"], kit.weights()
    with pytest.raises(CheckpointError, match="basis_functions 'sinc'"):
        read_spookynet(options | {"basis_functions": "sinc"}, weights, [1, 6])
    with pytest.raises(CheckpointError, match="different numbers of residual blocks"):
        read_spookynet(options | {"num_residual_post": 2}, weights, [1, 6])
    with pytest.raises(CheckpointError, match="has shape"):
        read_spookynet(options | {"num_basis_functions": 9}, weights, [1, 6])
    for name, reason in (
        ("d4_dispersion_energy.alphaiw", "polarizabilities"),
        ("output.weight", "is it a SpookyNet"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            read_spookynet(options, {k: v for k, v in weights.items() if k != name}, [1, 6])


def test_charge_and_spin_are_felt():
    torch.manual_seed(2)
    model = loosened(SpookyNet(SMALL, [1, 8]))
    states = [(0.0, 1), (1.0, 2), (-1.0, 2), (0.0, 3)]
    batch = System.batch([with_state(WATER, *state) for state in states])
    found = evaluate(model, Graph.build(batch, 5.0), WANT)
    gaps = found.energy[:, None] - found.energy[None] + torch.eye(4)
    assert float(gaps.abs().min()) > 1e-4
    torch.testing.assert_close(batch.sum_over_atoms(found.charges), torch.tensor([0.0, 1.0, -1.0, 0.0]))
    for k, state in enumerate(states):
        alone = evaluate(model, Graph.build(with_state(WATER, *state), 5.0), WANT)
        torch.testing.assert_close(found.energy[k : k + 1], alone.energy)
        torch.testing.assert_close(found.dipole[k : k + 1], alone.dipole)


def test_every_parameter_is_trained():
    torch.manual_seed(3)
    model = loosened(SpookyNet(MOLECULAR, [1, 8]))
    batch = System.batch([with_state(WATER, 1.0, 2), with_state(WATER, -1.0, 2)])
    found = evaluate(model, Graph.build(batch, 3.5), WANT, create_graph=True)
    (found.energy.sum() + found.forces.square().sum() + found.dipole.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_all_atoms_of_a_molecule_act_on_each_other():
    torch.manual_seed(4)
    model = loosened(SpookyNet(MOLECULAR, [1, 8]))
    energies = []
    for distance in (30.0, 60.0):
        pair = System.from_arrays([[0, 0, 0], [distance, 0, 0]], [8, 1], charge=2.0)
        found = evaluate(model, Graph.build(pair, 3.5), WANT)
        energies.append(float(found.energy))
    q = found.charges
    assert energies[0] - energies[1] == pytest.approx(14.3996454 * float(q[0] * q[1]) * (1 / 30 - 1 / 60), rel=1e-6)


def test_what_it_cannot_do_is_refused(shared):
    crystal = Graph.build(System.from_arrays([[0, 0, 0]], [8], cell=[[3, 0, 0], [0, 3, 0], [0, 0, 3]], pbc=True), 3.5)
    molecular = SpookyNet(MOLECULAR, [1, 8])
    for model in (molecular, Referenced(molecular), Sum([molecular])):
        with pytest.raises(CapabilityError, match="train a model with a reach"):
            evaluate(model, crystal)
    local = MOLECULAR.model_copy(update={"electrostatics": False})
    assert torch.isfinite(evaluate(SpookyNet(local, [1, 8]), crystal).energy).all()
    graph = Graph.build(WATER, 5.0)
    with pytest.raises(CapabilityError, match="ghosts"):
        evaluate(SpookyNet(SMALL, [1, 8]), graph.replace(owned=torch.tensor([True, True, False])))
    without_tables = SpookyNet(SMALL.model_copy(update={"dispersion": True}), [1, 8])
    with pytest.raises(CapabilityError, match="no reference data of D4"):
        evaluate(without_tables, graph)
    with pytest.raises(CapabilityError, match="no reference data of D4"):
        without_tables.adapt([graph])
    with pytest.raises(ConfigError, match="known up to number 86"):
        SpookyNet(SMALL, [1, 92])


def test_imported_models_are_saved_with_their_tables(shared):
    kit = Kit(shared / "golden" / "spookynet")
    model = from_kit(kit).potentials[""]
    other = build(model.config, model.elements).double()
    other.load_arrays(model.state_dict())
    graph = Graph.build(WATER, model.cutoff)
    assert torch.equal(evaluate(other, graph).forces, evaluate(model, graph).forces)


@pytest.mark.parametrize(("scale", "expected"), [("auto", 1.0), (0.5, 0.5)])
def test_runs_leave_charges_their_size(tmp_path, scale, expected):
    write(tmp_path / "data.extxyz", morse.frames(20))
    run = RunConfig.parse(
        {
            "data": {"file": str(tmp_path / "data.extxyz"), "scale": scale},
            "model": SMALL.model_dump() | {"reach": None},
            "output": str(tmp_path / "run"),
            "fit": {"epochs": 1},
        }
    )
    result = train(run)
    assert float(result.potential.scale) == expected


def test_single_precision_agrees():
    torch.manual_seed(6)
    model = loosened(SpookyNet(SMALL, [1, 8]))
    check_single_precision(model, Graph.build(with_state(WATER, 1.0, 2), 5.0), WANT, atol=1e-4)


def test_method_and_options():
    assert method("spookynet").config_class is SpookyNetConfig
    with pytest.raises(ConfigError, match="Did you mean 'channels'"):
        SpookyNetConfig.parse({"chanels": 3})
    for wrong in ({"cutoff": -1.0}, {"layers": 0}, {"reach": 0.0}, {"basis": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            SpookyNetConfig.parse(wrong)


def test_captured_equals_eager(shared):
    """Also what acts between all atoms, for any number of them."""
    kit = Kit(shared / "golden" / "spookynet")
    model = read_spookynet(kit.meta["hyperparameters"], kit.weights(), [1, 6, 8])
    run = compiled(model, WANT, backend="captured")
    ions = System.batch([with_state(WATER, 1.0, 2), System.from_arrays([[0, 0, 0]], [8]), with_state(WATER, -1.0, 2)])
    for system in (WATER, ions, structures([1, 6, 8])["molecule"]):
        graph = Graph.build(system, model.cutoff)
        found, expected = run(graph), evaluate(model, graph, WANT)
        for quantity in WANT:
            torch.testing.assert_close(getattr(found, quantity), getattr(expected, quantity), rtol=1e-11, atol=1e-11)
    assert run.reason is None
