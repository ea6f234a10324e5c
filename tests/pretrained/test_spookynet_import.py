"""SpookyNet's own files, written here in the program's form with the weights of its golden kits."""

import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original, read_original
from adiabat.pretrained.originals.source import Options


def save(path, kit, **changes):
    content = {"state_dict": kit.weights(), "module_keep_prob": 0.9} | kit.meta["hyperparameters"]
    torch.save(content | changes, path)
    return path


@pytest.mark.parametrize("name", ["spookynet", "spookynet-lrcut"])
def test_file_gives_the_golden_numbers(shared, tmp_path, name):
    kit = Kit(shared / "golden" / name)
    path = save(tmp_path / "parameters.pth", kit)
    for options in (None, Options(elements=(8, 6, 1))):
        model = import_original(path, options=options).potentials[""]
        assert model.elements == ((1, 6, 8) if options else tuple(range(1, 87)))
        found = evaluate(model, Graph.build(System.from_ase(kit.structures()["ethanol"]), model.cutoff))
        assert float(found.energy) == pytest.approx(float(kit.outputs()["ethanol/energy"]), rel=1e-12)
        torch.testing.assert_close(found.forces, torch.as_tensor(kit.outputs()["ethanol/forces"]), rtol=0, atol=1e-8)


def test_faults_are_named(shared, tmp_path):
    kit = Kit(shared / "golden" / "spookynet")
    with pytest.raises(CheckpointError, match="no weights by name"):
        read_original(save(tmp_path / "other.pth", kit, state_dict=[1.0]))
    with pytest.raises(CheckpointError, match="activation 'ssp'"):
        import_original(save(tmp_path / "softplus.pth", kit, activation="ssp"))
    with pytest.raises(CheckpointError, match="use_nonlinear_embedding True"):
        import_original(save(tmp_path / "nonlinear.pth", kit, use_nonlinear_embedding=True))
