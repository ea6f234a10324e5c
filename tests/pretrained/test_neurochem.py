"""NeuroChem's files, written here and published ones, and what is refused."""

import bz2
from itertools import pairwise

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.ani import from_kit
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.neurochem import read, recognize
from adiabat.pretrained.originals.source import Source
from adiabat.units import HARTREE

PARAMS = """TM = 1
Rcr = 4.6000e+00
Rca = 3.1000e+00
EtaR = [1.6e+01,4.0]
ShfR = [9.0e-01,1.5,2.1]
Zeta = [8.0,3.5]
ShfZ = [1.9e-01,1.4]
EtaA = [8.0]
ShfA = [0.9,1.55,2.2]
Atyp = [O,H]
"""
SIZE, HIDDEN = 2 * 6 + 3 * 12, (5, 4)


def _nnf(folder, name, activation, random):
    """Writes one network; gives its layers as arrays."""
    widths, lines, layers = [SIZE, *HIDDEN, 1], [f"inputsize={SIZE};", f"atom_net {name} $"], []
    for depth, (before, after) in enumerate(pairwise(widths)):
        weight = random.normal(size=(after, before)).astype("f4")
        bias = random.normal(size=after).astype("f4")
        stem = f"ANN-{name}.nnf-l{depth + 1}"
        weight.tofile(folder / f"{stem}.wparam")
        bias.tofile(folder / f"{stem}.bparam")
        layers.append((torch.from_numpy(weight).double(), torch.from_numpy(bias).double()))
        lines += [
            "layer [",
            f"nodes={after};",
            f"activation={6 if depth == len(HIDDEN) else activation};",
            "type=0;",
            f"blocksize={before};",
            f"weights=FILE:{stem}.wparam[{weight.size}];",
            f"biases=FILE:{stem}.bparam[{bias.size}];",
            "]",
        ]
    text = "\n".join([*lines, "\n $ "]).encode()
    (folder / f"ANN-{name}.nnf").write_bytes(b"%d=\n" % len(text) + bz2.compress(text))
    return layers


def _write(folder, activation=9, members=2):
    random = np.random.default_rng(0)
    (folder / "own.params").write_text(PARAMS)
    (folder / "sae.dat").write_text("H,0=-0.5\nO,1=-75.25\n")
    made = []
    for k in range(members):
        networks = folder / f"train{k}" / "networks"
        networks.mkdir(parents=True)
        made.append({name: _nnf(networks, name, activation, random) for name in "HO"})
    return made


@pytest.mark.parametrize(("activation", "function"), [(9, "celu"), (5, "gaussian")])
def test_written_files(tmp_path, activation, function):
    members = _write(tmp_path, activation)
    model = import_original(tmp_path).potentials[""]
    system = System.from_arrays([[0, 0, 0], [0, 0.76, 0.6], [0, -0.76, 0.6]], [8, 1, 1])
    graph = Graph.build(system, model.cutoff)
    found = model(graph)
    rows = model.model.descriptor(graph)
    # the program's columns: of O before those of H
    radial, angular = rows[:, :12].unflatten(1, (2, 6)).flip(1), rows[:, 12:].unflatten(1, (3, 12)).flip(1)
    rows = torch.cat([radial.flatten(1), angular.flatten(1)], dim=1)
    totals = []
    for member in members:
        total = torch.tensor(-75.25 - 1.0)
        for row, name in zip(rows, "OHH", strict=True):
            for weight, bias in member[name][:-1]:
                row = weight @ row + bias
                row = torch.exp(-row * row) if function == "gaussian" else torch.nn.functional.celu(row, 0.1)
            total = total + member[name][-1][0] @ row + member[name][-1][1]
        totals.append(total.squeeze() * HARTREE)
    torch.testing.assert_close(found.energy[0], torch.stack(totals).mean())
    torch.testing.assert_close(found.uncertainty[0], torch.stack(totals).std())


def test_info_files_and_single_members(tmp_path):
    _write(tmp_path)
    info = tmp_path / "own.info"
    info.write_text("own.params\nsae.dat\ntrain\n2\n")
    both, named = import_original(tmp_path).potentials[""], import_original(info).potentials[""]
    for one, other in zip(both.state_dict().values(), named.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    for name in ("own.params", "sae.dat"):
        (tmp_path / "train1" / name).write_text((tmp_path / name).read_text())
    single = import_original(tmp_path / "train1").potentials[""].model
    for one, other in zip(single.members[0].parameters(), both.model.members[1].parameters(), strict=True):
        assert torch.equal(one, other)
    info.write_text("../own.params\nsae.dat\ntrain\n2\n")
    with pytest.raises(CheckpointError, match=r"'\.\./own\.params', outside"):
        import_original(info)
    info.write_text("own.params\nsae.dat\ntrain\nmany\n")
    with pytest.raises(CheckpointError, match="two files, a prefix and a number"):
        import_original(info)


def test_published_files(shared):
    source = Source(shared / "weights" / "ani" / "ani-1x_8x")
    assert recognize(source)
    kit = Kit(shared / "golden" / "ani-1x")
    found, expected = from_kit(read(source)).potentials[""], from_kit(kit).potentials[""]
    assert found.config == expected.config
    for name, value in found.state_dict().items():
        room = 1e-4 if name == "reference" else 0.0  # TorchANI keeps self energies in single precision
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=0, atol=room)


def _description(folder, old, new):
    file = folder / "train0" / "networks" / "ANN-H.nnf"
    head, _, packed = file.read_bytes().partition(b"=\n")
    text = bz2.decompress(packed)
    assert old in text
    file.write_bytes(head + b"=\n" + bz2.compress(text.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"FILE:ANN-H", b"FILE:../../secret/ANN-H", r"weights 'FILE:\.\./"),
        (b"activation=9", b"activation=7", "activation 7"),
        (b"type=0", b"type=1", "kind that is not known"),
        (b"nodes=5", b"nodes=__import__('os')", "no whole number"),
        (b"nodes=5", b"nodes=6", "where 288 are needed"),
        (b"activation=9", b"activation=5", "different activations"),
    ],
)
def test_descriptions_that_are_refused(tmp_path, old, new, message):
    _write(tmp_path)
    _description(tmp_path, old, new)
    with pytest.raises(CheckpointError, match=message):
        import_original(tmp_path)


def test_files_that_are_refused(tmp_path):
    _write(tmp_path)
    networks = tmp_path / "train0" / "networks"
    cases = {
        networks / "ANN-H.nnf-l1.wparam": (b"\0" * 8, "not 960 bytes"),
        networks / "ANN-H.nnf-l1.bparam": (b"\xff" * 20, "not finite"),
        networks / "ANN-O.nnf": (b"7=\n" + bz2.compress(b"0" * (1 << 26)), "0 layers"),
        networks / "ANN-H.nnf": (b"12=\nnot compressed", "not an .nnf file"),
        tmp_path / "sae.dat": (b"H,0=-0.5\n", "no self energy of O"),
        tmp_path / "own.params": (PARAMS.replace("TM = 1", "TM = 2").encode(), "TM = 2"),
    }
    for file, (content, message) in cases.items():
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            import_original(tmp_path)
        file.write_bytes(before)
    import_original(tmp_path)
    (tmp_path / "own.params").write_text(PARAMS.replace("Zeta", "zeta"))
    with pytest.raises(CheckpointError, match="no Zeta"):
        import_original(tmp_path)
