"""TorchANI's numbers from its weights."""

import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.ani import from_kit, read_ani
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity
from adiabat.units import HARTREE

KITS = ["ani-1x", "ani-2x-member0", "ani-8el-random"]


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-7  # the program's derivative of CELU takes its constant in single precision
    assert {"energy", "forces", "atomic_energies", "stress"} <= {d.quantity for d in report.deviations}


@pytest.mark.parametrize("name", KITS)
def test_members_and_descriptor(shared, name):
    kit = Kit(shared / "golden" / name)
    model = from_kit(kit).potentials[""]
    outputs, ascending = kit.outputs(), name != "ani-2x-member0"  # its program has F after S
    for case, atoms in kit.structures().items():
        if f"{case}/energy" not in outputs:
            continue
        graph = Graph.build(System.from_ase(atoms), model.cutoff)
        members = torch.as_tensor(outputs[f"{case}/energy_members"])
        if len(members) > 1:
            found = evaluate(model, graph).uncertainty[0] / HARTREE
            torch.testing.assert_close(found, members.std(), rtol=1e-6, atol=1e-10)
        if ascending:
            wanted = torch.as_tensor(outputs[f"{case}/descriptor"])
            torch.testing.assert_close(model.model.descriptor(graph), wanted, rtol=0, atol=1e-12)


def test_faults_are_named(shared):
    kit = Kit(shared / "golden" / "ani-1x")
    weights = kit.weights()
    name = "potentials.nnp.neural_networks.members.1.atomics.O.layers.1.bias"
    with pytest.raises(CheckpointError, match=r"members\.1\.atomics\.O\.layers\.1\.bias"):
        read_ani(kit.meta, {k: v for k, v in weights.items() if k != name})
    with pytest.raises(CheckpointError, match="shape"):
        read_ani(kit.meta, weights | {name: weights[name][1:]})
    with pytest.raises(CheckpointError, match="is it an ANI model"):
        read_ani(kit.meta, {})
