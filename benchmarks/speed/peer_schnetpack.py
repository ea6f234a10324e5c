"""schnetpack as a worker."""

from importlib.metadata import version
from typing import TypeVar

import numpy as np
import torch
import torch.utils.data.dataloader as torch_dataloader

# schnetpack 2.0.4 imports a name which newer releases of torch have made private.
if not hasattr(torch_dataloader, "T_co"):
    torch_dataloader.T_co = TypeVar("T_co", covariant=True)

import schnetpack as spk
import schnetpack.atomistic
import schnetpack.representation
from schnetpack import properties, transform

from speed.methods import METHODS
from speed.program import Program, write_kit
from speed.structures import ELEMENTS


def build(method, options):
    """The peer's potential with forces."""
    representation = spk.representation.PaiNN if METHODS[method].page == "painn" else spk.representation.SchNet
    features, cutoff = options["n_atom_basis"], options["cutoff"]
    return spk.model.NeuralNetworkPotential(
        representation=representation(
            n_atom_basis=features,
            n_interactions=options["n_interactions"],
            radial_basis=spk.nn.GaussianRBF(n_rbf=options["n_rbf"], cutoff=cutoff),
            cutoff_fn=spk.nn.CosineCutoff(cutoff),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=features, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )


class SchNetPack(Program):
    """A potential in single precision."""

    def load(self, method, folder, mode):
        torch.manual_seed(0)
        options = METHODS[method].options
        self.model = build(method, options)
        self.parameters = list(self.model.parameters())
        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        write_kit(folder, METHODS[method], ELEMENTS, weights, {})
        self.neighbors = transform.MatScipyNeighborList(cutoff=options["cutoff"])
        return {"program": f"schnetpack {version('schnetpack')}"}

    def _item(self, atoms):
        item = {
            properties.n_atoms: torch.tensor([len(atoms)]),
            properties.Z: torch.tensor(atoms.numbers, dtype=torch.long),
            properties.R: torch.tensor(atoms.positions),
            properties.cell: torch.tensor(np.array(atoms.cell))[None],
            properties.pbc: torch.tensor(atoms.pbc),
        }
        return transform.CastTo32()(self.neighbors(item))

    def inputs(self, frames):
        items = [self._item(atoms) for atoms in frames]
        return next(iter(spk.data.AtomsLoader(items, len(items))))

    def predict(self, inputs):
        self.model.eval()
        output = self.model(dict(inputs))
        return output["energy"].detach(), output["forces"].detach()

    def predict_to_train(self, inputs):
        self.model.train()
        output = self.model(dict(inputs))
        return output["energy"], output["forces"]


PROGRAM = SchNetPack
