"""adiabat as a worker of the speed comparison: the one place that decides how our potentials are called."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from safetensors.torch import save_file
from speed.program import Program
from speed.structures import ELEMENTS

import adiabat
from adiabat.compile import CompiledPotential
from adiabat.data import Batch
from adiabat.elements import number
from adiabat.errors import CapabilityError
from adiabat.evaluate import evaluate
from adiabat.fit.losses import Term
from adiabat.fit.optimizers import OptimizerConfig
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction
from adiabat.pretrained.importers import importer
from adiabat.pretrained.kit import Kit

WANT = ("energy", "forces")


# as the loss of `Program.trainer`
TERMS = {"energy": Term(weight=1.0), "forces": Term(weight=10.0)}


def evaluator(potential: Potential, mode: str) -> Callable[[Graph], Prediction]:
    """Energy and forces of a graph as a user would ask for them."""
    return potential.compiled(want=WANT) if mode == "compiled" else lambda graph: evaluate(potential, graph, WANT)


def compiled_step(potential: Potential, mode: str):
    """A function that sets the gradients of the loss by compiled code, or None for the ordinary backward pass."""
    if mode != "compiled" or find_spec("adiabat.fit.compiled") is None:
        return None
    return import_module("adiabat.fit.compiled").CompiledStep(potential)


def read_model(folder) -> Potential:
    """The peer's model with its weights, in single precision."""
    kit = Kit(folder)
    read = importer(kit)
    if read is None:
        raise CapabilityError(f"adiabat has no importer for {kit.name} yet.")
    if not (folder / "weights.safetensors").exists():  # a peer's environment may lack safetensors
        with np.load(folder / "weights.npz") as arrays:
            save_file(
                {name: torch.from_numpy(arrays[name].copy()) for name in arrays}, kit.path / "weights.safetensors"
            )
    (potential,) = read(kit).potentials.values()
    missing = {number(symbol) for symbol in ELEMENTS} - set(potential.elements)
    if missing:
        raise CapabilityError(f"the imported model lacks the elements {sorted(missing)}.")
    return potential.float()


class Adiabat(Program):
    """The imported model."""

    def load(self, method, folder, mode):
        self.take(read_model(folder), mode)
        return {"program": f"adiabat {adiabat.__version__}"}

    def take(self, potential, mode):
        """Makes this potential the one to be called."""
        self.potential = potential
        self.parameters = list(self.potential.parameters())
        self.evaluate = evaluator(self.potential, mode["inference"])
        self.step = compiled_step(self.potential, mode["training"])

    def mode(self, work):
        if work == "training":
            return "eager" if self.step is None or self.step.reason else "inductor"
        if not isinstance(self.evaluate, CompiledPotential) or self.evaluate.reason:
            return "eager"
        return "kernels" if self.evaluate.executable is None else "inductor"

    def inputs(self, frames):
        cutoff, dtype = self.potential.cutoff, self.potential.dtype
        return Graph.batch([Graph.build(System.from_ase(atoms), cutoff).to(dtype=dtype) for atoms in frames])

    def predict(self, inputs):
        prediction = self.evaluate(inputs)
        return prediction.energy, prediction.forces

    def predict_to_train(self, inputs):
        prediction = evaluate(self.potential, inputs, WANT, create_graph=True)
        return prediction.energy, prediction.forces

    def trainer(self, inputs, energies, forces):
        uncompiled = super().trainer(inputs, energies, forces)
        if self.step is None:
            return uncompiled
        labels = {"energy": torch.tensor(energies), "forces": torch.tensor(forces, dtype=torch.float32)}
        present = {name: torch.ones(len(energies), dtype=torch.bool) for name in TERMS}
        batch, optimizer = (
            Batch(inputs, labels, present),
            OptimizerConfig(rate=1e-4).build(self.potential.named_parameters()),
        )
        scales = torch.tensor([TERMS[name].weight / labels[name].numel() for name in TERMS], dtype=torch.float64)

        def step():
            found = self.step(batch, TERMS, scales, None)  # sets the gradients
            if found is None:
                return uncompiled()
            optimizer.step()
            return torch.stack([found[1][name] for name in TERMS]) @ scales

        return step


PROGRAM = Adiabat
