"""adiabat as a worker that makes the model itself: local models, which it writes for the peer or fits."""

import numpy as np
import torch
from ours_potential import Adiabat
from speed.methods import METHODS
from speed.structures import ELEMENTS, alloys, structure

import adiabat
from adiabat.architectures import build
from adiabat.architectures import method as page
from adiabat.architectures.classical.emt import EMT, EMTConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.elements import number
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.nep import read_nep, write_nep
from adiabat.pretrained.importers.snap import read_snap, write_snap

FRAMES, VALID = 1500, 10  # of a fit


def made(own, name, elements):
    """A model with random weights, its scales set by the structures."""
    torch.manual_seed(0)
    potential = build(page(name).config_class.parse(own), [number(symbol) for symbol in elements]).double()
    frames = [System.from_ase(structure(atoms, 1)) for atoms in (21, 192, 512)]
    potential.adapt([Graph.build(system, potential.cutoff) for system in frames])
    if hasattr(potential, "head"):  # whose weights a fit would set
        torch.nn.init.normal_(potential.head.weights, std=0.01)
    return potential


def exchanged(potential, name, folder):
    """The model as read from the file that the peer reads; the same where there is no peer with files."""
    if name == "nep":
        write_nep(potential, folder / "nep.txt")
        return read_nep(folder / "nep.txt")
    if name == "snap":
        return read_snap(write_snap(potential, folder / "snap.snapcoeff")[0])
    return potential


def labeled(count, first=0):
    """Alloys with energies and forces of effective medium theory."""
    label = EMT(EMTConfig(), [number("Cu"), number("Au")]).double().frozen()
    frames = []
    for atoms in alloys(count, first):
        system = System.from_ase(atoms)
        found = evaluate(label, Graph.build(system, label.cutoff))
        frames.append(Frame(system, {"energy": found.energy[0], "forces": found.forces}))
    return MemoryDataset(frames)


class Local(Adiabat):
    """A model of ours, in the peer's precision."""

    def load(self, method, folder, mode):
        self.method, own = METHODS[method], METHODS[method].own
        if "fit" not in self.method.works:
            potential = exchanged(made(own, self.method.page, ELEMENTS), self.method.page, folder)
            self.take(potential.to(getattr(torch, self.method.dtype)), mode)
        return {"program": f"adiabat {adiabat.__version__}"}

    def mode(self, work):
        return "kernels" if work == "fit" else super().mode(work)

    def inputs(self, frames):
        return frames if self.method.lists else super().inputs(frames)

    def predict(self, inputs):
        return super().predict(super().inputs(inputs) if self.method.lists else inputs)

    def fit(self):
        """A linear fit to energies and forces in double precision."""
        torch.set_default_dtype(torch.float64)
        train, valid = labeled(FRAMES), labeled(VALID, first=FRAMES)
        config = page(self.method.page).config_class.parse(self.method.own)

        def fitted():
            model = build(config, [number("Cu"), number("Au")]).double()
            result = LinearFitter(model, train, valid, LinearConfig()).fit()
            size = np.sqrt(np.mean([float(frame.labels["forces"].square().mean()) for frame in valid]))
            error = result.best["valid_forces_rmse"]
            return {"frames": FRAMES, "weights": model.head.weights.numel(), "force_error": error / float(size)}

        return fitted


PROGRAM = Local
