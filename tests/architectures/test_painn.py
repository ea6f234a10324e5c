"""PaiNN through the battery, beside the published program, and what its options do."""

import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.equivariant.painn import PaiNN, PaiNNConfig
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.pretrained.importers.schnetpack import from_kit, read_painn
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity

SMALL = PaiNNConfig(cutoff=4.5, channels=8, layers=2, basis=10)
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
NO_KERNELS = available("vector_message")


def test_battery(shared):
    torch.manual_seed(1)
    kits = [shared / "golden" / name for name in ("painn", "painn-ethanol-published")]
    report = run_battery(PaiNN(SMALL, [1, 6, 8]), kits=kits)
    assert report.passed, report.text()
    assert report["REF"].passed


def test_metals_and_dipoles_pass_too():
    torch.manual_seed(2)
    config = PaiNNConfig(cutoff=5.0, channels=8, layers=1, shared_filters=True, dipole=True)
    report = run_battery(PaiNN(config, [29]), skip=("NVE", "FIT"))
    assert report.passed, report.text()


@pytest.mark.parametrize("name", ["painn", "painn-ethanol-published"])
def test_parity(shared, name):
    kit = Kit(shared / "golden" / name)
    report = parity(kit)
    assert report.status == "equal", report
    assert report.worst < 1e-12
    wanted = {"energy", "forces", "atomic_energies", "stress"}
    if name == "painn":
        wanted |= {"charges", "dipole"}
    assert wanted == {d.quantity for d in report.deviations}
    model = from_kit(kit).potentials[""].model
    for case, atoms in kit.structures().items():
        if f"{case}/descriptor" in kit.outputs():
            s, _ = model.features(Graph.build(System.from_ase(atoms), model.cutoff))
            descriptor = torch.as_tensor(kit.outputs()[f"{case}/descriptor"])
            torch.testing.assert_close(s.detach(), descriptor, rtol=1e-10, atol=1e-10)


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "painn")
    options, weights = kit.meta["hyperparameters"], kit.weights()
    with pytest.raises(CheckpointError, match="shape"):
        read_painn(options | {"n_atom_basis": 20}, weights, [1, 6])
    with pytest.raises(CheckpointError, match=r"filter_net.* has shape"):
        read_painn(options | {"shared_filters": True}, weights, [1, 6])
    with pytest.raises(CheckpointError, match="rbf 'bessel'"):
        read_painn(options | {"rbf": "bessel"}, weights, [1, 6])
    weights.pop("representation.mixing.1.mu_channel_mix.weight")
    with pytest.raises(CheckpointError, match=r"mixing\.1\.mu_channel_mix.*is it a PaiNN"):
        read_painn(options, weights, [1, 6])


def test_defaults_are_the_published_ethanol_model(shared):
    model = build(PaiNNConfig(), [1, 6, 8])
    weights = Kit(shared / "golden" / "painn-ethanol-published").weights()
    published = sum(w.numel() for name, w in weights.items() if name.endswith(("weight", "bias")))
    embedding = weights["representation.embedding.weight"].numel()
    assert sum(p.numel() for p in model.parameters()) == published - embedding + 3 * 128
    assert method("painn").paper == "10.48550/arXiv.2102.03150"


def test_shared_filters_equal_repeated_ones():
    torch.manual_seed(3)
    shared_one = PaiNN(SMALL.model_copy(update={"shared_filters": True}), [1, 8])
    separate = PaiNN(SMALL, [1, 8])
    arrays = shared_one.state_dict()
    for name in ("filters.weight", "filters.bias"):
        arrays[name] = torch.cat([arrays[name]] * SMALL.layers)
    separate.load_state_dict(arrays)
    graph = Graph.build(WATER, 4.5)
    torch.testing.assert_close(evaluate(shared_one, graph).forces, evaluate(separate, graph).forces)


