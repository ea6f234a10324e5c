"""Schedules, moving averages, optimizers and saved states."""

import copy
import math
import sys

import morse
import pytest
import torch

from adiabat.errors import CheckpointError, ConfigError
from adiabat.fit.ema import MovingAverage
from adiabat.fit.log import FitLog
from adiabat.fit.optimizers import OptimizerConfig
from adiabat.fit.progress import FitProgress
from adiabat.fit.schedules import Schedule, ScheduleConfig
from adiabat.fit.state import load_state, save_state


def test_schedules():
    constant = Schedule(ScheduleConfig(kind="constant"), 10)
    assert constant.factor(7, 1, 2) == 1.0
    exponential = Schedule(ScheduleConfig(kind="exponential", gamma=0.9), 10)
    assert exponential.factor(0, 1, 2) == 1.0
    assert exponential.factor(3, 1, 2) == pytest.approx(0.9**3)
    cosine = Schedule(ScheduleConfig(kind="cosine", floor=0.01), 10)
    assert cosine.factor(0, 0, 4) == pytest.approx(1.0)
    assert cosine.factor(5, 0, 4) == pytest.approx(0.5)
    assert cosine.factor(5, 0, 4) > cosine.factor(5, 1, 4) > cosine.factor(6, 0, 4)
    assert cosine.factor(9, 99, 100) == pytest.approx(0.01)
    late = Schedule(ScheduleConfig(kind="cosine", warmup=2), 4)
    assert [late.factor(1, 1, 2), late.factor(2, 0, 2), late.factor(3, 0, 2)] == pytest.approx([1.0, 1.0, 0.5])
    warm = Schedule(ScheduleConfig(kind="constant", warmup=2), 10)
    assert [warm.factor(0, 0, 2), warm.factor(1, 0, 2), warm.factor(2, 0, 2)] == pytest.approx([0.25, 0.75, 1.0])


@pytest.mark.parametrize("kind", ["constant", "exponential", "cosine", "plateau"])
def test_no_step_is_of_no_length(kind):
    schedule = Schedule(ScheduleConfig(kind=kind, warmup=2), 5)
    for steps in (1, 3):
        assert all(schedule.factor(epoch, step, steps) > 0 for epoch in range(5) for step in range(steps))


def test_plateau_drops_after_patience():
    plateau = Schedule(ScheduleConfig(kind="plateau", factor=0.5, patience=2), 10)
    factors = []
    for epoch, loss in enumerate([1.0, 0.9, 0.9, 0.9, 0.9, 0.8]):
        plateau.after(loss)
        factors.append(plateau.factor(epoch, 0, 1))
    assert factors == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_moving_average_follows_its_formula():
    model = torch.nn.Linear(2, 1)
    average = MovingAverage(model, 0.5)
    expected = model.weight.detach().clone()
    for n in range(1, 6):
        with torch.no_grad():
            model.weight += 1.0
        average.update(model)
        d = min(0.5, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * model.weight.detach()
    before = model.weight.detach().clone()
    with average.applied(model):
        assert torch.allclose(model.weight, expected, rtol=0, atol=1e-14)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("kind", ["adam", "amsgrad", "adamw", "lbfgs"])
def test_every_optimizer_lowers_a_loss(kind):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    x = torch.randn(20, 3)
    y = x @ torch.tensor([[1.0], [2.0], [-1.0]])
    optimizer = OptimizerConfig(kind=kind, rate=0.1).build(model.named_parameters())

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(30):
        optimizer.step(closure)
    assert closure().item() < 0.1 * first


def test_state_comes_back_exactly(tmp_path):
    model = morse.model()
    optimizer = OptimizerConfig(kind="amsgrad").build(model.named_parameters())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    state = {
        "weights": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "best": {"loss": math.inf, "epoch": 3},
        "history": [{"epoch": 1, "x": 0.1}],
        "none": None,
    }
    expected = copy.deepcopy(state)
    save_state(tmp_path / "s.safetensors", state)
    loaded = load_state(tmp_path / "s.safetensors")
    assert loaded["best"] == expected["best"]
    assert loaded["history"] == expected["history"]
    for name, value in expected["weights"].items():
        assert torch.equal(loaded["weights"][name], value)
    for key, row in expected["optimizer"]["state"].items():
        for name, value in row.items():
            assert torch.equal(loaded["optimizer"]["state"][key][name], value)


def test_damaged_states_are_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    with pytest.raises(CheckpointError, match="no "):
        load_state(path)
    save_state(path, {"a": torch.arange(10.0)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(CheckpointError):
        load_state(path)
    path.write_bytes(b"not a state at all")
    with pytest.raises(CheckpointError):
        load_state(path)


def test_progress_in_plain_lines_and_on_a_terminal(capsys, monkeypatch):
    row = {"epoch": 1, "train_energy_mae_per_atom": 0.0123, "valid_forces_mae": 0.0456}
    FitProgress(1).epoch(row)
    assert "epoch 1/1: train 12.30 meV/atom, valid 45.6 meV/Å" in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = FitProgress(1)
    bar.step(0, 1, 2)
    bar.epoch(row)
    bar.close()
    shown = capsys.readouterr().err
    assert "left" in shown
    assert "45.6 meV/Å" in shown


def test_log_names_the_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"adiabat\[tensorboard\]"):
        FitLog(tmp_path, tensorboard=True)
