"""Power-type structure descriptors: sums one by one, cost, slopes, and element networks on them."""

from itertools import permutations

import numpy as np
import pytest
import torch
from descriptor_checks import turning_changes_nothing
from scipy.special import eval_legendre
from small_models import ELEMENTS, several_graphs

from adiabat.architectures.local.lasp_nn import LaspNN, LaspNNConfig
from adiabat.descriptors.ptsd import PTSDConfig
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery

CUTOFF = 3.0
EVERY = PTSDConfig(
    cutoff=CUTOFF,
    powers=(0, 3),
    shells=((1, 2),),
    angles=((1, 4, 2.0, -1),),
    triangles=((1, 2, 3, 1.5, 1),),
    planes=((2, 1, 1, 3),),
    dihedrals=((1, 2, 0, 3.0, 1),),
)


def radial(vector, n):
    r = np.linalg.norm(vector)
    return (r / CUTOFF) ** n * 0.5 * np.tanh(max(1.0 - r / CUTOFF, 0.0)) ** 3


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def root(x):
    return np.sqrt(x + 1e-4) - 0.01


def torsion(a, b, c):
    """cos of the angle that b and c make seen along a, fading where one of them lies on it."""
    across = [v - (v @ a) / (a @ a) * a for v in (b, c)]
    areas = [(a @ a) * (v @ v) + 0.01 for v in across]
    return (a @ a) * (across[0] @ across[1]) / np.sqrt(areas[0] * areas[1])


def by_hand(vectors, kinds):
    """The features of EVERY, with the addition theorem in place of harmonics and loops in place of products."""
    near = list(zip(vectors, kinds, strict=True))
    rows: list[float] = [sum(radial(v, n) for v, z in near if z == own) for n in (0, 3) for own in ELEMENTS]
    for own in ELEMENTS:
        same = [v for v, z in near if z == own]
        rows.append(
            root(sum(radial(a, 1) * radial(b, 1) * eval_legendre(2, cosine(a, b)) for a in same for b in same))
        )
    two = ([1, 1], [1, 8], [8, 8])
    pairs = {
        str(names): [(a, b) for (a, x), (b, y) in permutations(near, 2) if sorted((x, y)) == names] for names in two
    }
    for names in two:
        both = pairs[str(names)]
        rows.append(sum(0.5 * radial(a, 1) * radial(b, 4) * (1 - cosine(a, b)) ** 2 for a, b in both))
    for names in two:
        both = pairs[str(names)]
        values = [radial(a, 1) * radial(b, 2) * radial(a - b, 3) * (1 + cosine(a, b)) ** 1.5 for a, b in both]
        rows.append(2**-0.5 * sum(values))
    for names in two:
        ends = [(v, radial(a, 2) * radial(b, 1) * radial(a - b, 1)) for a, b in pairs[str(names)] for v in (a, b)]
        rows.append(root(sum(x * y * eval_legendre(3, cosine(a, b)) for a, x in ends for b, y in ends)))
    for names in ([1, 1, 1], [1, 1, 8], [1, 8, 8], [8, 8, 8]):
        total = 0.0
        for (a, x), (b, y), (c, z) in permutations(near, 3):
            if sorted((x, y, z)) == names:
                total += 0.25 * (1 + torsion(a, b, c)) ** 3 * radial(a, 1) * radial(b, 2) * radial(c, 0)
        rows.append(total)
    return np.array(rows)


def test_sums_one_by_one():
    descriptor = EVERY.build(ELEMENTS)
    assert descriptor.size == 2 * 3 + 3 * 3 + 4
    for graph in several_graphs():
        graph = graph.within(2.6)
        found = descriptor(graph)
        for atom in range(min(graph.system.atoms, 2)):
            near = graph.centers == atom
            wanted = by_hand(graph.vectors()[near].numpy(), graph.system.numbers[graph.neighbors[near]].tolist())
            np.testing.assert_allclose(found[atom].numpy(), wanted, rtol=1e-9, atol=1e-13)


