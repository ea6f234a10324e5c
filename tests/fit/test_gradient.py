"""The gradient fitter learns, resumes exactly, works in several processes and refuses what has no effect."""

import copy
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import morse
import pytest
import resume_run
import torch
from safetensors.torch import load_file

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import AdiabatError, ConfigError, FitError
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.geometry import Graph
from adiabat.potential import Referenced

HERE = Path(__file__).parent
WHOLE = {"batch_size": 100, "epochs": 3, "optimizer": {"kind": "lbfgs"}, "clip": None}


def environment():
    """Variables of a child process that finds the toys and uses one thread."""
    path = os.pathsep.join([str(HERE.parent), str(HERE)])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def fitter(options=None, train=None, valid=None, potential=None, **more):
    train = train if train is not None else morse.dataset(16)
    valid = valid if valid is not None else morse.dataset(4, seed=1)
    potential = potential if potential is not None else Referenced(morse.model(seed=1), {1: -3.0, 6: -3.0})
    config = GradientConfig.parse({"epochs": 2, "batch_size": 4, **(options or {})})
    return GradientFitter(potential, train, valid, config, **more)


def test_learns_and_keeps_the_best_weights(tmp_path):
    run = fitter({"epochs": 25, "optimizer": {"rate": 0.03}}, folder=tmp_path)
    result = run.fit()
    assert result.epochs == 25
    first, best = result.history[0], result.best
    assert best["valid_forces_rmse"] < 0.3 * first["valid_forces_rmse"]
    assert best["valid_loss"] == min(row["valid_loss"] for row in result.history)
    # the potential now has the weights of the best epoch, averaged: validation again gives the same loss
    run.average = None
    assert run._validate(run.config.loss.terms)["valid_loss"] == pytest.approx(best["valid_loss"], rel=1e-12)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 26))


@pytest.mark.parametrize(("batch", "schedule"), [(16, "constant"), (100, "cosine")])
def test_lbfgs_learns(batch, schedule):
    options = {"epochs": 6, "batch_size": batch, "optimizer": {"kind": "lbfgs", "rate": 1.0}, "ema_decay": None}
    result = fitter(options | {"clip": None, "schedule": {"kind": schedule}}).fit()
    assert result.epochs == 6  # with a rate of 0 the line search would break
    assert result.best["valid_forces_rmse"] < 0.3 * result.history[0]["valid_forces_rmse"]


def test_batches_by_atoms_and_mixed_labels():
    frames = morse.frames(12, periodic=4)
    frames[0] = Frame(frames[0].system, {"energy": frames[0].labels["energy"]})
    frames[5] = Frame(frames[5].system, {"forces": frames[5].labels["forces"]})
    options = {"batch_size": None, "max_atoms": 12, "loss": {"stress": {"weight": 10.0}}}
    result = fitter(options, MemoryDataset(frames), morse.dataset(4, seed=1, periodic=2)).fit()
    assert math.isfinite(result.best["valid_loss"])
    assert "valid_stress_mae" in result.best


def test_a_label_never_counts_as_zero():
    frames = morse.frames(8)
    half = [Frame(f.system, {"energy": f.labels["energy"]} if k % 2 else f.labels) for k, f in enumerate(frames)]
    run = fitter({"batch_size": 8}, MemoryDataset(half))
    row = run.fit().history[0]
    known = [f for k, f in enumerate(frames) if not k % 2]
    expected = fitter({"batch_size": 4}, MemoryDataset(known)).fit().history[0]
    assert row["train_forces_rmse"] == pytest.approx(expected["train_forces_rmse"], rel=1e-9)


def test_weight_groups():
    train = morse.dataset(8, periodic=4)
    fitter({"group_weights": {"crystal": 3.0}}, train).fit()
    with pytest.raises(FitError, match="surface"):
        fitter({"group_weights": {"surface": 3.0}}, train)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"loss": {"charges": {"weight": 1.0}}}, "charges"),
        ({"loss": {"stress": {"weight": 1.0}}}, "stress"),
        ({"loss": {"energy": {"weight": 0}, "forces": {"weight": 0}}}, "nothing to fit"),
        ({"stage_two": {"start": 2}}, "stage_two"),
        ({"stage_two": {"start": 1, "loss": {"dipole": {"weight": 1.0}}}}, "dipole"),
        ({"schedule": {"kind": "cosine", "warmup": 2}}, "warmup"),
        ({"batch_size": 4, "max_atoms": 10}, "max_atoms"),
        ({"patience": 2}, "patience"),
        ({"loss": {"energy": {"weight": 1.0, "kind": "mse", "delta": 0.1}}}, "delta"),
        ({"schedule": {"kind": "cosine", "gamma": 0.9}}, "gamma"),
        ({"optimizer": {"kind": "lbfgs", "betas": [0.8, 0.9]}}, "betas"),
        ({"optimizer": {"kind": "lbfgs"}, "clip": 1.0}, "clip"),
        ({"loss": {"forces": {"weight": 1.0, "per_atom": False}}}, "per_atom"),
        ({"optimizer": {"weight_decay": 1e-6, "decay": ["nowhere.*"]}}, "nowhere"),
        ({"group_key": "set"}, "group_key"),
        ({"loss": {"forces": {"weight": 1.0, "elements": {"O": 2.0}}}}, "weighs O"),
        ({"loss": {"forces": {"weight": 1.0, "elements": {"Qq": 2.0}}}}, "Qq"),
        ({"loss": {"energy": {"weight": 1.0, "elements": {"H": 2.0}}}}, "no single atom"),
        ({"save_every": 3}, "save_every"),
    ],
)
def test_what_has_no_effect_is_refused(options, word):
    with pytest.raises(AdiabatError, match=word):
        fitter(options)


