"""Files of python-ace and LAMMPS's ML-PACE: parity, round trip, damaged ones."""

import pytest
import torch

from adiabat.architectures.local.ace import ACE, ACEConfig
from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced
from adiabat.pretrained.importers.ace import read_ace, write_ace
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.testing.parity import parity

KITS = ("8el-chebexpcos-linear", "8el-sbessel-fs2", "8el-simplified-core", "fitsnap-InP", "fitsnap-Ta")


@pytest.mark.parametrize("name", KITS)
def test_parity(name, shared):
    report = parity(Kit(shared / "golden" / f"ace-{name}"))
    assert report.status == "equal", report
    assert not report.failures


def test_both_files_of_a_kit_are_the_same(shared):
    kit = Kit(shared / "golden" / "ace-8el-sbessel-fs2")
    one, other = (read_ace(kit.path / name) for name in ("bbasis.yaml", "ctilde.yace"))
    graph = Graph.build(System.from_ase(kit.structures()["acetamide"]), one.cutoff)
    torch.testing.assert_close(one(graph).atomic_energies, other(graph).atomic_energies, rtol=1e-12, atol=1e-12)


def _graph():
    torch.manual_seed(3)
    return Graph.build(System.from_arrays(torch.randn(6, 3) * 1.5, [15, 49, 15, 49, 49, 15]), 4.0)


@pytest.mark.parametrize("parameters", [(1.0, 1.0), (1.0, 1.0, 0.7, 0.5)])
def test_round_trip(parameters, tmp_path):
    bond = {"count": 3, "basis": "ChebPow", "decay": 2.0, "inner": (1.2, 0.3), "core": (20.0, 1.0)}
    descriptor = {"cutoff": 4.0, "n_max": (3, 2, 1, 1), "l_max": (0, 2, 2, 1), "bond": bond, "train_radial": True}
    config = ACEConfig.parse({"descriptor": descriptor, "embedding": {"parameters": parameters}})
    torch.manual_seed(0)
    model = ACE(config, [15, 49])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    graph = _graph()
    for potential in (model, Referenced(model, {15: -3.0, 49: 1.0}, 1.3)):
        read = read_ace(write_ace(potential, tmp_path / "one"))
        torch.testing.assert_close(read(graph).energy, potential(graph).energy, rtol=1e-11, atol=1e-11)
    assert (tmp_path / "one.yace").exists()


BASIS = """
species:
  - {speciesblock: Ta, npoti: FinnisSinclair, parameters: [1, 1], rcutij: 4, nradbaseij: 2, radbase: ChebPow,
     radparameters: [2], radcoefficients: [[[1, 0], [1, 0]]], nbody: [
       {type: Ta Ta, nr: [2], nl: [0], c: [0.5]},
       {type: Ta Ta Ta Ta Ta, nr: [1, 1, 1, 1], nl: [1, 1, 1, 1], lint: [0, 0], c: [2.0]}]}
"""


def test_basis_of_four_neighbors(tmp_path):
    # (A·A)²/(2l+1), A·A = 3 for one neighbor, times the fourth power of its radial function
    (tmp_path / "a.yaml").write_text(BASIS)
    model = read_ace(tmp_path / "a.yaml")
    graph = Graph.build(System.from_arrays([[0, 0, 0], [0.6, 0.3, 1.9]], [73, 73]), 4.0)
    r = float(graph.vectors().norm(dim=1)[0])
    x = 1 - 2 * (1 - r / 4) ** 2
    g1, g2 = 0.5 - 0.5 * x, 0.5 - 0.5 * (2 * x * x - 1)
    assert model(graph).energy.item() == pytest.approx(2 * (0.5 * g2 + 2.0 * 3.0 * g1**4), rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ChebPow", "Cheb", "'Cheb' is not known"),
        ("FinnisSinclair", "Sqrt", "'Sqrt' is not known"),
        ("parameters: [1, 1]", "other: 1", "damaged"),
        ("lint: [0, 0]", "lint: [0]", "damaged"),
        ("c: [0.5]", "c: [x]", "damaged"),
        ("c: [0.5]", "c: [.nan]", "damaged"),
        ("species:", "]", "damaged"),
        ("species:", "potential:", "damaged"),
    ],
)
def test_damaged_files(old, new, message, tmp_path):
    (tmp_path / "a.yaml").write_text(BASIS.replace(old, new, 1))
    with pytest.raises(CheckpointError, match=message):
        read_ace(tmp_path / "a.yaml")


def test_originals_are_recognized(tmp_path):
    (tmp_path / "a.yaml").write_text(BASIS)
    (model,) = import_original(tmp_path / "a.yaml").potentials.values()
    assert isinstance(model, ACE)
    written = write_ace(model, tmp_path / "b.yace")
    (again,) = import_original(written).potentials.values()
    assert again.elements == (73,)


def test_missing_and_foreign(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_ace(tmp_path / "a.yace")
    (tmp_path / "a.yace").write_text("hello")
    with pytest.raises(CheckpointError, match="is not a potential"):
        read_ace(tmp_path / "a.yace")
    with pytest.raises(CapabilityError, match="only ACE"):
        write_ace(BPNN(BPNNConfig(), [29]), tmp_path / "a.yace")
