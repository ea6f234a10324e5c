"""What a worker asks of a program, and how a peer hands its weights over."""

import json

import numpy as np
import torch

from speed.structures import CUTOFF


class Program:
    """What a worker asks of a program. `parameters` are set by `load`."""

    parameters = ()

    def load(self, method, folder, mode):
        """Makes the model and answers with facts to report; the peer writes its random weights to `folder`.

        `mode` says "compiled" or "eager" for "inference" and for "training"; peers run as they come.
        """
        raise NotImplementedError

    def inputs(self, frames):
        """Frames with their neighbor lists as one batch in the program's own form."""
        raise NotImplementedError

    def predict(self, inputs):
        """Energies `[systems]` and forces `[atoms, 3]`."""
        raise NotImplementedError

    def predict_to_train(self, inputs):
        """As `predict`, differentiable in the parameters."""
        raise NotImplementedError

    def describer(self, atoms, slopes):
        """A function that gives the descriptors `[atoms, features]` of a structure, and with `slopes` makes their
        gradients too."""
        raise NotImplementedError

    def fit(self):
        """A function that fits the model to `structures.alloys` and answers with facts."""
        raise NotImplementedError

    def mode(self, work):
        """How a kind of work is done, known after the first call."""
        return "eager"

    def trainer(self, inputs, energies, forces):
        """A function that makes one Adam step on energies per atom and forces, and returns the loss before it."""
        optimizer = torch.optim.Adam(self.parameters, lr=1e-4)
        energies, forces = torch.tensor(energies), torch.tensor(forces, dtype=torch.float32)
        atoms = len(forces) / len(energies)

        def step():
            optimizer.zero_grad(set_to_none=True)
            energy, force = self.predict_to_train(inputs)
            loss = ((energy - energies) / atoms).square().mean() + 10 * (force - forces).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step


def write_kit(folder, method, elements, weights, buffers, **further):
    """Writes what another program needs to rebuild a model, as plain arrays, unless it is there.

    `further` facts replace the usual ones.
    """
    if (folder / "meta.json").exists():
        return
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "buffers.npz", **buffers)
    facts = {"method": method.page, "program": method.peer, "cutoff": CUTOFF, "dtype": "float32", "units": "eV, eV/A"}
    meta = {**facts, "elements": list(elements), "hyperparameters": method.options, **further}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
