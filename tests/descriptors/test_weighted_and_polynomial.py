"""Symmetry functions weighted by elements, and polynomial ones: n2p2's numbers, kernels, invariance, fits."""

import numpy as np
import pytest
import torch
from small_models import ELEMENTS, loosened, several_graphs, structure

from adiabat import load, train
from adiabat.architectures import build
from adiabat.architectures.local.bpnn import BPNN, WACSFNNConfig
from adiabat.architectures.local.local import LocalConfig
from adiabat.descriptors import DESCRIPTORS
from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.psf import PSFConfig
from adiabat.descriptors.symmetry_functions import WEIGHTED, SymmetryFunction
from adiabat.descriptors.wacsf import WACSFConfig
from adiabat.errors import CheckpointError, ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.symmetry_functions import NAME
from adiabat.pretrained.importers.n2p2 import read_function
from adiabat.quickstart import shipped
from adiabat.testing.battery import run_battery

ATOMS = """
H 0.0 0.0 0.0
O 1.0 0.2 0.0
H 1.4 1.1 0.3
Mg 0.3 -1.9 0.6
O -1.2 0.9 1.7
H -1.9 0.2 1.5
O 0.2 2.9 -0.6
"""
# lines of input.nn, and n2p2's values of the atoms of that element with their derivatives along sin(1), sin(2) ...
N2P2 = {
    "H 2 O 0.4 1.1 4.0": [
        (1.13484286217, 0.134915644372),
        (1.09995625698, -0.60043855046),
        (0.898035591779, -0.404570570659),
    ],
    "H 3 O Mg 0.1 -1 3.0 4.0 0.5": [
        (0.0258744425831, -0.0613890986061),
        (1.91212750091e-06, -3.05161673038e-05),
        (0.000104939605753, -0.000466790644822),
    ],
    "H 9 O O 0.1 1 2.5 3.5": [
        (0.0153939671381, -0.0505273580669),
        (0.0170209653364, -0.0163013184118),
        (0.000734188604779, 0.00374615029604),
    ],
    "H 12 0.3 0.7 4.0": [
        (12.6017708193, -3.76195044583),
        (8.808289046, -9.94801921465),
        (7.24575926311, -6.91465662197),
    ],
    "H 13 0.05 0.4 -1 3.0 4.0": [
        (4.85349977047, -5.16274427982),
        (1.08911155008, -5.285429856),
        (0.0612867523343, -0.0553752421605),
    ],
    "H 20 O 0.5 3.5 p1": [
        (1.48115702448, -1.95639350597),
        (1.44864280101, 1.91959065784),
        (0.334108516038, 2.23854506175),
    ],
    "H 20 O -4.0 4.0 p2a": [
        (0.654024316808, 1.22453075357),
        (0.637021483739, -1.6821107456),
        (0.609557476043, -1.44386713987),
    ],
    "H 21 O O 0.4 4.0 20.0 140.0 p2": [
        (0.313086985187, -1.37187880345),
        (0.347773943618, 1.71057248074),
        (0.0396468245377, 0.492933422667),
    ],
    "H 21 O Mg -4.0 4.0 60.0 300.0 p3a": [
        (8.90050489516e-05, -0.00039260463816),
        (1.14924914748e-16, -4.77000703831e-15),
        (8.02394090331e-11, -1.11208944322e-09),
    ],
    "H 22 O Mg 0.2 3.5 -90.0 90.0 p4": [
        (0, 0),
        (0.0055791118677, -0.140939191958),
        (5.04431380966e-05, 0.00073567040037),
    ],
    "H 23 0.6 3.8 e": [
        (30.095693957, -17.5694356071),
        (23.6002266504, -5.63610725693),
        (13.6202721377, 31.187177017),
    ],
    "H 24 -4.5 4.5 30.0 150.0 p3": [
        (37.0778412276, -52.434919792),
        (8.16886337084, -13.3017235265),
        (2.61996734953, -0.104454140426),
    ],
    "H 25 0.3 3.8 90.0 270.0 p2a": [
        (11.5464395988, 15.2597034364),
        (0.485534663697, -3.94848405295),
        (5.82202932769e-06, 0.000693536448907),
    ],
    "O 2 H 0.4 1.1 4.0": [
        (1.78276570453, -0.112641402618),
        (1.13782295099, -0.761570130674),
        (0.212246055414, 0.004118056545),
    ],
    "O 22 H H 0.2 4.5 0.0 180.0 p2": [
        (0.280794749294, 1.17760918835),
        (0.746767429156, 2.77409224166),
        (0.385404697815, -0.247220949283),
    ],
    "O 25 0.3 4.8 40.0 110.0 e": [
        (179.759329106, -62.6983715519),
        (94.8304607334, 44.0625622818),
        (38.9661339472, -12.2345616678),
    ],
    "Mg 23 -4.0 4.0 p4a": [(0.150997513465, -0.208896412333)],
}


def functions(names="H O Mg"):
    """Those of n2p2's lines, in their order."""
    found = []
    for line in N2P2:
        center, kind, *rest = line.split()
        found.append(read_function(center, kind, rest, names.split(), 1.0)[1])
    return found


