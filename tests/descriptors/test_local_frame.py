"""Local frames: DeePMD-kit's numbers, neighbors one by one, lines, mirrors, jumps, and fits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from descriptor_checks import slopes_are_numeric
from lennard_jones import labeled, linear_error, loss_left
from small_models import ELEMENTS, loosened, several_graphs, structure

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.compile import compiled
from adiabat.data import Frame, MemoryDataset
from adiabat.descriptors.local_frame import LocalFrameConfig
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery
from adiabat.testing.structures import structures

STORED = json.loads((Path(__file__).parent / "local_frame.json").read_text())
PAPER = [0, 2, 3, 1]  # of the program's 1/r, z, x, y


def small(**options):
    return LocalFrameConfig.parse({"cutoff": 3.0, "full": {"H": 3, "O": 2}, "radial": {"H": 2, "O": 3}} | options)


def axis(among, element, place):
    """One of the program's rules: elements below 0 leave out one, or none."""
    option = {"among": ("full", "radial")[among], "place": place}
    if element >= 0:
        return option | {"element": "HO"[element]}
    return option | {"other_than": "HO "[-element - 1].strip()}


def axes(rule):
    rule = rule or [0, 0, 0, 0, 0, 1] * 2  # the program's default: the two nearest of the first element
    return {z: (axis(*rule[6 * k : 6 * k + 3]), axis(*rule[6 * k + 3 : 6 * k + 6])) for k, z in enumerate("HO")}


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: case["name"])
def test_numbers_of_deepmd_kit(case):
    counts = {name: dict(zip("HO", case[name], strict=True)) for name in ("full", "radial")}
    descriptor = LocalFrameConfig.parse({"cutoff": case["cutoff"], "axes": axes(case["rule"])} | counts).build(
        ELEMENTS
    )
    numbers = [1 if name == "H" else 8 for name in STORED["symbols"]]
    cell = np.eye(3) * case["box"] if case["box"] else None
    system = System.from_arrays(case["positions"], numbers, cell, bool(case["box"]), dtype=torch.float64)
    graph = Graph.build(system, case["cutoff"])
    stored, width = torch.tensor(case["values"]), 4 * descriptor.full
    weights = torch.cos(1.0 + torch.arange(stored.numel())).view(stored.shape)[:, :width]
    values, slopes = descriptor.jacobian(graph)
    torch.testing.assert_close(values[:, :width], reordered(stored[:, :width]), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(values[:, width:], stored[:, width:], rtol=1e-12, atol=1e-13)
    along = (slopes[:, :width] * reordered(weights)[graph.centers][:, :, None]).sum(dim=1)
    forces = torch.zeros(7, 3).index_add(0, graph.pairs[0], along).index_add(0, graph.pairs[1], -along)
    torch.testing.assert_close(forces, torch.tensor(case["forces"]), rtol=1e-11, atol=1e-11)


def reordered(rows):
    return rows.view(len(rows), -1, 4)[:, :, PAPER].flatten(1)


def test_two_nearest_atoms_span_the_frame():
    places = [[0, 0, 0], [0, 1.0, 0], [0.5, 0.5, 1.0], [2.0, 0, 0], [0, 0, -2.5]]
    graph = Graph.build(System.from_arrays(places, [8, 8, 1, 1, 8], dtype=torch.float64), 3.0)
    found = small().build(ELEMENTS)(graph)[0]
    y = np.array([0.5, 0.0, 1.0]) / np.sqrt(1.25)
    frame = np.array([[0, 1.0, 0], y, np.cross([0, 1.0, 0], y)])
    expected = []
    for k in (2, 3, None, 1, 4):
        near = np.zeros(3) if k is None else np.array(places[k])
        r = np.linalg.norm(near) or np.inf
        expected += [1.0 / r, *(frame @ near / r**2)]
    torch.testing.assert_close(found[:20], torch.tensor(expected), rtol=1e-12, atol=1e-13)
    assert not found[20:].any()


def test_nearest_are_full_and_the_next_radial():
    places = np.array(
        [[0, 0, 0], [0, 1.0, 0], [1.2, 0, 0.2], [0, 0.3, 1.4], [-1.6, 0, 0], [0, -1.8, 0], [0, 0, -2.0]]
    )
    graph = Graph.build(System.from_arrays(places, [8] * 7, dtype=torch.float64), 3.0)
    found = small(full=2, radial=3).build([8])(graph)[0]
    inverse = 1.0 / np.linalg.norm(places[1:6], axis=1)  # the sixth has no place
    torch.testing.assert_close(found[[0, 4, 8, 9, 10]], torch.tensor(inverse), rtol=1e-12, atol=0)


def test_turning_and_reordering_change_nothing_and_a_mirror_does():
    descriptor = small().build(ELEMENTS)
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    turn = turn * torch.linalg.det(turn).sign()
    for graph in several_graphs():
        plain = descriptor(graph)
        assert plain.shape == (graph.system.atoms, descriptor.size)
        torch.testing.assert_close(
            descriptor.from_vectors(graph.vectors() @ turn, graph), plain, rtol=1e-9, atol=1e-10
        )
    graph = several_graphs()[1]
    plain, width = descriptor(graph), 4 * descriptor.full
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    mixed = graph.system.replace(positions=graph.system.positions[order], numbers=graph.system.numbers[order])
    torch.testing.assert_close(descriptor(Graph.build(mixed, 3.0)), plain[order], rtol=1e-10, atol=1e-12)
    mirrored = descriptor.from_vectors(-graph.vectors(), graph)
    sign = torch.ones_like(plain[0])
    sign[3:width:4] = -1.0
    torch.testing.assert_close(mirrored, plain * sign, rtol=1e-10, atol=1e-12)
    assert float(plain[:, 3:width:4].abs().max()) > 0.1
    assert not Local(LocalConfig.parse({"descriptor": small().model_dump()}), ELEMENTS).mirrored
    selected = {"descriptor": small().model_dump(), "select": {"count": 4}}
    assert not Local(LocalConfig.parse(selected), ELEMENTS).mirrored


def test_slopes_are_derivatives():
    bonds = ({"element": "O"}, {"among": "radial", "other_than": "H", "place": 1})
    for options in ({}, {"axes": {"H": bonds}}):
        slopes_are_numeric(small(**options).build(ELEMENTS), several_graphs()[1])


@pytest.mark.parametrize("bend", [0.0, 1e-3])
@pytest.mark.parametrize("atoms", [1, 2, 3])
def test_lines_have_no_plane(atoms, bend):
    places = [[0.0, 0, 0], [1.1, 0, 0], [-1.3, bend, 0]][:atoms]
    graph = Graph.build(System.from_arrays(places, [8, 8, 8][:atoms], dtype=torch.float64), 3.0)
    values, slopes = small(full=3).build([8]).jacobian(graph)
    assert bool(values.isfinite().all())
    assert bool(slopes.isfinite().all())
    rows = values[:, :12].view(atoms, 3, 4)
    assert not rows[:, :, 2:].any()
    if atoms > 1:
        torch.testing.assert_close(rows[0, 0, :2], torch.tensor([1.0 / 1.1, 1.0 / 1.1]))
    if atoms > 2:
        torch.testing.assert_close(rows[0, 1, 1], torch.tensor(-1.0 / 1.3), rtol=0, atol=1e-5)


def test_jumps_where_neighbors_change_places_and_at_the_cutoff():
    """What the method is: these are not smooth, so that nobody takes it for a smooth one."""
    descriptor, rows = small(full=3, radial=0).build([8]), []
    for r in (1.5 - 1e-9, 1.5 + 1e-9, 3.0 - 1e-9, 3.0 + 1e-9):
        places = [[0, 0, 0], [1.0, 0, 0], [0, 1.5, 0], [0, 0, r]]
        rows.append(descriptor(Graph.build(System.from_arrays(places, [8] * 4, dtype=torch.float64), 3.0))[0])
    assert float((rows[0] - rows[1]).abs().max()) > 0.5
    assert float(rows[2][8] - rows[3][8]) == pytest.approx(1.0 / 3.0)


def test_linear_fit():
    """Of a linear model's own energies and forces, which are in its span."""
    config = LocalConfig.parse({"descriptor": small().model_dump()})
    target, frames = loosened(Local(config, ELEMENTS)), []
    for seed in range(16):
        graph = Graph.build(structure(8, 4.0, seed), 3.0)
        made = evaluate(target, graph, ("energy", "forces"))
        assert made.forces is not None
        frames.append(Frame(graph.system, {"energy": made.energy[0].detach(), "forces": made.forces.detach()}, {}))
    assert linear_error(Local(config, ELEMENTS), MemoryDataset(frames)) < 1e-4


def test_network_fit():
    config = {"descriptor": small().model_dump(), "regressor": {"kind": "network"}}
    assert loss_left(Local(LocalConfig.parse(config), ELEMENTS), labeled(8)) < 0.2


def model():
    config = {"descriptor": small().model_dump(), "regressor": {"kind": "network", "hidden": [4]}}
    torch.manual_seed(0)
    return loosened(Local(LocalConfig.parse(config), ELEMENTS).double())


def test_battery():
    """CUT and NVE need continuous energies, which these are not; nor do crystals with neighbors at equal distances
    (the built-in `slab`, `left-handed` and `one-atom`) have a frame that is more than chance."""
    given = {name: s for name, s in structures(ELEMENTS, 3.0).items() if name in {"molecule", "fragments", "atom"}}
    given |= {"crystal": structure(5, 3.6), "other crystal": structure(6, 4.0, 2)}
    report = run_battery(model(), given, skip=("CUT", "NVE", "FIT", "REF"))
    assert report.passed, report


def test_compiled():
    potential = model()
    quick = compiled(potential, ("energy", "forces"), backend="captured")
    for graph in several_graphs():
        plain = evaluate(potential, graph, ("energy", "forces"))
        torch.testing.assert_close(quick(graph).forces, plain.forces, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"full": {"H": 3}}, "full has no number for O"),
        ({"radial": -1}, "below 0"),
        ({"full": 0, "radial": 0}, "0 for every element"),
        ({"full": {"H": 0, "O": 1}}, "axis 2 of H is place 1 of 1"),
        ({"axes": {"O": ({"element": "H", "place": 3}, {})}}, "axis 1 of O is place 3 of 3"),
    ],
)
def test_refuses_options_that_do_not_fit(wrong, words):
    with pytest.raises(ConfigError, match=words):
        small(**wrong).build(ELEMENTS)
