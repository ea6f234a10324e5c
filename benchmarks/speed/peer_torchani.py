"""TorchANI as a worker."""

import os
from importlib.metadata import version

os.environ.setdefault("TORCHANI_NO_WARN_EXTENSIONS", "1")  # its extensions are for GPUs

import torch
from torchani.arch import Assembler
from torchani.neighbors import Neighbors

from speed.methods import METHODS
from speed.program import Program, write_kit
from speed.structures import ELEMENTS

HARTREE = 27.211386245988  # eV
SINGLE, MANY = "potentials.nnp.neural_networks.atomics.", "potentials.nnp.neural_networks.members.0.atomics."


def build(options):
    """An ensemble with the descriptor of ANI-1x, the program's default networks, and no offsets."""
    assembler = Assembler()
    assembler.set_symbols(ELEMENTS)
    assembler.set_global_cutoff_fn("cosine")
    assembler.set_aev_computer(radial="ani1x", angular="ani1x")
    assembler.set_atomic_networks(ctor="default", kwargs={"activation": "celu", "bias": True})
    assembler.set_neighborlist("all_pairs")
    assembler.set_zeros_as_self_energies()
    return assembler.assemble(options["members"]).float()


class TorchANI(Program):
    """An ensemble in single precision, in eV, on neighbors found beforehand as for all programs here."""

    def load(self, method, folder, mode):
        torch.manual_seed(0)
        self.model = build(METHODS[method].options)
        self.parameters = list(self.model.neural_networks.parameters())
        terms = self.model.aev_computer
        facts = {"cutoff": {"radial": float(terms.radial.cutoff), "angular": float(terms.angular.cutoff)}}
        weights = {name.replace(SINGLE, MANY): t.numpy() for name, t in self.model.state_dict().items()}
        write_kit(folder, METHODS[method], ELEMENTS, weights, {}, **facts)
        return {"program": f"torchani {version('torchani')}"}

    def inputs(self, frames):
        species = torch.tensor([[ELEMENTS.index(symbol) for symbol in atoms.symbols] for atoms in frames])
        positions = torch.tensor([atoms.positions.tolist() for atoms in frames], dtype=torch.float32)
        cell, pbc = torch.tensor(frames[0].cell.tolist(), dtype=torch.float32), torch.tensor(frames[0].pbc.tolist())
        periodic = (cell, pbc) if pbc.any() else (None, None)
        found = self.model.neighborlist(self.model.aev_computer.radial.cutoff, species, positions, *periodic)
        first, second = found.indices
        flat = positions.flatten(0, 1)
        return species, positions, found.indices, found.diff_vectors - (flat[first] - flat[second])

    def _evaluate(self, inputs, train):
        species, positions, indices, shifts = inputs
        positions = positions.detach().requires_grad_()
        flat = positions.flatten(0, 1)
        vectors = flat[indices[0]] - flat[indices[1]] + shifts
        neighbors = Neighbors(indices, vectors.norm(dim=1), vectors)
        energies = HARTREE * self.model.compute_from_neighbors(species, positions, neighbors).energies
        (slopes,) = torch.autograd.grad(energies.sum(), positions, create_graph=train)
        return energies, -slopes.flatten(0, 1)

    def predict(self, inputs):
        energies, forces = self._evaluate(inputs, False)
        return energies.detach(), forces

    def predict_to_train(self, inputs):
        return self._evaluate(inputs, True)


PROGRAM = TorchANI