def test_every_parameter_is_trained():
    torch.manual_seed(4)
    model = PaiNN(SMALL.model_copy(update={"dipole": True}), [1, 8])
    found = evaluate(model, Graph.build(WATER, 4.5), ("energy", "forces", "dipole"), create_graph=True)
    (found.energy.sum() + found.forces.square().sum() + found.dipole.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_charges_add_up_and_dipoles_turn():
    torch.manual_seed(5)
    model = PaiNN(SMALL.model_copy(update={"dipole": True}), [1, 8])
    ion = WATER.replace(charge=torch.tensor([1.0], dtype=torch.float64))
    atom = System.from_arrays([[0, 0, 1]], [8])
    batch = evaluate(model, Graph.build(System.batch([WATER, ion, atom]), 4.5), ("energy", "charges", "dipole"))
    sums = [batch.charges[k : k + 3].sum() for k in (0, 3, 6)]
    torch.testing.assert_close(torch.stack(sums), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    assert float(batch.dipole[2].abs().max()) < 1e-12  # a neutral atom has none
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turned = WATER.replace(positions=WATER.positions @ turn.T + 7.0)
    other = evaluate(model, Graph.build(turned, 4.5), ("dipole",))
    torch.testing.assert_close(other.dipole[0], turn @ batch.dipole[0])


def test_dipoles_are_refused_where_there_are_none():
    graph = Graph.build(WATER, 4.5)
    with pytest.raises(CapabilityError, match="does not predict dipole"):
        evaluate(PaiNN(SMALL, [1, 8]), graph, ("dipole",))
    ghosts = graph.replace(owned=torch.tensor([True, True, False]))
    with pytest.raises(CapabilityError, match="does not predict charges"):
        evaluate(PaiNN(SMALL.model_copy(update={"dipole": True}), [1, 8]), ghosts, ("charges",))


def test_single_precision_agrees():
    torch.manual_seed(6)
    model = PaiNN(SMALL.model_copy(update={"dipole": True}), [1, 8])
    check_single_precision(model, Graph.build(WATER, 4.5), ("energy", "forces", "dipole"))


@pytest.mark.skipif(NO_KERNELS is not None, reason=f"no compiled kernels: {NO_KERNELS}")
@pytest.mark.parametrize("options", [{}, {"layers": 1}, {"shared_filters": True, "channels": 20}, {"dipole": True}])
def test_frozen_equals_eager(options):
    torch.manual_seed(7)
    model = PaiNN(SMALL.model_copy(update=options), [1, 8])
    frozen = model.frozen()
    crystal = System.from_arrays(5.0 * torch.rand(9, 3), [8, 1, 1] * 3, cell=5.0 * torch.eye(3), pbc=True)
    alone = System.from_arrays([[0, 0, 1]], [8])
    graph = Graph.build(System.batch([crystal, WATER, alone]), 4.5)
    want = ["energy", "forces", "stress", *(["dipole", "charges"] if model.dipole else [])]
    exact = evaluate(model, graph, want)
    for given in (graph, frozen.prepare(graph)):
        fast = evaluate(frozen, given, want)
        torch.testing.assert_close(fast.energy, exact.energy, rtol=1e-7, atol=0.0)
        for name in want[1:]:
            a, b = getattr(fast, name), getattr(exact, name)
            scale = float(b.nan_to_num().abs().max())
            torch.testing.assert_close(a, b, rtol=0.0, atol=1e-5 * scale, equal_nan=True)


@pytest.mark.skipif(NO_KERNELS is not None, reason=f"no compiled kernels: {NO_KERNELS}")
def test_frozen_energy_ends_exactly_at_the_cutoff():
    torch.manual_seed(8)
    model = PaiNN(SMALL, [1, 8])
    model.filters.bias.data.normal_()
    pair = System.from_arrays([[0, 0, 0], [0, 0, 4.5]], [8, 1])
    near, none = Graph.build(pair, 5.0), Graph.build(pair, 4.0)
    assert near.pairs.shape[1] == 2
    frozen = model.frozen()
    assert torch.equal(frozen(near).energy, frozen(none).energy)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="Did you mean 'channels'"):
        PaiNNConfig.parse({"chanels": 3})
    for wrong in ({"cutoff": -1.0}, {"layers": 0}, {"epsilon": 0.0}, {"basis": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            PaiNNConfig.parse(wrong)
