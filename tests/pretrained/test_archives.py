"""Torch files as data: values equal to what torch itself loads, and nothing but plain entries accepted."""

import io
import stat
import zipfile

import attacks
import numpy as np
import pytest
import torch
from torch import nn

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.inert import Inert, tensors
from adiabat.pretrained.originals.source import Source


class Block(nn.Module):
    """Parameters, buffers, one of which is not saved, and a child used twice."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.again = self.linear
        self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.SiLU()])
        self.register_buffer("saved", torch.arange(3))
        self.register_buffer("unsaved", torch.ones(1), persistent=False)
        self.size, self.options = 3, {"a": [1, 2]}


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_modules(tmp_path, zipped):
    module, path = Block(), tmp_path / "module.pt"
    torch.save(module, path, _use_new_zipfile_serialization=zipped)
    source = Source(path)
    assert source.kind == ("torch" if zipped else "legacy torch")
    assert source.class_name == "Block"
    equal(tensors(source.content), dict(module.state_dict()))
    assert source.content["size"] == 3
    assert source.content.get("options.a.1") == 2
    assert source.content.get("blocks.1").kind == "SiLU"
    assert source.content.get("blocks.7") is None
    with pytest.raises(CheckpointError, match="no 'missing'"):
        source.content["missing"]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tensors_of_all_kinds(tmp_path, zipped):
    base = torch.arange(24.0).reshape(4, 6)
    values = {
        "transposed": base.T,
        "part": base[1:3, ::2],
        "repeated": torch.ones(1, 2).expand(3, 2),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float32),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "whole": torch.arange(3, dtype=torch.int32),
        "yes": torch.tensor([True, False]),
        "parameter": nn.Parameter(torch.randn(2)).detach(),
    }
    path = tmp_path / "state.pt"
    torch.save(values, path, _use_new_zipfile_serialization=zipped)
    equal(Source(path).content, values)


@pytest.mark.filterwarnings("ignore")
def test_torchscript(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    path = tmp_path / "scripted.pt"
    torch.jit.save(torch.jit.script(module), path, _extra_files={"cutoff": "5.0"})
    source = Source(path)
    assert source.kind == "torchscript"
    assert source.archive.text("extra/cutoff") == "5.0"
    equal(tensors(source.content), dict(module.state_dict()))
    frozen = tmp_path / "frozen.pt"
    torch.jit.save(torch.jit.freeze(torch.jit.script(module.eval())), frozen)
    constants = [c for c in Source(frozen).constants if isinstance(c, torch.Tensor)]
    assert {tuple(c.shape) for c in constants} >= {(2, 3), (2,)}


def test_hostile_torch_file(tmp_path):
    """A torch file whose pickle would run a command: a message, and the command has not run."""
    marker, path = tmp_path / "marker", tmp_path / "model.model"
    torch.save({"weights": attacks.Command(__import__("os").system, f"touch {marker}")}, path)
    assert isinstance(Source(path).content["weights"], Inert)
    with pytest.raises(CheckpointError, match="not recognized"):
        import_original(path)
    assert not marker.exists()


def archive(path, entries, pickle=b"\x80\x02}."):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model/data.pkl", pickle)
        for name, data in entries:
            file.writestr(name, data)
    return path


def link():
    entry = zipfile.ZipInfo("model/data/0")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("/etc/passwd", "leads out"),
        ("model/../../up", "leads out"),
        ("..\\up", "leads out"),
        ("C:/up", "leads out"),
        (link(), "is a link"),
    ],
    ids=["absolute", "up", "backslash", "drive", "link"],
)
def test_entries_that_leave_the_archive(tmp_path, entry, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        _ = Source(archive(tmp_path / "a.pt", [(entry, b"x")])).kind


def test_zip_bomb(tmp_path):
    path = archive(tmp_path / "a.pt", [("model/data/0", bytes(64 << 20))])
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="unpacks to"):
        _ = Source(path).kind


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(tmp_path):
    with pytest.raises(CheckpointError, match="two entries"):
        _ = Source(archive(tmp_path / "a.pt", [("model/data/0", b"x"), ("model/data/0", b"y")])).kind


def storage(count, size, stride, data=8):
    """A pickle of one tensor of 8-byte numbers with any sizes at all."""
    numbers = "".join(f"I{n}\n" for n in size), "".join(f"I{n}\n" for n in stride)
    identifier = f"(Vstorage\nctorch\nDoubleStorage\nV0\nVcpu\nI{count}\nt".encode()
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + identifier
        + b"QI0\n"
        + f"({numbers[0]}t({numbers[1]}t".encode()
        + (b"I00\nNtR.")
    )


@pytest.mark.parametrize(
    ("pickle", "sentence"),
    [
        (storage(1, [2], [1]), "larger than its storage"),
        (storage(1, [1], [2**60]), None),
        (storage(1, [2], [2**60]), "larger than its storage"),
        (storage(1, [-1], [1]), "negative"),
        (storage(10**12, [1], [1]), "for 1000000000000 numbers"),
        (storage(1, [10**12], [0]), "repeats"),
        (storage(1, [10**6, 10**6], [0, 0]), "repeats"),
    ],
)
def test_tensors_larger_than_their_data(tmp_path, pickle, sentence):
    path = archive(tmp_path / "a.pt", [("model/data/0", bytes(8))], pickle)
    if sentence is None:
        assert Source(path).content.shape == (1,)
    else:
        with pytest.raises(CheckpointError, match=sentence):
            _ = Source(path).content


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damaged_torch_files_give_a_message(tmp_path, zipped):
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(100.0)}, buffer, _use_new_zipfile_serialization=zipped)
    whole, path = buffer.getvalue(), tmp_path / "a.pt"
    rng = np.random.default_rng(0)
    refused = 0
    for length in rng.integers(4, len(whole), 30):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            _ = Source(path).content
    for place in rng.integers(0, len(whole), 100):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path.write_bytes(data)
        try:
            _ = Source(path).content
        except CheckpointError:
            refused += 1
    assert refused > 5


def test_other_files_are_named_for_what_they_are(tmp_path):
    for name, content, kind in [
        ("a.txt", b"nep4 1 C\n", "text"),
        ("a.json", b'{"a": 1}', "json"),
        ("a.bin", bytes(range(256)), "binary"),
        ("a.utf", ("x" * 4095 + "é").encode(), "text"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert Source(tmp_path / name).kind == kind
    with pytest.raises(CheckpointError, match="no file"):
        _ = Source(tmp_path / "missing").kind
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    assert Source(tmp_path / "a.npz").arrays["a"].sum() == 2
