"""MatterSim checkpoints, written here in the program's form with the weights of its golden kit."""

import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original, read_original

NAME = "mattersim-m3gnet-random"


def save(path, kit, **changes):
    options = {k: v for k, v in kit.meta["hyperparameters"].items() if k != "max_z"}  # left to the program's default
    content = {"model_name": "m3gnet", "model": kit.weights(), "model_args": options, "ema": {}, "last_epoch": 3}
    torch.save(content | changes, path)
    return path


def test_checkpoint_gives_the_golden_numbers(shared, tmp_path):
    kit = Kit(shared / "golden" / NAME)
    model = import_original(save(tmp_path / "model.pth", kit)).potentials[""]
    found = evaluate(model, Graph.build(System.from_ase(kit.structures()["ethanol"]), model.cutoff))
    assert float(found.energy) == pytest.approx(float(kit.outputs()["ethanol/energy"]), rel=1e-8)
    torch.testing.assert_close(found.forces, torch.as_tensor(kit.outputs()["ethanol/forces"]), rtol=0, atol=1e-7)


def test_other_models_are_refused(shared, tmp_path):
    kit = Kit(shared / "golden" / NAME)
    with pytest.raises(CheckpointError, match="the model 'graphormer'"):
        read_original(save(tmp_path / "model.pth", kit, model_name="graphormer"))
    with pytest.raises(CheckpointError, match="no options and weights by name"):
        read_original(save(tmp_path / "other.pth", kit, model=[1]))
