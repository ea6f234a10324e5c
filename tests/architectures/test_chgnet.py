"""CHGNet through the battery, beside the published program, and what its options do."""

import itertools
import json
import re
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from adiabat.architectures import method
from adiabat.architectures.invariant.chgnet import CHGNet, CHGNetConfig
from adiabat.cli.app import app
from adiabat.data import DataInfo, Frame, MemoryDataset
from adiabat.elements import number
from adiabat.errors import CapabilityError, CheckpointError, ConfigError, GeometryError
from adiabat.evaluate import derive, evaluate
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.model import Model
from adiabat.pretrained.importers import matgl_chgnet
from adiabat.pretrained.importers.chgnet import from_kit, read_chgnet
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original, read_original
from adiabat.pretrained.originals.source import Options
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity

TINY = {"channels": 8, "layers": 3, "basis": 5, "angular": 2, "power": 5, "hidden": 8, "head": (8,)}
MATGL = {"conventions": "matgl", "normalize_updates": True, "pair_hidden": 5}
NO_KERNELS = available("gated_sum")
SMALL = CHGNetConfig(cutoff=4.5, bond_cutoff=3.0, **TINY)
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
ATOMS = ase.Atoms("OH2", WATER.positions.numpy())
HYDROGEN = System.from_arrays([[0, 0, 0], [0.74, 0, 0]], [1, 1])


@pytest.mark.parametrize("skip", [("NVE", "FIT"), pytest.param((), marks=pytest.mark.slow)])
def test_battery(shared, skip):
    torch.manual_seed(1)
    report = run_battery(CHGNet(SMALL, [1, 6, 8]), kits=[shared / "golden" / "chgnet-random"], skip=skip)
    assert report.passed, report.text()
    assert report["REF"].passed


@pytest.mark.parametrize("name", ["chgnet-0.3.0", "chgnet-random"])
def test_parity(shared, name):
    kit = Kit(shared / "golden" / name)
    report = parity(kit)
    assert report.status == "equal", report
    assert report.worst < 1e-12
    wanted = {"energy", "forces", "atomic_energies", "stress", "virial", "magnetic_moments"}
    assert wanted == {d.quantity for d in report.deviations}
    model = from_kit(kit).potentials[""].model
    atoms = kit.structures()["acetamide"]
    before = model.features(Graph.build(System.from_ase(atoms), model.cutoff))[1]
    descriptor = torch.as_tensor(kit.outputs()["acetamide/descriptor"])
    torch.testing.assert_close(before.detach(), descriptor, rtol=1e-10, atol=1e-10)


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "chgnet-random")
    options, weights = kit.meta["hyperparameters"], kit.weights()
    with pytest.raises(CheckpointError, match="do not belong together"):
        read_chgnet(options | {"num_radial": 7}, weights)
    with pytest.raises(CheckpointError, match="gMLP_norm 'batch' with readout_norm 'layer'"):
        read_chgnet(options | {"gMLP_norm": "batch"}, weights)
    with pytest.raises(CheckpointError, match=r"widths \[8, 16\]"):
        read_chgnet(options | {"bond_fea_dim": 8}, weights)
    weights.pop("bond_conv_layers.1.twoBody_bond.mlp_gate.layers.3.weight")
    with pytest.raises(CheckpointError, match=r"mlp_gate\.layers\.3.*CHGNet of this program"):
        read_chgnet(options, weights)