def molecule():
    words = [line.split() for line in ATOMS.split("\n") if line]
    places = [[float(x) for x in own] for _, *own in words]
    return System.from_arrays(places, [{"H": 1, "O": 8, "Mg": 12}[name] for name, *_ in words])


def pulled(descriptor, graph, weights):
    """Features of all atoms, and the slopes of their weighted sum by positions."""
    positions = graph.system.positions.clone().requires_grad_()
    values = descriptor(graph.replace(system=graph.system.replace(positions=positions)))
    return values.detach(), torch.autograd.grad((values * weights).sum(), positions)[0]


@pytest.mark.parametrize("kernel", [True, False])
def test_n2p2s_numbers(kernel):
    if kernel and available(NAME) is not None:
        pytest.skip("no compiled kernels")
    own, system = functions(), molecule()
    descriptor = ACSF(own, [1, 8, 12], "poly2")
    graph = Graph.build(system, descriptor.cutoff)
    values, slopes = descriptor.jacobian(graph) if kernel else descriptor.jacobian_in_torch(graph)
    step = torch.sin(1.0 + torch.arange(3.0 * system.atoms)).reshape(-1, 3)
    moved = step[graph.neighbors] - step[graph.centers]
    along = torch.zeros_like(values).index_add(0, graph.centers, torch.einsum("pfc,pc->pf", slopes, moved))
    places = {1: 0, 8: 0, 12: 0}
    for f, given in zip(own, N2P2.values(), strict=True):
        z = {"H": 1, "O": 8, "Mg": 12}[f.center]
        atoms, column = system.numbers == z, places[z]
        places[z] += 1
        wanted = torch.tensor(given)
        found = torch.stack((values[atoms, column], along[atoms, column]), dim=1)
        size = wanted.abs().amax(dim=0)
        assert bool(((found - wanted).abs().amax(dim=0) <= 2e-11 * size).all()), f


def mixed():
    """Every kind, named and weighted, in one set; its cutoffs differ."""
    shell = {"begin": 0.6, "cutoff": 2.9}
    own = [
        {"kind": "G1", "neighbors": ("H",)},
        {"kind": "G3", "neighbors": ("O",), "kappa": 2.5},
        {"kind": "G3", "kappa": 1.5, "weight": "one"},
        {"kind": "G2", "eta": 0.4, "shift": 1.0, "weight": {"H": -1.0, "O": 0.5}},
        {"kind": "G4", "eta": 0.1, "zeta": 3.0, "sign": -1},
        {"kind": "G5", "eta": 0.1, "zeta": 2.5, "weight": "one"},
        {"kind": "G5", "eta": 0.1, "zeta": 2.0, "neighbors": ("O", "H")},
        {"kind": "P2", "neighbors": ("O",), "asymmetric": True, **shell},
        {"kind": "P2", "core": "poly1", **shell},
        {"kind": "P4", "neighbors": ("O", "H"), "angles": (-60.0, 60.0), "begin": -3.0},
        {"kind": "P4", "angles": (90.0, 270.0), "core": "poly3", "asymmetric": True, **shell},
        {"kind": "P5", "neighbors": ("H", "H"), "angles": (30.0, 150.0), "core": "exponential", **shell},
        {"kind": "P5", "angles": (40.0, 120.0), "weight": "one", "core": "poly4", "begin": -3.0},
    ]
    return [SymmetryFunction.parse({"center": center, "cutoff": 3.0} | f) for center in ("H", "O") for f in own]


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_equal_torch(dtype):
    descriptor, frozen = ACSF(mixed(), ELEMENTS), ACSF(mixed(), ELEMENTS)
    frozen.freeze()
    fine = dtype == torch.float64
    frozen._frozen = frozen.kernel().to(dtype)
    for graph in several_graphs():
        graph = graph.to(dtype=dtype)
        weights = torch.randn((graph.system.atoms, descriptor.size), generator=torch.Generator().manual_seed(0)).to(
            dtype
        )
        wanted, made = pulled(descriptor, graph, weights), pulled(frozen, graph, weights)
        values, slopes = descriptor.jacobian(graph)
        torch_values, torch_slopes = descriptor.jacobian_in_torch(graph)
        for found, given in (*zip(made, wanted, strict=True), (values, wanted[0]), (slopes, torch_slopes)):
            size = float(given.abs().max()) if given.numel() else 0.0
            assert found.dtype == dtype
            torch.testing.assert_close(found, given, rtol=0, atol=(1e-11 if fine else 1e-4) * size)
        torch.testing.assert_close(torch_values, wanted[0], rtol=0, atol=(1e-12 if fine else 1e-5) * 100)


def test_slopes_are_differences():
    descriptor = ACSF(mixed(), ELEMENTS)
    graph = several_graphs()[1]
    weights = torch.randn((graph.system.atoms, descriptor.size), generator=torch.Generator().manual_seed(1))
    _, slopes = pulled(descriptor, graph, weights)
    step = 1e-5
    for atom, axis in ((0, 0), (4, 1), (7, 2)):
        found = []
        for sign in (1.0, -1.0):
            moved = graph.system.positions.clone()
            moved[atom, axis] += sign * step
            own = Graph.build(graph.system.replace(positions=moved), 3.0)
            found.append(float((descriptor(own) * weights).sum()))
        assert (found[0] - found[1]) / (2 * step) == pytest.approx(float(slopes[atom, axis]), rel=1e-6, abs=1e-6)


