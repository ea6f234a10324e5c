"""Frozen models: the numbers of the model itself, and forces that are still exact derivatives."""

import pytest
import torch

from adiabat.architectures.equivariant.mace import MACE, MACEConfig
from adiabat.architectures.equivariant.so3net import SO3Net, SO3NetConfig
from adiabat.architectures.equivariant.tensornet import TensorNet, TensorNetConfig
from adiabat.architectures.invariant.m3gnet import M3GNet, M3GNetConfig
from adiabat.architectures.invariant.reann import REANN, REANNConfig
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.architectures.local.ani import ANI, ANIConfig
from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.architectures.local.deep_potential import DeepPotential, DeepPotentialConfig
from adiabat.architectures.local.eann import EANN, EANNConfig
from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.compile import Frozen, quickest
from adiabat.descriptors.aev import Terms
from adiabat.errors import CapabilityError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.potential import Referenced

WANT = ("energy", "forces", "stress")
SMALL = {"hidden_irreps": "8x0e+8x1o", "cutoff": 4.0, "average_neighbors": 8.0, "radial_network": (16, 16)}
TENSORNET_OF_MATGL = {"damped_basis": False, "self_neighbor": False, "charge_scale": 0.0, "group": "SO(3)"}
SHORT = {"cutoff": 4.0, "three_body_cutoff": 4.0, "layers": 2}
TWO = {"kind": "se_e2_a", "cutoff": 4.0, "embedding": [5, 10], "axis": 3, "exclude": [["H", "H"]]}
DEEP = {"descriptor": TWO, "hidden": [16, 16]}
HYBRID = {"descriptor": {"kind": "hybrid", "parts": [TWO | {"cutoff": 3.5}, {"kind": "se_e3", "cutoff": 4.0}]}}
MODELS = {
    "deep potential": lambda: adapted(DeepPotential(DeepPotentialConfig.parse(DEEP), [1, 8])),
    "deep potential hybrid": lambda: adapted(DeepPotential(DeepPotentialConfig.parse(DEEP | HYBRID), [1, 8])),
    "schnet": lambda: SchNet(SchNetConfig(channels=24, layers=3, cutoff=4.0), [1, 8]),
    "mace": lambda: MACE(MACEConfig(**SMALL), [1, 8]),
    "mace invariant": lambda: MACE(MACEConfig(**SMALL | {"hidden_irreps": "20x0e", "correlation": 2}), [1, 8]),
    "mace agnesi density": lambda: MACE(
        MACEConfig(**SMALL, distance_transform="agnesi", interaction="density", repulsion=True, first_residual=False),
        [1, 8],
    ),
    "mace nonlinear": lambda: MACE(MACEConfig(**SMALL, interaction="nonlinear", cutoff_on="messages"), [1, 8]),
    "mace full couplings": lambda: MACE(MACEConfig(**SMALL, couplings="full", agnostic_product=True), [1, 8]),
    "nep": lambda: NEP(NEPConfig(cutoff=4.0, angular_cutoff=3.0, repulsion=(0.5, 1.2)), [1, 8]),
    "so3net": lambda: SO3Net(SO3NetConfig(channels=20, cutoff=4.0, layers=2), [1, 8]),
    "tensornet": lambda: TensorNet(TensorNetConfig(channels=24, cutoff=4.0), [1, 8]),
    "tensornet matgl": lambda: TensorNet(
        TensorNetConfig(channels=20, cutoff=4.0, basis=3, radial="smooth-bessel", head="gated", **TENSORNET_OF_MATGL),
        [1, 8],
    ),
    "m3gnet": lambda: M3GNet(M3GNetConfig(channels=20, cutoff=4.0, three_body_cutoff=3.5, layers=2), [1, 8]),
    "m3gnet matgl": lambda: M3GNet(M3GNetConfig(channels=16, **SHORT, radial="bessel", messages="neighbor"), [1, 8]),
    "m3gnet matgl smooth": lambda: M3GNet(
        M3GNetConfig(channels=16, hidden=20, **SHORT, angular="smooth", messages="neighbor"), [1, 8]
    ),
    "mattersim": lambda: M3GNet(
        M3GNetConfig(channels=16, **SHORT, basis=4, degrees=4, depth=2, variant="mattersim"), [1, 8]
    ),
    "eann": lambda: adapted(EANN(EANNConfig(cutoff=4.0), [1, 8])),
    "reann": lambda: adapted(REANN(REANNConfig(cutoff=4.0, passes=2), [1, 8])),
    "equireann": lambda: adapted(REANN(REANNConfig(cutoff=4.0, passes=2, l_max=3, equivariant=True), [1, 8])),
    "nep with charges": lambda: NEP(NEPConfig(cutoff=4.0, angular_cutoff=3.0, charges="reciprocal"), [1, 8]),
    "bpnn": lambda: BPNN(BPNNConfig(cutoff=4.0), [1, 8]),
    "bpnn components": lambda: BPNN(BPNNConfig(cutoff=4.0, components=9, cutoff_function="poly2"), [1, 6, 8]),
    "snap": lambda: snap({"descriptor": {"cutoff": 4.0, "twojmax": 4}, "repulsion": (0.6, 1.2)}),
    "snap quadratic": lambda: snap(
        {"descriptor": {"cutoff": 4.0, "twojmax": 2, "by_element": True}, "quadratic": True}
    ),
    "ani": lambda: ANI(ANIConfig(aev=Terms(cutoff=4.0), hidden={"others": (20, 7)}, members=3), [1, 6, 8]),
}