def test_parity_with_matgl(shared):
    report = parity(Kit(shared / "golden" / "matgl-chgnet-random"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {"energy", "forces", "stress", "virial", "magnetic_moments"} == {d.quantity for d in report.deviations}


def test_matgl_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "matgl-chgnet-random")
    options, weights, elements = kit.meta["hyperparameters"], kit.weights(), [1, 6, 7, 8, 11, 14, 17, 29]
    with pytest.raises(CheckpointError, match="normalization 'graph'"):
        matgl_chgnet.read_chgnet(options | {"normalization": "graph"}, weights, elements)
    with pytest.raises(CheckpointError, match="do not belong together"):
        matgl_chgnet.read_chgnet(options | {"max_f": 3}, weights, elements)
    with pytest.raises(CheckpointError, match="normalize_hidden is not an option"):
        matgl_chgnet.read_chgnet(options | {"normalization": "layer", "normalize_hidden": True}, weights, elements)
    with pytest.raises(CheckpointError, match=r"pooling_operation 'mean'"):
        matgl_chgnet.read_chgnet(options | {"pooling_operation": "mean"}, weights, elements)
    with pytest.raises(CheckpointError, match=r"\[8, 8\] do not fit"):
        matgl_chgnet.read_chgnet(options | {"bond_update_hidden_dims": [8, 8]}, weights, elements)
    with pytest.raises(CheckpointError, match=r"\(16, 16\)"):
        matgl_chgnet.read_chgnet(options | {"bond_conv_hidden_dims": "(16, 16)"}, weights, elements)
    with pytest.raises(CheckpointError, match="is not 0"):
        matgl_chgnet.read_chgnet(options, weights | {"data_mean": torch.tensor(0.5)}, elements)
    weights.pop("model.bond_bond_weights.weight", None)  # never read
    weights.pop("model.sitewise_readout.bias")
    with pytest.raises(CheckpointError, match=r"no 'model\.sitewise_readout\.bias'"):
        matgl_chgnet.read_chgnet(options, weights, elements)


@pytest.fixture(scope="module")
def published():
    """matgl's numbers for a model with the options of its published ones and random weights."""
    golden = json.loads((Path(__file__).parents[1] / "golden" / "chgnet_matgl.json").read_text())
    options, shapes = golden["options"], {}
    for name, shape in golden["shapes"].items():
        blocks = options["num_blocks"] - ("bond_graph" in name) if "#" in name else 1
        for block, network in itertools.product(range(blocks), ("value", "gate")):
            shapes[name.replace("#", str(block)).replace("*", network)] = shape
    random = np.random.RandomState(17)
    weights = {name: torch.from_numpy(random.normal(size=shapes[name])) for name in sorted(shapes)}
    weights |= {"data_mean": torch.zeros(()), "data_std": torch.tensor(1.3, dtype=torch.float64)}
    for basis in ("bond", "threebody_bond"):
        weights[f"model.{basis}_expansion.frequencies"] = torch.pi * torch.arange(1, options["max_n"] + 1).double()
    weights["model.angle_expansion.frequencies"] = torch.arange(options["max_f"] + 1).double()
    return golden, weights


def test_options_of_published_models_of_matgl(published):
    golden, weights = published
    elements = [number(symbol) for symbol in golden["options"]["element_types"]]
    model = matgl_chgnet.read_chgnet(golden["options"], weights, elements)
    assert not [name for name, _ in model.named_parameters() if "frequencies" in name]
    for case in golden["cases"]:
        periodic = case["cell"] is not None
        graph = Graph.build(System.from_arrays(case["positions"], case["numbers"], case["cell"], periodic), 4.0)
        want = ("energy", "forces", "magnetic_moments", *(["stress"] if periodic else []))
        found = evaluate(model, graph, want)
        for name in want:
            expected = torch.tensor(case[name]).reshape(getattr(found, name).shape)
            tolerance = 1e-12 * float(expected.abs().max())
            torch.testing.assert_close(getattr(found, name), expected, rtol=0, atol=tolerance)


def _former_names(weights):
    """Names of matgl's former backend."""
    sides = {"value": "layers", "gate": "gates"}

    def network(found):
        return f"_func.{sides[found[1]]}.{'norm_' if found[2] == 'norms' else ''}layers."

    names = {name: name.replace(".conv.", ".conv_layer.") for name in weights}
    return {
        re.sub(r"_func\.(value|gate)\.(layers|norms)\.", network, new): weights[old] for old, new in names.items()
    }


def test_published_folders_of_matgl(published, tmp_path):
    golden, weights = published
    described = {
        "@class": "Potential",
        "@module": "matgl.apps.pes",
        "kwargs": {
            "model": {"@class": "CHGNet", "@module": "matgl.models._chgnet", "init_args": golden["options"]},
            "data_std": "tensor(1.3)",
        },
    }
    (tmp_path / "model.json").write_text(json.dumps(described))
    torch.save(_former_names(weights), tmp_path / "state.pt")
    (model,) = import_original(tmp_path).potentials.values()
    case = golden["cases"][1]
    graph = Graph.build(System.from_arrays(case["positions"], case["numbers"], case["cell"], True), 4.0)
    assert abs(float(evaluate(model, graph).energy) - case["energy"]) < 1e-11
    few = import_original(tmp_path, options=Options(elements=(12, 8))).potentials[""]
    assert few.elements == (8, 12)
    assert abs(float(evaluate(few, graph).energy) - case["energy"]) < 1e-11
    with pytest.raises(CheckpointError, match="no rows for C"):
        import_original(tmp_path, options=Options(elements=(6, 8)))
    described["kwargs"]["model"]["init_args"] = golden["options"] | {"element_types": None}
    (tmp_path / "model.json").write_text(json.dumps(described))
    assert read_original(tmp_path).meta["element_order"][82:90] == ["Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th"]


def test_elements_in_any_order(shared):
    kit = Kit(shared / "golden" / "matgl-chgnet-random")
    options, weights, elements = kit.meta["hyperparameters"], kit.weights(), [1, 6, 7, 8, 11, 14, 17, 29]
    turned = dict(weights)
    for name in ("model.atom_embedding.weight", "element_refs.property_offset"):
        turned[name] = weights[name].flip(0)
    one = matgl_chgnet.read_chgnet(options, weights, elements)
    other = matgl_chgnet.read_chgnet(options, turned, elements[::-1])
    for name, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_defaults_are_the_published_model(shared):
    published = from_kit(Kit(shared / "golden" / "chgnet-0.3.0")).potentials[""].model
    assert published.config == CHGNetConfig()
    assert published.elements == tuple(range(1, 95))
    assert method("chgnet").paper == "10.1038/s42256-023-00716-3"


@pytest.mark.parametrize("options", [{}, {"bias": True}, MATGL, MATGL | {"pair_hidden": 0, "train_basis": False}])
def test_every_parameter_is_trained(options):
    torch.manual_seed(4)
    model = CHGNet(SMALL.model_copy(update=options), [1, 8])
    want = ("energy", "forces", "magnetic_moments")
    found = evaluate(model, Graph.build(WATER, 4.5), want, create_graph=True)
    (found.energy.sum() + found.forces.square().sum() + found.magnetic_moments.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_a_batch_with_and_without_angles():
    torch.manual_seed(5)
    model = CHGNet(SMALL.model_copy(update={"bias": True}), [1, 8])
    for bond in model.bonds:
        torch.nn.init.normal_(bond.outward.bias)
    atom = System.from_arrays([[0, 0, 1]], [8])
    systems = [WATER, HYDROGEN, atom]
    want = ("energy", "magnetic_moments")
    alone = [evaluate(model, Graph.build(system, 4.5), want) for system in systems]
    batch = evaluate(model, Graph.build(System.batch(systems), 4.5), want)
    torch.testing.assert_close(batch.energy, torch.cat([one.energy for one in alone]))
    torch.testing.assert_close(batch.magnetic_moments, torch.cat([one.magnetic_moments for one in alone]))
    assert float(batch.magnetic_moments.min()) >= 0


def test_angles_matter_and_end_at_the_bond_cutoff():
    torch.manual_seed(6)
    model = CHGNet(SMALL, [1, 8])

    def energy(length, angle):
        turned = [length * torch.tensor(angle).cos(), length * torch.tensor(angle).sin(), 0.0]
        system = System.from_arrays([[0, 0, 0], [1.0, 0, 0], turned], [8, 1, 1])
        graph = Graph.build(system, 4.5)
        # the same distances without the angle: only pairs with the center are listed
        keep = (graph.pairs == 0).any(dim=0)
        return float(evaluate(model, graph.replace(pairs=graph.pairs[:, keep], shifts=graph.shifts[keep])).energy)

    assert abs(energy(2.0, 1.0) - energy(2.0, 2.0)) > 1e-5
    assert abs(energy(3.1, 1.0) - energy(3.1, 2.0)) < 1e-12
    assert abs(energy(3.0 - 1e-4, 1.0) - energy(3.0 - 1e-4, 2.0)) < 1e-9


def test_bonds_need_both_directions():
    graph = Graph.build(WATER, 4.5)
    one = graph.replace(pairs=graph.pairs[:, :1], shifts=graph.shifts[:1])
    with pytest.raises(GeometryError, match="lacks its reverse"):
        derive(CHGNet(SMALL, [1, 8]), one, ("energy",))


def test_straight_bonds_have_finite_forces():
    torch.manual_seed(7)
    row = System.from_arrays([[0, 0, 0], [1.2, 0, 0], [2.4, 0, 0]], [8, 8, 1])
    forces = evaluate(CHGNet(SMALL, [1, 8]), Graph.build(row, 4.5)).forces
    assert forces.isfinite().all()


def test_options_are_checked():
    with pytest.raises(ConfigError, match="Did you mean 'channels'"):
        CHGNetConfig.parse({"chanels": 3})
    for wrong in ({"cutoff": -1.0}, {"layers": 1}, {"bond_cutoff": 0.0}, {"power": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CHGNetConfig.parse(wrong)
    with pytest.raises(ConfigError, match=r"bond_cutoff 5\.0 Å is beyond cutoff 4\.5 Å"):
        CHGNet(CHGNetConfig(cutoff=4.5, bond_cutoff=5.0), [1])
    for options in ({"pair_hidden": 3}, {"normalize_updates": True}, MATGL | {"bias": True}):
        with pytest.raises(ConfigError, match="belong to matgl's CHGNet"):
            CHGNet(SMALL.model_copy(update=options), [1])


@pytest.mark.parametrize("legacy", [False, True])
def test_original_files(shared, tmp_path, legacy):
    kit = Kit(shared / "golden" / "chgnet-random")
    own = {k: v for k, v in kit.meta["hyperparameters"].items() if k != "mlp_out_bias"}  # as published files
    model = {"state_dict": kit.weights(), "model_args": own}
    training = {"optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]}, "scheduler": {"last_epoch": 7}}
    file = tmp_path / "chgnet.pth.tar"
    torch.save({"model": model} | training, file, _use_new_zipfile_serialization=not legacy)
    found, expected = import_original(file).potentials[""], from_kit(kit).potentials[""]
    assert found.model.config == expected.model.config
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def test_elements_of_original_files(shared, tmp_path):
    kit = Kit(shared / "golden" / "chgnet-random")
    file = tmp_path / "chgnet.pth.tar"
    torch.save({"model": {"state_dict": kit.weights(), "model_args": kit.meta["hyperparameters"]}}, file)
    few = import_original(file, options=Options(elements=(8, 1))).potentials[""]
    assert few.elements == (1, 8)
    graph = Graph.build(WATER, few.cutoff)
    expected = evaluate(from_kit(kit).potentials[""], graph)
    torch.testing.assert_close(evaluate(few, graph).energy, expected.energy, rtol=1e-14, atol=0)
    with pytest.raises(CheckpointError, match="no rows for Cm"):
        import_original(file, options=Options(elements=(8, 96)))


def test_foreign_files_are_refused(shared, tmp_path):
    file = tmp_path / "other.pth.tar"
    torch.save({"model": {"state_dict": {"weight": torch.zeros(2)}, "model_args": {"n_conv": 3}}}, file)
    with pytest.raises(CheckpointError, match="is not recognized"):
        read_original(file)
    with pytest.raises(CheckpointError, match="no model with model_args and state_dict"):
        read_original(file, "chgnet")


def test_without_normalization():
    torch.manual_seed(8)
    model = CHGNet(SMALL.model_copy(update={"normalize": False}), [1, 8])
    assert not [name for name, _ in model.named_parameters() if "norm" in name]
    graph = Graph.build(WATER, 4.5)
    forces = evaluate(model, graph).forces
    assert float(forces.abs().max()) > 1e-3
    torch.testing.assert_close(forces.sum(dim=0), torch.zeros(3), atol=1e-12, rtol=0)


def test_magnetic_moments_reach_users(tmp_path):
    torch.manual_seed(9)
    potential = CHGNet(SMALL, [1, 8])
    model = Model(potential, DataInfo(elements=(1, 8)))
    atoms = ATOMS.copy()
    expected = evaluate(potential, Graph.build(WATER, 4.5), ("magnetic_moments",)).magnetic_moments.numpy()
    assert expected.shape == (3,)
    np.testing.assert_allclose(model.predict(atoms)["magnetic_moments"], expected)
    assert set(model.predict(atoms, want=["energy"])) == {"energy"}
    atoms.calc = model.calculator()
    np.testing.assert_allclose(atoms.get_magnetic_moments(), expected)
    checkpoint, output = model.save(tmp_path / "m.adiabat"), tmp_path / "out.extxyz"
    ase.io.write(tmp_path / "in.extxyz", ATOMS.copy())
    done = CliRunner().invoke(app, ["predict", str(checkpoint), str(tmp_path / "in.extxyz"), "-o", str(output)])
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(ase.io.read(output).arrays["adiabat_magnetic_moments"], expected, atol=1e-7)


def test_moments_are_learned():
    torch.manual_seed(10)
    frames = [Frame(WATER, {"energy": torch.zeros(()), "magnetic_moments": torch.tensor([1.5, 0.1, 0.2])})] * 2
    terms = {"energy": {"weight": 0.0}, "forces": {"weight": 0.0}, "magnetic_moments": {"weight": 1.0}}
    config = GradientConfig.parse({"loss": terms, "epochs": 60, "optimizer": {"rate": 0.02}, "compile": False})
    model, data = CHGNet(SMALL, [1, 8]), MemoryDataset(frames)
    GradientFitter(model, data, data, config).fit()
    found = evaluate(model, Graph.build(WATER, 4.5), ("magnetic_moments",)).magnetic_moments
    torch.testing.assert_close(found, torch.tensor([1.5, 0.1, 0.2]), atol=0.1, rtol=0)


@pytest.mark.skipif(NO_KERNELS is not None, reason=f"no compiled kernels: {NO_KERNELS}")
@pytest.mark.parametrize("options", [{}, MATGL, MATGL | {"pair_hidden": 0}])
def test_frozen_equals_eager(options):
    torch.manual_seed(11)
    model = CHGNet(SMALL.model_copy(update=options), [1, 8])
    frozen = model.frozen()
    crystal = System.from_arrays(5.0 * torch.rand(9, 3), [8, 1, 1] * 3, cell=5.0 * torch.eye(3), pbc=True)
    atom = System.from_arrays([[0, 0, 1]], [8])
    want = ("energy", "forces", "stress", "magnetic_moments")
    traced = model.compiled(want, "kernels")
    for systems in ([crystal, WATER, HYDROGEN, atom], [crystal]):
        graph = Graph.build(System.batch(systems), 4.5)
        exact = evaluate(model, graph, want)
        for found in (evaluate(frozen, graph, want), traced(graph)):
            for name in want:
                ours, theirs = getattr(found, name), getattr(exact, name)
                torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11, equal_nan=True)
    apart = evaluate(frozen, Graph.build(HYDROGEN, 0.5), ("energy", "forces"))
    assert float(apart.forces.abs().max()) == 0


@pytest.mark.parametrize("options", [{"bias": True}, {"normalize": False}, {"conventions": "matgl"}])
def test_what_has_no_kernels_says_so(options):
    with pytest.raises(CapabilityError, match=r"no fast kernel"):
        CHGNet(SMALL.model_copy(update=options), [1, 8]).frozen()