def test_turning_and_order_change_nothing():
    descriptor = ACSF(mixed(), ELEMENTS)
    system = structure(9, 4.0, seed=3, pbc=False)
    values = descriptor(Graph.build(system, 3.0))
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    moved = System.from_arrays((system.positions @ turn + 1.0)[order].numpy(), system.numbers[order].tolist())
    torch.testing.assert_close(descriptor(Graph.build(moved, 3.0)), values[order], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", ["wacsf", "psf"])
def test_they_end_smoothly(kind):
    descriptor = DESCRIPTORS[kind].config_class.parse({"kind": kind, "cutoff": 3.0}).build(ELEMENTS)
    rows = []
    for far in (2.999, 3.001, 9.0):
        places = np.array([[0.0, 0, 0], [1.0, 0, 0], [0.3, far, 0]])
        graph = Graph.build(System.from_arrays(places, [8, 1, 1]), 4.0)
        rows.append(descriptor(graph)[0])
    torch.testing.assert_close(rows[0], rows[1], rtol=0, atol=1e-4)
    torch.testing.assert_close(rows[1], rows[2], rtol=0, atol=1e-12)
    assert rows[0].abs().max() > 0.01


def test_weighted_lengths_do_not_depend_on_elements():
    few, many = (WACSFConfig().build(elements) for elements in ([8], range(1, 60)))
    assert few.sizes == (32,)
    assert set(many.sizes) == {32}
    both = WACSFConfig(recipe=WEIGHTED.model_copy(update={"weights": ("one", "number")})).build([1, 8])
    assert both.sizes == (64, 64)
    assert PSFConfig(weights=("one",)).build([1, 6, 8]).size == PSFConfig(weights=("one",)).build([1]).size


def test_weighted_are_sums_of_the_element_resolved():
    graph = several_graphs()[0]
    named = WEIGHTED.model_copy(update={"weights": ()}).functions(ELEMENTS, 3.0)
    resolved, weighted = ACSF(named, ELEMENTS)(graph), WACSFConfig(cutoff=3.0).build(ELEMENTS)(graph)
    h, o, hh, ho, oo = resolved.split((22, 22, 10, 10, 10), dim=1)
    torch.testing.assert_close(weighted, torch.cat((h + 8 * o, hh + 8 * ho + 64 * oo), dim=1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"begin": 3.0}, "begins at 3.0"),
        ({"kind": "P4", "angles": (-20.0, 60.0)}, "is not smooth"),
        ({"neighbors": ("H", "H")}, "has 2 neighbors"),
        ({"weight": {"O": 1.0}}, "has no number for H"),
    ],
)
def test_faults_are_named(options, words):
    function = SymmetryFunction.parse({"kind": "P2", "center": "H", "cutoff": 3.0} | options)
    with pytest.raises(ConfigError, match=words):
        ACSF([function], [1])


def test_unknown_lines_are_named():
    with pytest.raises(CheckpointError, match="type 4 of input.nn"):
        read_function("H", "4", ["H", "1.0", "6.0"], ["H"], 1.0)
    with pytest.raises(CheckpointError, match="subtype 'q2'"):
        read_function("H", "20", ["H", "0.0", "6.0", "q2"], ["H"], 1.0)


@pytest.mark.parametrize(("regressor", "error"), [("linear", 0.9), ("network", 1.2)])
@pytest.mark.parametrize("kind", ["wacsf", "psf"])
def test_fits_are_saved(kind, regressor, error, tmp_path):
    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":60"},
        "model": {
            "method": "local",
            "descriptor": {"kind": kind, "cutoff": 4.0},
            "regressor": {"kind": regressor},
        },
        "fit": {} if regressor == "linear" else {"epochs": 8, "optimizer": {"rate": 0.02}},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    assert result.metrics["forces_mae"] < error
    again, frame = load(tmp_path / "run" / "model.adiabat"), result.prepared.parts["test"][0]
    assert again.predict(frame.to_ase())["energy"] == pytest.approx(float(frame.labels["energy"]), abs=1.0)


PSF = {"descriptor": {"kind": "psf", "cutoff": 4.5, "shells": 3}, "regressor": {"kind": "network"}}


@pytest.mark.parametrize(
    "config",
    [WACSFNNConfig(cutoff=4.5, hidden=(8,), activations=("tanh",)), LocalConfig.parse(PSF)],
    ids=["wacsf_nn", "psf"],
)
def test_battery(config):
    torch.manual_seed(0)
    report = run_battery(loosened(build(config, [1, 6, 8])), skip=("REF", "NVE", "RT", "FIT"))
    assert report.passed, report.text()


def test_wacsf_nn_is_a_method():
    model = build(WACSFNNConfig(), [1, 6, 7, 8, 9])
    assert isinstance(model, BPNN)
    assert model.descriptor.sizes == (32,) * 5
