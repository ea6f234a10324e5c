"""mace-torch as a worker."""

from importlib.metadata import version

import mace  # noqa: F401  before e3nn: it makes e3nn's constants readable with a newer torch
import numpy as np
import torch
from e3nn import o3
from mace import data, modules
from mace.tools import AtomicNumberTable, torch_geometric

from speed.methods import METHODS
from speed.program import Program, write_kit
from speed.structures import ELEMENTS


def build(options):
    """The peer's model from a table of plain values."""
    values = dict(options)
    for key in ("interaction_cls", "interaction_cls_first"):
        values[key] = modules.interaction_classes[values[key]]
    for key in ("hidden_irreps", "MLP_irreps"):
        values[key] = o3.Irreps(values[key])
    count = len(values["atomic_numbers"])
    gate, energies = torch.nn.functional.silu, np.zeros(count)
    return modules.ScaleShiftMACE(num_elements=count, gate=gate, atomic_energies=energies, **values)


class MaceTorch(Program):
    """ScaleShiftMACE in single precision with the program's defaults."""

    def load(self, method, folder, mode):
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(0)
        options = METHODS[method].options
        self.model = build(options)
        self.parameters = list(self.model.parameters())
        self.table = AtomicNumberTable(options["atomic_numbers"])
        buffers = {name: tensor.numpy() for name, tensor in self.model.named_buffers() if "U_matrix" in name}
        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items() if name not in buffers}
        write_kit(folder, METHODS[method], ELEMENTS, weights, buffers)
        return {"program": f"mace-torch {version('mace-torch')}"}

    def inputs(self, frames):
        graphs = [
            data.AtomicData.from_config(
                data.config_from_atoms(atoms), z_table=self.table, cutoff=float(self.model.r_max)
            )
            for atoms in frames
        ]
        return next(iter(torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs)))).to_dict()

    def predict(self, inputs):
        output = self.model(inputs, compute_force=True)
        return output["energy"].detach(), output["forces"]

    def predict_to_train(self, inputs):
        output = self.model(inputs, training=True, compute_force=True)
        return output["energy"], output["forces"]


PROGRAM = MaceTorch
