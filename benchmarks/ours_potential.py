"""adiabat as a worker of the speed comparison: the one place that decides how our potentials are called."""

from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import save_file
from speed.program import Program
from speed.structures import ELEMENTS

import adiabat
from adiabat.elements import number
from adiabat.errors import CapabilityError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction
from adiabat.pretrained.importers import importer
from adiabat.pretrained.kit import Kit

WANT = ("energy", "forces")


def evaluator(potential: Potential, mode: str) -> tuple[Callable[[Graph], Prediction], str]:
    """Energy and forces of a graph as a user would ask for them, and the mode that is really used."""
    compiled = getattr(potential, "compiled", None)
    if mode == "compiled" and compiled is not None:
        return compiled(want=WANT), "compiled"
    return lambda graph: evaluate(potential, graph, WANT), "eager"


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
        self.potential = read_model(folder)
        self.parameters = list(self.potential.parameters())
        self.evaluate, used = evaluator(self.potential, mode)
        return {"program": f"adiabat {adiabat.__version__}", "mode": {"inference": used, "training": "eager"}}

    def inputs(self, frames):
        cutoff = self.potential.cutoff
        graphs = [Graph.build(System.from_ase(atoms), cutoff).to(dtype=torch.float32) for atoms in frames]
        return Graph.batch(graphs)

    def predict(self, inputs):
        prediction = self.evaluate(inputs)
        return prediction.energy, prediction.forces

    def predict_to_train(self, inputs):
        prediction = evaluate(self.potential, inputs, WANT, create_graph=True)
        return prediction.energy, prediction.forces


PROGRAM = Adiabat
