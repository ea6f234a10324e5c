"""SO3net through the battery, beside the published programs, and what its options do."""

import numpy as np
import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.equivariant.so3net import SO3Net, SO3NetConfig
from adiabat.errors import CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.clebsch_gordan import natural_couplings
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.pretrained.importers.schnetpack import from_kit, read_so3net
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity

SMALL = SO3NetConfig(cutoff=4.0, channels=8, layers=2, basis=6, l_max=2)
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])


def test_battery():
    torch.manual_seed(1)
    report = run_battery(SO3Net(SMALL, [1, 6, 8]), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


@pytest.mark.slow
def test_learns_and_conserves_energy():
    torch.manual_seed(1)
    report = run_battery(SO3Net(SMALL.model_copy(update={"layers": 1}), [1, 6, 8]))
    assert report.passed, report.text()


@pytest.mark.parametrize("name", ["so3net", "matgl-so3net-ani1x"])
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    wanted = {"energy", "forces", "stress"} | ({"charges", "dipole"} if name == "so3net" else set())
    assert wanted <= {d.quantity for d in report.deviations}


def test_features(shared):
    kit = Kit(shared / "golden" / "so3net")
    model = from_kit(kit).potentials[""].model
    for case in ("ethanol", "nacl8_triclinic"):
        found = model.features(Graph.build(System.from_ase(kit.structures()[case]), model.cutoff))[:, 0]
        wanted = torch.as_tensor(kit.outputs()[f"{case}/descriptor"])
        torch.testing.assert_close(found.detach(), wanted, rtol=1e-10, atol=1e-10)


def test_original_file(shared):
    kit = Kit(shared / "golden" / "matgl-so3net-ani1x")
    model = import_original(shared / "weights" / "matgl" / "SO3Net-ANI-1x-Subset-PES").potentials[""]
    system = System.from_ase(kit.structures()["ethanol"])
    found = evaluate(model, Graph.build(system, model.cutoff))
    np.testing.assert_allclose(found.energy, kit.outputs()["ethanol/energy"].reshape(1), rtol=1e-12)
    np.testing.assert_allclose(found.forces, kit.outputs()["ethanol/forces"], atol=1e-10)


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "so3net")
    options, weights = kit.meta["hyperparameters"], kit.weights()
    with pytest.raises(CheckpointError, match="shape"):
        read_so3net(options | {"lmax": 1}, weights, [1, 6])
    with pytest.raises(CheckpointError, match="rbf 'gaussian'"):
        read_so3net(options | {"rbf": "gaussian"}, weights, [1, 6])
    weights.pop("representation.mixings2.1.weight")
    with pytest.raises(CheckpointError, match=r"mixings2\.1.*is it a SO3Net"):
        read_so3net(options, weights, [1, 6])


def test_couplings_turn_with_the_harmonics():
    """Coupled harmonics of one direction are its harmonics again, with the known coefficient at the pole."""
    table = torch.as_tensor(natural_couplings(2))
    y = SphericalHarmonics(2, "integral")(torch.randn(5, 3))
    made = torch.einsum("abc,na,nb->nc", table, y, y)
    # Σ √((2l₁+1)(2l₂+1)/(4π(2l₃+1))) ⟨l₁0 l₂0|l₃0⟩ Y_l₃
    factors = np.zeros(3)
    for l1, l2, l3 in np.ndindex(3, 3, 3):
        value = float(table[l1 * l1 + l1, l2 * l2 + l2, l3 * l3 + l3])
        factors[l3] += np.sqrt((2 * l1 + 1) * (2 * l2 + 1) / (4 * np.pi * (2 * l3 + 1))) * value
    known = {(1, 1, 0): -(3**-0.5), (1, 1, 2): (2 / 3) ** 0.5, (1, 2, 1): -(0.4**0.5), (2, 2, 2): -((2 / 7) ** 0.5)}
    for (l1, l2, l3), value in known.items():
        assert float(table[l1 * l1 + l1, l2 * l2 + l2, l3 * l3 + l3]) == pytest.approx(value)
    for l in range(3):
        part = slice(l * l, (l + 1) ** 2)
        torch.testing.assert_close(made[:, part], float(factors[l]) * y[:, part])


def test_every_parameter_is_trained():
    torch.manual_seed(2)
    for head in ("dense", "gated"):
        model = SO3Net(SMALL.model_copy(update={"dipole": True, "head": head}), [1, 8])
        found = evaluate(model, Graph.build(WATER, 4.0), ("energy", "forces", "dipole"), create_graph=True)
        (found.energy.sum() + found.forces.square().sum() + found.dipole.square().sum()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().max()) > 0, name


def test_dipoles_turn():
    torch.manual_seed(3)
    model = SO3Net(SMALL.model_copy(update={"dipole": True, "layers": 1}), [1, 8])
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turned = WATER.replace(positions=WATER.positions @ turn.T + 7.0)
    first, second = (evaluate(model, Graph.build(s, 4.0), ("dipole",)).dipole[0] for s in (WATER, turned))
    torch.testing.assert_close(second, turn @ first)
    assert float(first.norm()) > 1e-3


def test_single_precision_agrees():
    torch.manual_seed(4)
    check_single_precision(SO3Net(SMALL, [1, 8]), Graph.build(WATER, 4.0))


def test_options_are_checked():
    assert build(SO3NetConfig(channels=8, l_max=0), [1]).config.layers == 3
    assert method("so3net").paper == "10.1063/5.0138367"
    with pytest.raises(ConfigError, match="set l_max to 1 or more"):
        SO3NetConfig.parse({"dipole": True, "l_max": 0})
    for wrong in ({"cutoff": 0.0}, {"layers": 0}, {"l_max": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            SO3NetConfig.parse(wrong)