def star(*ends):
    system = System.from_arrays([[0.0, 0, 0], *ends], [8] + [1] * len(ends))
    options = PTSDConfig(cutoff=6.0, dihedrals=((0, 0, 0, 1.0, 1), (0, 0, 0, 1.0, -1)))
    return options.build(ELEMENTS)(Graph.build(system, 6.0))[0].reshape(-1)[-8::4]


def test_dihedrals_are_about_the_bond_of_the_center():
    """Planes through the first bond, equation 11: a right angle has λ = ±1 alike, opposite sides only λ = −1."""
    plus, minus = star([2.0, 0, 0], [0, 2.2, 0], [0, 0, 2.4])
    product = float(np.prod([0.5 * np.tanh(1 - r / 6.0) ** 3 for r in (2.0, 2.2, 2.4)]))
    assert float(plus) == pytest.approx(6 * product) == float(minus)
    plus, minus = star([2.0, 0, 0], [-1.0, 1.8, 0], [-1.1, -1.9, 0])
    assert plus.abs() < 0.005 * minus


def test_slopes_are_differences():
    descriptor, graph = EVERY.build(ELEMENTS), several_graphs()[1].within(2.6)
    values, slopes = descriptor.jacobian(graph)
    vectors, pair = graph.vectors(), 1
    for axis in range(3):
        step = torch.zeros_like(vectors)
        step[pair, axis] = 1e-5
        ahead, behind = (descriptor.from_vectors(vectors + sign * step, graph) for sign in (1, -1))
        wanted = (ahead - behind)[graph.centers[pair]] / 2e-5
        torch.testing.assert_close(slopes[pair, :, axis], wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(values, descriptor(graph))


def test_turning_changes_nothing_and_the_end_is_smooth():
    descriptor, graph = EVERY.build(ELEMENTS), several_graphs()[0].within(2.6)
    turning_changes_nothing(descriptor, graph)
    rows = []
    for far in (2.99, 3.01):
        system = System.from_arrays([[0.0, 0, 0], [1, 0, 0], [0, 1.2, 0.4], [0.1, 0.2, far]], [8, 1, 1, 8])
        rows.append(descriptor(Graph.build(system, 4.0))[0])
    torch.testing.assert_close(rows[0], rows[1], rtol=0, atol=1e-6)


def test_battery():
    config = LaspNNConfig(structure=PTSDConfig(cutoff=3.5, dihedrals=()), hidden=(8,))
    report = run_battery(LaspNN(config, [1, 6, 8]), skip=("REF", "NVE", "RT", "FIT"))
    assert report.passed, report.text()


@pytest.mark.parametrize(("method", "share"), [("local", 0.5), ("lasp_nn", 0.75)])
def test_fits_and_loads(tmp_path, method, share):
    """Errors are shares of those without a model: no forces, and the mean of the training energies for all."""
    from adiabat import load, train
    from adiabat.quickstart import shipped

    options = {"kind": "ptsd", "cutoff": 3.0}
    model = {"descriptor": options, "regressor": {"kind": "linear"}} if method == "local" else {"structure": options}
    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":20"},
        "model": {"method": method} | model,
        "fit": {} if method == "local" else {"epochs": 24, "batch_size": 2},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    frames, again = result.prepared.parts["test"], load(tmp_path / "run" / "model.adiabat")
    mean = np.mean([frame.labels["energy"] for frame in result.prepared.parts["train"]])
    errors, scales = [], []
    for frame in frames:
        found = again.predict(frame.to_ase())
        energy, forces = float(frame.labels["energy"]), np.asarray(frame.labels["forces"])
        errors.append([abs(found["energy"] - energy), np.abs(found["forces"] - forces).mean()])
        scales.append([abs(mean - energy), np.abs(forces).mean()])
    assert (np.mean(errors, axis=0) < share * np.mean(scales, axis=0)).all()
    assert result.metrics["forces_mae"] == pytest.approx(np.mean(errors, axis=0)[1], rel=1e-6)
