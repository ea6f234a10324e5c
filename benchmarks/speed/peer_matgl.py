"""matgl as a worker: M3GNet and TensorNet with its default sizes and weights from a seed."""

from importlib.metadata import version

import numpy as np
import torch
from matgl.apps.pes import Potential
from matgl.ext.ase import Atoms2Graph
from matgl.models import M3GNet, TensorNet
from torch_geometric.data import Batch

from speed.methods import METHODS
from speed.program import Program, write_kit
from speed.structures import ELEMENTS

CLASSES = {"M3GNet": M3GNet, "TensorNet": TensorNet}


class Matgl(Program):
    """The program's model in single precision."""

    def load(self, method, folder, mode):
        torch.manual_seed(0)
        options = dict(METHODS[method].options)
        name = options.pop("class")
        model = CLASSES[name](element_types=ELEMENTS, **options).float()
        self.model = Potential(model=model, calc_stresses=False).eval()
        self.converter = Atoms2Graph(ELEMENTS, options["cutoff"])
        self.parameters = list(model.parameters())
        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items() if tensor.numel()}
        facts = {"class": name, "element_order": list(ELEMENTS), "hyperparameters": options}
        write_kit(folder, METHODS[method], ELEMENTS, weights, {}, cutoff=options["cutoff"], **facts)
        return {"program": f"matgl {version('matgl')}"}

    def inputs(self, frames):
        graphs, cells = zip(*(self.converter.get_graph(atoms)[:2] for atoms in frames), strict=True)
        cells = torch.stack([torch.as_tensor(np.asarray(cell), dtype=torch.float32).view(3, 3) for cell in cells])
        return Batch.from_data_list(list(graphs)), cells

    def predict(self, inputs):
        self.model.eval()
        return self._evaluate(inputs)

    def predict_to_train(self, inputs):
        self.model.train()
        return self._evaluate(inputs)

    def _evaluate(self, inputs):
        graph, cells = inputs
        energies, forces = self.model(graph, cells)[:2]
        energies = energies.reshape(-1)
        return (energies if self.model.training else energies.detach()), forces


PROGRAM = Matgl
