"""NequIP through the battery, and what its options do."""

import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.equivariant.nequip import NequIP, NequIPConfig
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.testing.battery import check_inv, run_battery
from adiabat.testing.structures import structures

WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
SMALL = NequIPConfig(
    cutoff=4.0,
    layers=2,
    hidden_irreps="6x0e+3x1o",
    l_max=1,
    radial_functions=6,
    radial_network=(8,),
    average_neighbors=8.0,
)
VARIANTS = {
    "paper": {},
    "both-parities": {"layers": 4, "hidden_irreps": "4x0e+2x0o+2x1o+2x1e+2x2e+2x2o", "l_max": 2, "embedding": 3},
    "program": {
        "hidden_irreps": "4x0e+3x1o+2x2e",
        "l_max": 2,
        "first_self_connection": False,
        "readout": (5,),
        "repulsion": True,
        "pair_cutoffs": ((1, 1, 3.0), (1, 8, 3.5)),
        "trainable_basis": False,
    },
    "graph-pes": {"radial": "own", "layers": 1},
    "sevennet": {
        "symmetry": "SO(3)",
        "hidden_irreps": "8x0e+4x1e+2x2e",
        "l_max": 2,
        "layers": 3,
        "self_connection": "linear",
        "cutoff_function": "xplor",
        "cutoff_onset": 3.2,
        "biases": True,
    },
}


def _model(elements=(1, 6, 8), **changes):
    torch.manual_seed(1)
    return NequIP(SMALL.model_copy(update=changes), elements)


@pytest.mark.parametrize("name", VARIANTS)
def test_battery(name):
    # slow checks once each, on one layer where that is enough
    skip = {"graph-pes": ("NVE",)}.get(name, ("NVE", "FIT", "RT"))
    report = run_battery(_model(**VARIANTS[name]), skip=skip)
    assert report.passed, report.text()


def test_mirror_images_differ_in_so3_alone():
    model = _model(**VARIANTS["sevennet"])
    systems = structures(model.elements, model.cutoff)
    result = check_inv(model, systems)
    assert result.passed
    assert "mirror" in result.message
    model.mirrored = True
    assert not check_inv(model, systems).passed


def test_every_parameter_matters():
    """No weight is dead: each has a gradient, in energies or in forces."""
    for name, changes in VARIANTS.items():
        model = _model((1, 8), **changes)
        generator = torch.Generator().manual_seed(0)
        places = torch.rand((6, 3), generator=generator, dtype=torch.float64).numpy() * 3
        found = evaluate(model, Graph.build(System.from_arrays(places, [8, 1, 1] * 2), 4.0), create_graph=True)
        (found.energy.sum() + found.forces.square().sum()).backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
        # the program, too, makes irreps that the last layer cannot turn into scalars
        idle = {f"layers.2.{part}.weights.{ir}" for part in ("down", "connection") for ir in ("0o", "1e", "2o")}
        assert set(dead) <= (idle if name == "both-parities" else set()), (name, dead)


@pytest.mark.parametrize("name", VARIANTS)
def test_frozen_equals_the_model(name):
    if available() is not None:
        pytest.skip(available())
    model = _model((1, 8), **VARIANTS[name])
    frozen = model.frozen()
    cell = [[4.2, 0, 0], [0.3, 4, 0], [0, 0, 5]]
    graph = Graph.build(System.from_arrays(WATER.positions.numpy(), [8, 1, 1], cell=cell, pbc=True), 4.0)
    exact, found = (evaluate(m, m.prepare(graph), ("energy", "forces", "stress")) for m in (model, frozen))
    torch.testing.assert_close(found.energy, exact.energy, rtol=1e-7, atol=1e-6)
    for wanted, made in ((exact.forces, found.forces), (exact.stress, found.stress)):
        assert wanted is not None
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_single_precision_agrees():
    check_single_precision(_model(), Graph.build(WATER, 4.0))


def test_average_neighbors_come_from_the_data():
    lonely = System.from_arrays([[0, 0, 0], [1, 0, 0], [30, 0, 0]], [1, 1, 1])
    graphs = [Graph.build(WATER, 4.0), Graph.build(lonely, 4.0)]
    model = _model((1, 8), average_neighbors=None)
    model.adapt(graphs)
    assert model.average.flatten().tolist() == pytest.approx([(3 * 2 + 2 * 1) / 5] * 4)
    fixed = _model((1, 8))
    fixed.adapt(graphs)
    assert bool((fixed.average == 8.0).all())


def test_isolated_atoms():
    model = _model((1, 8), repulsion=True)
    one = evaluate(model, Graph.build(System.from_arrays([[0, 0, 0]], [8]), 4.0))
    far = evaluate(model, Graph.build(System.from_arrays([[0, 0, 0], [20, 0, 0]], [8, 8]), 4.0))
    assert float(far.energy) == pytest.approx(2 * float(one.energy))
    assert float(far.forces.abs().max()) == 0.0
    without = _model((8,), first_self_connection=False, layers=1)
    assert float(evaluate(without, Graph.build(System.from_arrays([[0, 0, 0]], [8]), 4.0)).energy) == 0.0


def test_pair_cutoffs_end_a_pair():
    model = _model((1, 8), pair_cutoffs=((1, 1, 2.0),), layers=1, first_self_connection=False)
    for distance, felt in ((1.9, True), (2.1, False)):
        pair = System.from_arrays([[0, 0, 0], [distance, 0, 0]], [1, 1])
        assert bool(evaluate(model, Graph.build(pair, 4.0)).forces.abs().max() > 0) == felt


def test_unreachable_irreps_are_left_out():
    model = _model(**VARIANTS["both-parities"])
    made = [str(layer.gate.irreps_out) for layer in model.layers]
    assert made == [
        "4x0e+2x1o+2x2e",
        "4x0e+2x1o+2x1e+2x2e+2x2o",
        "4x0e+2x0o+2x1o+2x1e+2x2e+2x2o",
        "4x0e",
    ]


def test_defaults_build():
    model = build(NequIPConfig(), [1, 8])
    assert isinstance(model, NequIP)
    assert str(model.layers[2].gate.irreps_out) == NequIPConfig().hidden_irreps
    assert method("nequip").paper == "10.1038/s41467-022-29939-5"


def test_options_are_checked():
    with pytest.raises(ConfigError, match="Did you mean 'hidden_irreps'"):
        NequIPConfig.parse({"hiden_irreps": "4x0e"})
    for wrong, sentence in (
        ({"cutoff_onset": 3.0}, "cutoff_onset"),
        ({"cutoff_onset": 6.0, "cutoff_function": "xplor"}, "below the cutoff"),
        ({"pair_cutoffs": ((1, 1, 9.0),)}, "at most the cutoff"),
        ({"pair_cutoffs": ((1, 1, 3.0),), "cutoff_function": "xplor"}, "polynomial"),
        ({"symmetry": "SU(2)"}, "symmetry"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            NequIPConfig.parse(wrong)
    for wrong, sentence in (
        ({"hidden_irreps": "8x1o"}, "begin with scalars"),
        ({"hidden_irreps": "8x0e+8x1o", "symmetry": "SO(3)"}, "even ones"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            NequIP(SMALL.model_copy(update=wrong), [1])