@pytest.fixture(autouse=True)
def compiler():
    if available() is not None:
        pytest.skip(available())


def graphs():
    """Water in a crystal cell smaller than twice the cutoff, and a batch with an atom that is alone."""
    generator = torch.Generator().manual_seed(0)
    water = torch.tensor([[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]], dtype=torch.float64)
    places = torch.tensor([[0, 0, 0], [0, 3.1, 0.4], [3.0, 0.2, 0]], dtype=torch.float64)
    positions = (places[:, None] + water).reshape(-1, 3)
    positions = positions + 0.05 * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    cell = [[6.0, 0, 0], [0.4, 6.2, 0], [0, 0.3, 4.1]]
    crystal = System.from_arrays(positions.numpy(), [8, 1, 1] * 3, cell=cell, pbc=True)
    alone = System.from_arrays([[0, 0, 0]], [8], cell=[[30, 0, 0], [0, 30, 0], [0, 0, 30]], pbc=True)
    return [Graph.build(s, 4.0) for s in (crystal, System.batch([crystal, alone, crystal]))]


def snap(options):
    """With weights, which are zero before a fit."""
    model = SNAP(SNAPConfig.parse(options), [1, 8])
    torch.nn.init.normal_(model.head.weights, std=0.02)
    return model


def adapted(model):
    """With the statistics of the structures below."""
    model.adapt(graphs())
    return model


@pytest.mark.parametrize("name", MODELS)
def test_frozen_equals_the_model(name):
    torch.manual_seed(1)
    model = MODELS[name]().double()
    frozen = model.frozen()
    assert frozen.is_frozen
    assert not model.is_frozen
    for graph in graphs():
        exact, found = evaluate(model, graph, WANT), evaluate(frozen, frozen.prepare(graph), WANT)
        torch.testing.assert_close(found.energy, exact.energy, rtol=1e-7, atol=1e-6)
        for wanted, made in ((exact.forces, found.forces), (exact.stress, found.stress)):
            torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
        unprepared = evaluate(frozen, graph, WANT)
        assert torch.equal(unprepared.forces, found.forces)


@pytest.mark.parametrize("name", ["schnet", "nep"])
def test_traced_equals_frozen(name):
    torch.manual_seed(1)
    model = MODELS[name]().double()
    run, frozen = Frozen(model, patience=0), model.frozen()
    for graph in graphs():
        expected, found = evaluate(frozen, graph, WANT), run.evaluate(graph, WANT)
        for quantity in WANT:
            torch.testing.assert_close(getattr(found, quantity), getattr(expected, quantity), rtol=1e-12, atol=1e-14)
    assert list(run._traced.values()) != [None]


@pytest.mark.parametrize(
    "name", ["schnet", "tensornet", "m3gnet", "mace", "mace agnesi density", "nep", "equireann", "deep potential"]
)
def test_forces_of_a_frozen_model_are_derivatives(name):
    torch.manual_seed(2)
    frozen = MODELS[name]().double().frozen()
    graph = graphs()[0]
    forces = evaluate(frozen, graph).forces
    direction = torch.randn(forces.shape, dtype=torch.float64)
    step, energies = 1e-5, []
    for sign in (1, -1):
        moved = graph.system.replace(positions=graph.system.positions + sign * step * direction)
        energies.append(evaluate(frozen, Graph.build(moved, 4.0)).energy)
    slope = float((energies[0] - energies[1]) / (2 * step))
    assert slope == pytest.approx(-float((forces * direction).sum()), rel=1e-6)


def test_single_precision():
    torch.manual_seed(3)
    model = MODELS["mace"]().float()
    graph = graphs()[0].to(dtype=torch.float32)
    exact, found = evaluate(model, graph, WANT), evaluate(model.frozen(), graph, WANT)
    torch.testing.assert_close(found.energy, exact.energy, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(found.forces, exact.forces, rtol=0, atol=1e-5 * float(exact.forces.abs().max()))


def test_a_frozen_model_follows_its_wrapper():
    torch.manual_seed(4)
    model = Referenced(MODELS["schnet"]().double(), {1: -3.0, 8: -5.0}, 2.0)
    graph = graphs()[0]
    torch.testing.assert_close(
        evaluate(model.frozen(), graph).energy, evaluate(model, graph).energy, rtol=1e-8, atol=1e-6
    )
    assert model.frozen().model.is_frozen


def test_a_frozen_model_refuses_its_hessian():
    model, graph = MODELS["schnet"]().double(), graphs()[0]
    with pytest.raises(CapabilityError, match="a frozen model has no Hessian"):
        evaluate(model.frozen(), graph, ("hessian",))


def test_methods_without_kernels_say_so():
    with pytest.raises(CapabilityError, match="SGDML has no fast kernels"):
        SGDML(SGDMLConfig(), [1, 8]).frozen()
    with pytest.raises(CapabilityError, match="for se_e2_a alone"):
        DeepPotential(DeepPotentialConfig.parse({"descriptor": {"kind": "se_e2_r"}}), [1, 8]).frozen()


def test_quickest_is_frozen_where_there_are_kernels():
    model = MODELS["schnet"]()
    assert quickest(model).is_frozen
    assert not model.is_frozen
    without = SGDML(SGDMLConfig(), [1, 8])
    assert quickest(without) is without
