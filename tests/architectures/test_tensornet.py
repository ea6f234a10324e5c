"""TensorNet through the battery, beside the published programs, and what its options do."""

import numpy as np
import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.equivariant.tensornet import TensorNet, TensorNetConfig
from adiabat.errors import CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.matrix_parts import DirectionMatrices, basis, multiplication
from adiabat.pretrained.importers import importer
from adiabat.pretrained.importers.torchmdnet import read_tensornet
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity

SMALL = TensorNetConfig(cutoff=4.0, channels=8, layers=1, basis=6)
# no two distances alike and no mirror plane
CHIRAL = System.from_arrays([[0, 0, 0], [1.0, 0, 0], [0, 1.2, 0], [0, 0, 1.5]], [8, 1, 1, 1])
KITS = (
    "tensornet",
    "tensornet-so3",
    "matgl-tensornet-matpes-pbe-2025.1",
    "matgl-tensornet-so3-random",
)


def test_battery():
    torch.manual_seed(1)
    report = run_battery(TensorNet(SMALL, [1, 6, 8]), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


@pytest.mark.slow
def test_learns_and_conserves_energy():
    torch.manual_seed(1)
    report = run_battery(TensorNet(SMALL, [1, 6, 8]))
    assert report.passed, report.text()


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {"energy", "forces", "stress"} <= {d.quantity for d in report.deviations}


@pytest.mark.parametrize("name", ["tensornet", "tensornet-so3"])
def test_charged_systems_and_features(shared, name):
    kit = Kit(shared / "golden" / name)
    model = importer(kit)(kit).potentials[""]
    given = kit.outputs()
    for case in ("ethanol", "water8_pbc"):
        system = System.from_ase(kit.structures()[case])
        graph = Graph.build(system, model.cutoff)
        features = model.model.features(graph).detach()
        torch.testing.assert_close(features, torch.as_tensor(given[f"{case}/descriptor"]), rtol=1e-10, atol=1e-10)
        ion = graph.replace(system=system.replace(charge=torch.tensor([1.0])))
        found = evaluate(model, ion)
        for value, wanted in ((found.energy, "energy_charge+1"), (found.forces, "forces_charge+1")):
            wanted = torch.as_tensor(given[f"{case}/{wanted}"]).reshape(value.shape)
            torch.testing.assert_close(value, wanted, rtol=1e-10, atol=1e-10)


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "tensornet")
    options, weights = kit.meta["hyperparameters"], kit.weights()
    with pytest.raises(CheckpointError, match="shape"):
        read_tensornet(options | {"num_rbf": 8}, weights, [1, 6])
    with pytest.raises(CheckpointError, match="rbf_type 'gauss'"):
        read_tensornet(options | {"rbf_type": "gauss"}, weights, [1, 6])
    weights.pop("representation_model.layers.1.linears_tensor.4.weight")
    with pytest.raises(CheckpointError, match=r"layers\.1\.linears_tensor\.4.*is it a TensorNet"):
        read_tensornet(options, weights, [1, 6])


def test_matrix_parts_are_matrices():
    e = torch.as_tensor(basis())
    gram = torch.einsum("iab,jab->ij", e, e)
    torch.testing.assert_close(gram, torch.eye(9))
    d = torch.nn.functional.normalize(torch.tensor([[0.3, -1.2, 0.5]]))
    found = torch.einsum("pk,kab->pab", DirectionMatrices()(d), e)[0]
    x, y, z = d[0].tolist()
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    torch.testing.assert_close(found, torch.eye(3) + skew + torch.outer(d[0], d[0]) - torch.eye(3) / 3)
    a, b = torch.randn(2, 9)
    product = torch.einsum("ijk,i,j,kab->ab", torch.as_tensor(multiplication()), a, b, e)
    matrix = torch.einsum("k,kab->ab", a, e) @ torch.einsum("k,kab->ab", b, e)
    torch.testing.assert_close(product, matrix)


@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
def test_mirror_images(group):
    torch.manual_seed(2)
    model = TensorNet(SMALL.model_copy(update={"group": group}), [1, 8])
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turn = turn * torch.linalg.det(turn).sign()
    energies = [
        evaluate(model, Graph.build(CHIRAL.replace(positions=CHIRAL.positions @ matrix), 4.0)).energy[0]
        for matrix in (torch.eye(3), turn, -turn)
    ]
    assert abs(energies[1] - energies[0]) < 1e-12
    assert (abs(energies[2] - energies[0]) < 1e-12) == (group == "O(3)")


def test_every_parameter_is_trained():
    torch.manual_seed(3)
    for head in ("dense", "gated"):
        model = TensorNet(SMALL.model_copy(update={"head": head}), [1, 8])
        found = evaluate(model, Graph.build(CHIRAL, 4.0), create_graph=True)
        (found.energy.sum() + found.forces.square().sum()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().max()) > 0, name


def test_single_precision_agrees():
    torch.manual_seed(4)
    check_single_precision(TensorNet(SMALL, [1, 8]), Graph.build(CHIRAL, 4.0))


def test_options_are_checked():
    assert build(TensorNetConfig(channels=8), [1]).config.layers == 2
    assert method("tensornet").paper == "10.48550/arXiv.2306.06482"
    with pytest.raises(ConfigError, match="set self_neighbor to false"):
        TensorNetConfig.parse({"radial": "smooth-bessel"})
    for wrong in ({"cutoff": -1.0}, {"basis": 1}, {"group": "SE(3)"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            TensorNetConfig.parse(wrong)


def test_energy_of_a_structure_comes_once():
    torch.manual_seed(5)
    plain = TensorNet(SMALL, [1, 8])
    shifted = TensorNet(SMALL.model_copy(update={"structure_energy": 2.5}), [1, 8])
    shifted.load_state_dict(plain.state_dict())
    graph = Graph.build(System.batch([CHIRAL, CHIRAL]), 4.0)
    difference = shifted(graph).energy - plain(graph).energy
    np.testing.assert_allclose(difference.detach(), [2.5, 2.5])
