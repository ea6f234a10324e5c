"""Active sets: maximal volume, grades of what was seen and what was not, and selection from a pool."""

import ase.build
import pytest
import torch
from small_models import MODELS, loosened

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.architectures.local.mtp import MTP, MTPConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import CapabilityError
from adiabat.fit.active_set import ActiveSet, environment_rows
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced


def _model(level=6):
    torch.manual_seed(0)
    return loosened(MTP(MTPConfig(level=level, cutoff=3.6, inner=1.8, basis=4), (13, 29)), 0.05)


def _frames(count, seed=0, size=0.1, scale=1.0):
    made = []
    for k in range(count):
        crystal = ase.build.bulk("Cu", cubic=True)
        crystal.numbers[: 1 + k % 3] = 13
        crystal.set_cell(crystal.cell * scale, scale_atoms=True)
        crystal.rattle(size, seed=seed + k)
        made.append(Frame(System.from_ase(crystal), {}))
    return MemoryDataset(made)


def _grades(active, frames):
    return torch.cat([active.grades(Graph.build(frames[k].system, 3.6)) for k in range(len(frames))])


@pytest.mark.parametrize("basis", ["linear", "linearized"])
def test_no_training_environment_is_extrapolated(basis):
    model, train = Referenced(_model(), {29: 1.0}, 2.0), _frames(20)
    active = ActiveSet.of(model, train, basis, tolerance=0.01)
    assert float(_grades(active, train).max()) <= 1.01 + 1e-6
    columns = active.inverse.shape[0]
    assert columns == 2 + 5 + (2 * 2 * 2 * 4 if basis == "linearized" else 0)
    assert int((active.owners >= 0).sum()) <= columns


def test_volume_is_that_of_the_best_exchange():
    """No single exchange of a chosen row for another makes the determinant larger."""
    model, train = _model(4), _frames(6)
    active = ActiveSet.of(model, train, "linear", tolerance=1e-6)
    rows = torch.cat([environment_rows(model, Graph.build(f.system, 3.6), "linear") for f in train]) / active.sizes
    matrix = torch.linalg.inv(active.inverse)
    assert all(float((rows - row).abs().amax(dim=1).min()) < 1e-8 for row in matrix)
    volume = torch.linalg.det(matrix).abs()
    for place in range(len(matrix)):
        for row in rows:
            other = matrix.clone()
            other[place] = row
            assert torch.linalg.det(other).abs() <= volume * (1 + 1e-5)


def test_foreign_environments_have_large_grades_and_are_selected():
    model, train = _model(), _frames(20)
    active = ActiveSet.of(model, train, "linear")
    pool = MemoryDataset([*_frames(3), *_frames(3, size=0.3, scale=0.85)])
    grades = _grades(active, pool).view(6, 4).amax(dim=1)
    assert float(grades[:3].max()) < 1.5
    assert float(grades[3:].min()) > 2.0
    chosen = active.select(pool, 2.0)
    assert chosen
    assert set(chosen) <= {3, 4, 5}
    assert active.select(pool, 2.0) == []


def test_any_linear_potential_has_one():
    options = {"descriptor": {"kind": "acsf", "cutoff": 3.6}, "regressor": {"kind": "linear"}}
    train = _frames(5)
    active = ActiveSet.of(Local(LocalConfig.parse(options), (13, 29)), train)
    assert float(_grades(active, train).max()) <= 1.0 + 2e-3
    with pytest.raises(CapabilityError, match="not linear"):
        ActiveSet.of(MODELS["schnet"](), train)