def test_unknown_options_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        GradientConfig.parse({"epoch": 3})


def test_weight_decay_reaches_only_the_named_parameters():
    run = fitter({"optimizer": {"weight_decay": 1e-3, "decay": ["*.weight"]}})
    decayed = [g for g in run.optimizer.param_groups if g["weight_decay"] > 0]
    rest = [g for g in run.optimizer.param_groups if g["weight_decay"] == 0]
    assert sum(len(g["params"]) for g in decayed) == 2
    assert sum(len(g["params"]) for g in rest) == 4


def test_a_broken_loss_stops_with_a_saved_state(tmp_path):
    run = fitter({"epochs": 4}, folder=tmp_path)
    original, calls = run.train.predict, []

    def predict(*arguments, **more):
        calls.append(1)
        found = original(*arguments, **more)
        return found.replace(energy=found.energy * math.nan) if len(calls) == 6 else found

    run.train.predict = predict
    with pytest.raises(FitError, match="epoch 2"):
        run.fit()
    assert (tmp_path / "state.safetensors").exists()
    again = fitter({"epochs": 4}, folder=tmp_path)
    assert again.fit(resume=True).epochs == 4


def test_stored_features_give_the_same_fit(monkeypatch):
    def fit(precompute):
        monkeypatch.setattr(BPNN, "precompute", precompute)
        torch.manual_seed(0)
        potential = Referenced(BPNN(BPNNConfig(cutoff=4.0, hidden=(5,), activations=("tanh",)), (1, 6)))
        potential.adapt([Graph.build(frame.system, 4.0) for frame in morse.frames(16)])
        weights = [fitter(options, morse.dataset(8), potential=copy.deepcopy(potential)) for options in ({}, WHOLE)]
        return [(run.fit().history[-1], run.potential.state_dict()) for run in weights]

    for (a, stored), (b, direct) in zip(fit(True), fit(False), strict=True):
        assert a["valid_loss"] == pytest.approx(b["valid_loss"], rel=1e-9)
        assert all(torch.allclose(stored[k], direct[k], rtol=0, atol=1e-9) for k in stored)


def test_early_stopping():
    result = fitter({"epochs": 50, "patience": 2, "optimizer": {"rate": 3.0}}).fit()
    assert result.epochs < 50
    assert "2 epochs" in result.stopped


def test_resume_refuses_other_options(tmp_path):
    fitter(folder=tmp_path).fit()
    with pytest.raises(ConfigError, match="batch_size"):
        fitter({"batch_size": 3}, folder=tmp_path).fit(resume=True)


def test_receipt_says_what_was_used():
    frames = morse.frames(6)
    frames[2] = Frame(frames[2].system, {"energy": frames[2].labels["energy"]})
    receipt = fitter(train=MemoryDataset(frames)).fit().receipt
    assert receipt["frames"] == 6
    assert receipt["labels_used"] == {"energy": 6, "forces": 5}
    assert receipt["frames_lacking_a_label"] == {"forces": 1}
    assert receipt["options"]["ema_decay"] == 0.99
    json.dumps(receipt)


def stop():
    raise KeyboardInterrupt


def same_logs(*folders):
    rows = [[json.loads(line) for line in (f / "log.jsonl").read_text().splitlines()] for f in folders]
    return all(a | {"seconds": 0} == b | {"seconds": 0} for a, b in zip(*rows, strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "lbfgs"])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, optimizer):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = resume_run.fit(whole, 0, False, optimizer, stop)
    with pytest.raises(KeyboardInterrupt):
        resume_run.fit(parts, 3, False, optimizer, stop)
    torch.rand(5)  # the random numbers move on in the meantime
    got = resume_run.fit(parts, 0, True, optimizer, stop)
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert same_logs(whole, parts)


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    def run(kill_after, how):
        command = [sys.executable, HERE / "resume_run.py", tmp_path / "parts", str(kill_after), how]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)

    expected = resume_run.fit(tmp_path / "whole", 0, False, "amsgrad", stop)
    killed = run(3, "start")
    assert killed.returncode == -signal.SIGKILL
    rest = run(0, "resume")
    assert rest.returncode == 0, rest.stderr
    got = load_file(tmp_path / "parts" / "weights.safetensors")
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert same_logs(tmp_path / "whole", tmp_path / "parts")


def test_two_processes_equal_one(tmp_path):
    script = str(HERE / "distributed_run.py")
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    alone = subprocess.Popen([sys.executable, script, one], env=environment())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, two]
    done = subprocess.run(launch, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert alone.wait(timeout=300) == 0
    expected, got = load_file(one), load_file(two)
    assert len(expected) == 16
    for name, value in expected.items():
        assert torch.allclose(got[name], value, rtol=0, atol=1e-9), name
