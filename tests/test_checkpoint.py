"""Checkpoints come back exactly, and everything that is not one is refused with a reason."""

import json
import os
import pickle
import signal
import subprocess
import sys

import morse
import pytest
import torch
from safetensors.torch import save_file

from adiabat import checkpoint
from adiabat.architectures import METHODS
from adiabat.archive import read_archive, write_archive
from adiabat.data import DataInfo
from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.files import write_atomically
from adiabat.fit.state import save_state
from adiabat.geometry import Graph
from adiabat.potential import Referenced

INFO = DataInfo(elements=(1, 6), reference_energies={1: -13.6, 6: -1030.5}, level_of_theory="Morse")


@pytest.fixture(autouse=True)
def _method(monkeypatch):
    monkeypatch.setitem(METHODS, "morse", morse.METHOD)


@pytest.fixture
def saved(tmp_path):
    potential = Referenced(morse.model(3), {1: -13.6, 6: -1030.5}, 1.7)
    return checkpoint.save(tmp_path / "model.adiabat", potential, INFO, {"forces_mae": 0.1}, "CC0"), potential


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wrapped", [True, False])
def test_round_trip_is_exact(tmp_path, dtype, wrapped):
    potential = checkpoint.fresh(morse.MorseConfig(cutoff=3.9), (1, 6))
    potential = (Referenced(potential, INFO.reference_energies, 1.7) if wrapped else potential).to(dtype)
    path = checkpoint.save(tmp_path / "m.adiabat", potential, INFO, {"forces_mae": 0.1}, "CC0")
    loaded = checkpoint.load(path)
    assert type(loaded.potential) is type(potential)
    assert loaded.potential.config == potential.config
    assert loaded.potential.dtype == dtype
    assert loaded.info == INFO
    assert loaded.metrics == {"forces_mae": 0.1}
    assert loaded.header["license"] == "CC0"
    for frame in morse.frames(3, periodic=1):
        graph = Graph.build(frame.system, 3.9).to(dtype=dtype)
        a, b = evaluate(potential, graph), evaluate(loaded.potential, graph)
        assert torch.equal(a.energy, b.energy)
        assert torch.equal(a.forces, b.forces)


def test_every_flipped_bit_is_noticed(saved):
    path, _ = saved
    whole = path.read_bytes()
    for position in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model\.adiabat"):
            checkpoint.load(path)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_files_are_refused(saved, kept):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="truncated"):
        checkpoint.load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "x.adiabat"
    with pytest.raises(CheckpointError, match="no file"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="another program"):
        checkpoint.load(path)
    save_state(path, {"a": 1})
    with pytest.raises(CheckpointError, match="state of a running fit"):
        checkpoint.load(path)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))


def test_pickles_are_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, write in (("a", lambda p: p.write_bytes(pickle.dumps(Evil()))), ("b", lambda p: torch.save({}, p))):
        path = tmp_path / name
        write(path)
        with pytest.raises(CheckpointError, match="never reads"):
            checkpoint.load(path)
    assert not (tmp_path / "evil").exists()


def test_lengths_that_look_like_a_pickle(tmp_path):
    """A file begins with the length of its header, whose first bytes may be those of a pickle."""
    path, looked = tmp_path / "model.adiabat", set()
    for length in range(0, 1200, 8):
        write_archive(path, {"a": torch.zeros(3)}, {"text": "x" * length})
        looked.add(path.read_bytes()[:2])
        assert read_archive(path)[1] == {"text": "x" * length}
    assert {b"\x80\x02", b"\x80\x03", b"\x80\x04"} <= looked


def test_newer_versions_are_refused(saved):
    path, _ = saved
    tensors, header = read_archive(path)
    write_archive(path, tensors, header | {"version": checkpoint.VERSION + 1})
    with pytest.raises(CheckpointError, match="newer adiabat"):
        checkpoint.load(path)


def test_older_versions_climb_step_by_step(saved, monkeypatch):
    path, potential = saved
    tensors, header = read_archive(path)
    # an imagined version 0 called the method "architecture" and the reference energies "shift"
    old = {k: v for k, v in header.items() if k != "method"} | {"architecture": "morse", "version": 0}
    tensors["shift"] = tensors.pop("reference")
    write_archive(path, tensors, old)
    with pytest.raises(CheckpointError, match="no longer"):
        checkpoint.load(path)

    def step(tensors, header):
        header = {k: v for k, v in header.items() if k != "architecture"} | {"method": header["architecture"]}
        return {("reference" if k == "shift" else k): v for k, v in tensors.items()}, header

    monkeypatch.setitem(checkpoint.UPGRADES, 0, step)
    loaded = checkpoint.load(path)
    assert loaded.header["version"] == checkpoint.VERSION
    assert torch.equal(loaded.potential.reference, potential.reference)


def test_a_file_that_does_not_fit_its_configuration_is_refused(saved):
    path, _ = saved
    tensors, header = read_archive(path)
    write_archive(path, tensors, header | {"elements": [1, 6, 8]})
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load(path)
    write_archive(path, tensors, header | {"method": "mors"})
    with pytest.raises(CheckpointError, match="Did you mean 'morse'"):
        checkpoint.load(path)


def test_killed_while_saving_leaves_the_old_file(saved):
    path, _ = saved
    before = path.read_bytes()
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from adiabat.files import write_atomically\n"
        "def write(file):\n"
        "    file.write(b'half of it')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), write)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == before


def test_failing_writes_leave_nothing_behind(saved):
    path, _ = saved
    before = sorted(p.name for p in path.parent.iterdir())
    with pytest.raises(TypeError):
        write_archive(path, {}, {"x": object()})
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, lambda file: 1 / 0)
    assert sorted(p.name for p in path.parent.iterdir()) == before


def test_header_is_readable_json(saved):
    path, _ = saved
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["adiabat"])
    assert header["method"] == "morse"
    assert header["info"]["level_of_theory"] == "Morse"
