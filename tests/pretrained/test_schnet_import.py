"""SchNetPack's and PyTorch Geometric's numbers from their weights."""

import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.schnetpack import from_kit, read_schnet
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity


@pytest.mark.parametrize("name", ["schnet", "schnet-pyg", "schnet-ethanol-published"])
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {"energy", "forces", "atomic_energies", "stress"} <= {d.quantity for d in report.deviations}


@pytest.mark.parametrize("name", ["schnet", "schnet-ethanol-published"])
def test_features(shared, name):
    kit = Kit(shared / "golden" / name)
    model = from_kit(kit).potentials[""].model
    for case, atoms in kit.structures().items():
        if f"{case}/descriptor" in kit.outputs():
            found = model.features(Graph.build(System.from_ase(atoms), model.cutoff))
            wanted = torch.as_tensor(kit.outputs()[f"{case}/descriptor"])
            torch.testing.assert_close(found.detach(), wanted, rtol=1e-10, atol=1e-10)


def test_faults_are_named(shared):
    kit = Kit(shared / "golden" / "schnet")
    options, weights = kit.meta["hyperparameters"], kit.weights()
    with pytest.raises(CheckpointError, match="shape"):
        read_schnet(options | {"n_atom_basis": 20}, weights, [1, 6])
    weights.pop("representation.interactions.1.in2f.weight")
    with pytest.raises(CheckpointError, match=r"interactions\.1\.in2f"):
        read_schnet(options, weights, [1, 6])
