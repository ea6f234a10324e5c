"""sevenn as a worker: the released SevenNet-0 that comes with it."""

from importlib.metadata import version

import numpy as np
import sevenn._keys as keys
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import load_checkpoint
from torch_geometric.loader import DataLoader

from speed.methods import METHODS
from speed.program import Program, write_kit
from speed.structures import CUTOFF, ELEMENTS

PLAIN = (str, int, float, bool, list, tuple, dict, type(None))


def plain(value):
    """JSON's idea of a value."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


class Sevenn(Program):
    """The program's model in single precision."""

    def load(self, method, folder, mode):
        checkpoint = load_checkpoint(METHODS[method].options["checkpoint"])
        self.model = checkpoint.build_model()
        self.model.set_is_batch_data(True)
        self.model.eval()
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        options = {k: plain(v) for k, v in checkpoint.config.items() if isinstance(v, PLAIN) and k != "version"}
        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items() if tensor.numel()}
        write_kit(folder, METHODS[method], ELEMENTS, weights, {}, hyperparameters=options)
        return {"program": f"sevenn {version('sevenn')}"}

    def inputs(self, frames):
        graphs = [AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, CUTOFF)) for atoms in frames]
        return next(iter(DataLoader(graphs, batch_size=len(graphs))))

    def predict(self, inputs):
        self.model.eval()
        return self._evaluate(inputs)

    def predict_to_train(self, inputs):
        self.model.train()
        return self._evaluate(inputs)

    def _evaluate(self, inputs):
        found = self.model(inputs.clone())
        return found[keys.PRED_TOTAL_ENERGY], found[keys.PRED_FORCE]


PROGRAM = Sevenn
