"""chgnet as a worker: the released CHGNet 0.3.0 that comes with it."""

from importlib.metadata import version

import torch
from chgnet.model import CHGNet
from pymatgen.io.ase import AseAtomsAdaptor

from speed.methods import METHODS
from speed.program import Program, write_kit

# the program's frequencies are multiples of 1/cutoff, adiabat's in 1/Å: gradients are made those of the latter
CUTOFFS = {"ag": "atom_graph_cutoff", "bg": "bond_graph_cutoff"}
VACUUM = 8.0  # Å; the program knows crystals alone, and 16 Å are more than its cutoff


class Chgnet(Program):
    """The program's model in single precision."""

    def load(self, method, folder, mode):
        options = METHODS[method].options
        self.model = CHGNet.load(model_name=options["checkpoint"], use_device="cpu", verbose=False)
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        for name, parameter in self.model.named_parameters():
            if name.endswith("frequencies") and "rbf" in name:
                cutoff = self.model.model_args[CUTOFFS[name.split("_")[-1].split(".")[0]]]
                parameter.register_hook(lambda slope, cutoff=cutoff: slope * cutoff)
        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        facts = {"hyperparameters": self.model.model_args, "cutoff": self.model.model_args["atom_graph_cutoff"]}
        write_kit(folder, METHODS[method], range(1, 95), weights, {}, **facts)
        return {"program": f"chgnet {version('chgnet')}"}

    def inputs(self, frames):
        return [self.model.graph_converter(AseAtomsAdaptor.get_structure(crystal(atoms))) for atoms in frames]

    def predict(self, inputs):
        self.model.eval()
        energies, forces = self._evaluate(inputs)
        return energies.detach(), forces.detach()

    def predict_to_train(self, inputs):
        self.model.train()
        return self._evaluate(inputs)

    def _evaluate(self, inputs):
        found = self.model(inputs, task="ef")
        atoms = torch.tensor([len(graph.atomic_number) for graph in inputs])
        return found["e"] * atoms, torch.cat(found["f"])


def crystal(atoms):
    """A molecule in a box of its own, everything else as it is."""
    if atoms.pbc.all():
        return atoms
    boxed = atoms.copy()
    boxed.center(vacuum=VACUUM)
    boxed.pbc = True
    return boxed


PROGRAM = Chgnet
