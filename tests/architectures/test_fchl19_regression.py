"""FCHL19 kernel ridge regression: qmllib's kernels for energies and forces, its own labels, saving."""

import pytest
import torch
from ase.build import molecule
from small_models import ELEMENTS, several_graphs, structure

from adiabat import load, train
from adiabat.architectures.local.fchl19 import FCHL19KRR, FCHL19KRRConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System

SMALL = {"descriptor": {"cutoff": 3.0, "angular_cutoff": 3.0, "radial": 4, "angular": 3}, "sigma": 2.5}


def _model(**options):
    return FCHL19KRR(FCHL19KRRConfig.parse(SMALL | options), ELEMENTS)


def test_qmllibs_kernels():
    """get_atomic_local_kernel and get_atomic_local_gradient_kernel of qmllib 1.2.0 for two molecules."""
    options = {"radial": 6, "angular": 4, "cutoff": 4.0, "angular_cutoff": 3.5}
    potential = FCHL19KRR(FCHL19KRRConfig.parse({"descriptor": options, "sigma": 2.5}), [1, 6, 8])
    one, two = (Graph.build(System.from_ase(molecule(m), torch.float64), 4.0) for m in ("CH3CH2OH", "CH3COOH"))
    points, elements = potential.descriptor(one), potential.element[one.system.numbers]
    assert elements[:3].tolist() == [1, 1, 2]
    energies, forces = [], []
    for point, place in zip(points[:3], elements[:3], strict=True):
        potential.head.resize(1)
        potential.head.points[place, 0], potential.head.used[place, 0] = point, 1.0
        design = potential.design(potential.features(two))
        energies.append(design.energy.view(3, 2)[place, 1])
        forces.append(design.forces.view(-1, 3, 2)[4:8, place, 1])
    assert torch.allclose(torch.stack(energies), torch.tensor([1.648965701425, 1.770671501794, 1.906011803399]))
    expected = [
        [-0.11473680494892122, -0.11045002223378225, -0.06560067432844452],
        [0.0, 0.0, 0.0],
        [0.07661185799513674, 0.06849633674673931, 0.010291958996511445],
        [0.03424594411834069, 0.03313974891087867, 0.006656369699231373],
    ]
    assert torch.allclose(torch.stack(forces, dim=1), torch.tensor(expected), atol=1e-13)


def test_energies_are_sums_over_training_atoms():
    torch.manual_seed(0)
    potential, graphs = _model(), several_graphs()
    potential.adapt(graphs[:2])
    torch.nn.init.normal_(potential.head.weights)
    points = torch.cat([potential.descriptor(g) for g in graphs[:2]])
    kinds = torch.cat([potential.element[g.system.numbers] for g in graphs[:2]])
    used = int(potential.head.used.sum())
    assert used == len(torch.unique(torch.cat((points, kinds[:, None].double()), dim=1), dim=0))
    graph = graphs[1]
    expected = torch.zeros(graph.system.atoms)
    for atom, row in enumerate(potential.descriptor(graph)):
        place = int(potential.element[graph.system.numbers][atom])
        weights, own = potential.head.weights[place], potential.head.points[place]
        kernels = torch.exp(-(row - own).square().sum(dim=1) / (2 * 2.5**2)) * potential.head.used[place]
        expected[atom] = weights[0] + weights[1:] @ kernels
    assert torch.allclose(potential.atomic_energies(graph), expected, atol=1e-9)


def test_learns_energies_and_forces_at_once():
    torch.manual_seed(0)
    truth, potential = _model(), _model()
    graphs = [Graph.build(structure(6, 4.0, seed), 3.0) for seed in range(6)]
    for one in (truth, potential):
        one.adapt(graphs)
    torch.nn.init.normal_(truth.head.weights)
    frames = []
    for graph in graphs:
        found = evaluate(truth, graph, ("energy", "forces"))
        frames.append(Frame(graph.system, {"energy": found.energy[0], "forces": found.forces}))
    data = MemoryDataset(frames)
    result = LinearFitter(potential, data, data, LinearConfig()).fit()
    size = max(float(f.labels["forces"].abs().max()) for f in frames)
    assert result.best["train_forces_rmse"] < 1e-4 * size
    new = Graph.build(structure(6, 4.0, 1), 3.0)
    found, expected = evaluate(potential, new, ("forces",)), evaluate(truth, new, ("forces",))
    assert float((found.forces - expected.forces).abs().max()) < 1e-3 * size


@pytest.mark.parametrize("points", [None, 20])
def test_trains_saves_and_loads(tmp_path, points):
    from adiabat.quickstart import shipped

    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":30"},
        "model": {"method": "fchl19", "points": points, **SMALL},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    frame = result.prepared.parts["test"][0]
    again = load(tmp_path / "run" / "model.adiabat").predict(frame.to_ase())
    assert result.metrics["forces_mae"] < 0.6
    assert abs(again["energy"] - float(frame.labels["energy"])) < 1.0
    assert (result.potential.model.head.points.shape[1] > 100) == (points is None)
