"""DPA-4 through the battery, with neighbors along the axes, and what its options do."""

import numpy as np
import pytest
import torch
from small_models import SMALL_DPA4, loosened, several_graphs, structure

from adiabat import checkpoint
from adiabat.architectures import build, method
from adiabat.architectures.equivariant.dpa4 import DPA4, DPA4Config
from adiabat.data.info import DataInfo
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, PairList, System
from adiabat.nn.cutoffs import BinomialCutoff
from adiabat.testing.battery import run_battery

PLAIN = {
    "mixing": "none",
    "heads": 0,
    "seeded": False,
    "norms": (True, False, True, True),
    "l_max": 1,
    "layers": 1,
}
ROTATIONS = {
    "focuses": 2,
    "focus_channels": 2,
    "layers": 1,
    "feed_forward": {"domain": "rotations", "product": "branches", "branches": 2},
    "message": {"domain": "rotations"},
    "readout": {"domain": "rotations", "product": "network"},
}
CASES = {"small": {}, "normalized": {"normalized": True, "layers": 1}, "plain": PLAIN, "rotations": ROTATIONS}


def _model(elements=(1, 6, 8), **changes):
    torch.manual_seed(1)
    return loosened(DPA4(DPA4Config.parse(SMALL_DPA4 | changes), elements))


@pytest.mark.parametrize("name", CASES)
def test_battery(name):
    skip = ("NVE", "FIT", "RT") if name == "small" else ("NVE", "FIT", "RT", "CUT", "EXT", "PBC", "BATCH")
    report = run_battery(_model(**CASES[name]), skip=skip)
    assert report.passed, report.text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "rotations"])
def test_learns_and_is_captured(name):
    report = run_battery(_model(**CASES[name]), skip=("NVE", "INV", "FD", "CUT", "EXT", "PBC", "BATCH"))
    assert report.passed, report.text()


@pytest.mark.parametrize("m_max", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_forces_are_slopes_where_neighbors_lie_along_an_axis(axis, m_max):
    """Frames of pairs along an axis, and of those in the plane where they jump, have no poles."""
    model = _model((1, 8), m_max=m_max)
    positions = np.array([[0.0, 0.0, 0.0], [0.4, 0.5, -0.3], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    positions[2, axis], positions[3, axis] = 1.2, -1.3

    def energy(moved):
        return float(evaluate(model, Graph.build(System.from_arrays(moved, [8, 1, 1, 8]), 3.0), ("energy",)).energy)

    forces = evaluate(model, Graph.build(System.from_arrays(positions, [8, 1, 1, 8]), 3.0), ("forces",)).forces
    h = 1e-5
    for atom in range(4):
        for way in range(3):
            step = np.zeros((4, 3))
            step[atom, way] = h
            slope = (energy(positions + step) - energy(positions - step)) / (2 * h)
            assert float(forces[atom, way]) == pytest.approx(-slope, abs=1e-6 * float(forces.abs().max()))
    # a rotation of everything out of the axes changes nothing
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    assert energy(positions @ turn.T) == pytest.approx(energy(positions), rel=1e-12)


def test_mirror_images_may_differ_and_the_page_says_so():
    model, system = _model((1, 8)), structure(6, 4.0, pbc=False)
    mirrored = system.replace(positions=-system.positions)
    one, other = (evaluate(model, Graph.build(s, 3.0), ("energy",)).energy for s in (system, mirrored))
    assert not model.mirrored
    assert float((one - other).abs()) > 1e-6


@pytest.mark.parametrize("name", CASES)
def test_the_plain_list_of_pairs_gives_the_same(name):
    """Exported programs have no rows."""
    model, graph = _model((1, 8), **CASES[name]), several_graphs()[1]
    listed = graph.replace(layout=PairList(graph.pairs, graph.system.atoms))
    torch.testing.assert_close(model(listed).energy, model(graph).energy, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", ["small", "rotations"])
def test_saved_and_loaded(name, tmp_path):
    model, graph = _model((1, 8), **CASES[name]), several_graphs()[0]
    checkpoint.save(tmp_path / "model.adiabat", model, DataInfo(elements=model.elements))
    loaded = checkpoint.load(tmp_path / "model.adiabat").potential
    assert torch.equal(evaluate(loaded, graph).energy, evaluate(model, graph).energy)


def test_registered_with_the_published_options():
    model = build(DPA4Config(layers=1), [1, 8])
    assert isinstance(model, DPA4)
    assert method("dpa4").paper == "10.48550/arXiv.2606.02419"
    assert model.distance.layers[-1].weight.shape == (256, 64)
    assert model.fitting.layers[0].weight.shape == (2 * 192, 64)
    assert model.blocks[0].convolution.focuses[0].linears[3].weights[1].shape == (3 * 64, 2 * 3 * 64)


def test_a_neighbor_at_the_cutoff_is_not_felt():
    model = _model((1, 8))
    alone = evaluate(model, Graph.build(System.from_arrays(np.zeros((1, 3)), [8]), 3.0), ("energy",)).energy
    pair = Graph.build(System.from_arrays(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.999999]]), [8, 8]), 3.0)
    assert pair.pairs.shape[1] == 2
    torch.testing.assert_close(evaluate(model, pair, ("energy",)).energy, 2 * alone, rtol=1e-10, atol=0.0)


def test_the_cutoff_function_is_flat_at_both_ends():
    envelope = BinomialCutoff(3.0, 5)
    r = torch.tensor([1e-3, 2.999], requires_grad=True)
    values = one = envelope(r)
    for order in range(1, 4):
        (one,) = torch.autograd.grad(one.sum(), r, create_graph=True)
        # 1 − O(r^5) at 0 and O((r_c − r)^4) at the cutoff
        assert abs(float(one[0].detach())) < 1e3 * 1e-3 ** (5 - order)
        assert abs(float(one[1].detach())) < 1e3 * 1e-3 ** (4 - order)
    assert float(values[0].detach()) == pytest.approx(1.0, abs=1e-12)
    assert envelope(torch.tensor([3.0, 4.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m_max": 3, "l_max": 2}, "m_max 3 is above l_max, 2"),
        ({"heads": 3}, "3 heads do not divide 64 channels"),
        ({"readout": {"domain": "rotations", "k_max": 4}}, "k_max 4 is above l_max, 3"),
        ({"feed_forward": {"domain": "ball"}}, "domain"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        DPA4Config.parse(changes)
