"""Group lasso: optimal, finds planted groups, and what it drops is not computed in frozen models."""

import pytest
import torch
from small_models import ELEMENTS, several_graphs, structure

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.fit.reduced import GroupLasso, Triangle, lasso, refitted
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.symmetry_functions import NAME

POOL = {"kind": "acsf", "cutoff": 3.0, "recipe": {"centered": [1.0, 4.0], "shifted": 3, "angular": [1.0]}}


def problem(rows=400):
    """Five groups of three columns and a free column; the first two groups and the free one make the labels."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn((rows, 16), generator=generator)
    a[:, 4] += 3.0 * a[:, 3]  # correlated within a group, whose columns differ in size
    a[:, 1] *= 100.0
    groups = torch.tensor([*(k // 3 for k in range(15)), -1])
    true = torch.zeros(16)
    true[:6] = torch.tensor([1.0, -0.02, 0.5, 3.0, -1.0, 0.7])
    true[15] = 2.0
    y = a @ true + 0.1 * torch.randn(rows, generator=generator)
    triangle = Triangle(16)
    triangle.add(a, y)
    return a, y, true, groups, triangle


def test_optimal():
    a, y, _, groups, triangle = problem()
    alpha = 400.0
    found = GroupLasso(triangle, groups).solve(alpha)
    left = y - a @ found.weights
    for group in range(5):
        own = a[:, groups == group]
        q = torch.linalg.qr(own).Q
        limit = alpha * (3.0 / len(y)) ** 0.5
        part = own @ found.weights[groups == group]
        slope = q @ (q.T @ left)
        if float(part.norm()) > 0:
            assert torch.allclose(slope, limit * part / part.norm(), atol=1e-4 * limit)
        else:
            assert float(slope.norm()) <= limit
    assert abs(float(a[:, 15] @ left)) < 1e-4


def test_groups_of_one_are_the_lasso():
    _, _, _, _, triangle = problem()
    expected = lasso(triangle, 30.0).weights
    assert torch.allclose(GroupLasso(triangle, torch.arange(16)).solve(30.0).weights, expected, atol=1e-4)


def test_finds_the_groups():
    _, _, true, groups, triangle = problem()
    path = GroupLasso(triangle, groups)
    found = path.solve(200.0)
    assert path.used(found.weights) == 2
    again = refitted(triangle, found.weights != 0)
    assert torch.allclose(again.weights, true, atol=0.03)
    assert torch.equal(again.weights != 0, true != 0)


def model(**changes):
    return Local(LocalConfig.parse({"descriptor": POOL} | changes), ELEMENTS)


def labeled(truth):
    found = []
    for seed in range(10):
        system = structure(6, 4.0, seed)
        prediction = evaluate(truth, Graph.build(system, truth.cutoff), ("energy", "forces"))
        noise = 1e-3 * torch.randn_like(prediction.forces)
        found.append(Frame(system, {"energy": prediction.energy[0], "forces": prediction.forces + noise}))
    return MemoryDataset(found)


def planted():
    """A model that uses two functions of the pool, with all elements, and frames with its labels."""
    torch.manual_seed(0)
    truth = model()
    groups = truth.weight_groups()
    with torch.no_grad():
        truth.head.weights.copy_(torch.randn(groups.shape) * ((groups == 1) | (groups == 6) | (groups < 0)))
    return groups, labeled(truth)


def test_whole_symmetry_functions_are_found_and_the_rest_is_dropped():
    groups, frames = planted()
    potential = model()
    config = LinearConfig(regularization="group_lasso", alphas=(1e-4, 1e-3, 1e-2), concession=0.5)
    result = LinearFitter(potential, frames, frames, config).fit()
    kept = potential.head.weights.detach() != 0
    found = set(groups[kept].tolist())
    assert {-1, 1, 6} <= found
    assert len(found) <= 5 < int(groups.max())  # one or two that resemble the planted ones may stay
    assert result.best["weights_used"] == int(kept.sum())


@pytest.mark.skipif(available(NAME) is not None, reason="no compiler for kernels")
@pytest.mark.parametrize("select", [None, {"method": "random", "count": 17}])
def test_frozen_models_leave_out_what_has_no_weight(select):
    torch.manual_seed(0)
    potential = model(select=select)
    groups = potential.weight_groups()
    with torch.no_grad():
        potential.head.weights.copy_(torch.randn(groups.shape) * (groups % 3 < 1))
    frozen = potential.frozen()
    assert frozen.descriptor.size == int(((groups >= 0) & (groups % 3 < 1)).sum(dim=1).max())
    for graph in several_graphs():
        expected, found = (evaluate(m, graph, ("energy", "forces")) for m in (potential, frozen))
        assert torch.allclose(found.energy, expected.energy, atol=1e-10)
        assert torch.allclose(found.forces, expected.forces, atol=1e-9)


def test_refuses_what_has_no_effect():
    with pytest.raises(ConfigError, match="concession has no effect"):
        LinearConfig(concession=0.1).check()
    potential = model(regressor={"kind": "quadratic"}, select={"count": 3})
    with pytest.raises(ConfigError, match="choose that, or lasso"):
        potential.weight_groups()
