"""Train adiabat's SchNet on the data, split and hyperparameters of the peer run, and score it in the same way.

    python ours_schnet.py --data DATA --split SPLIT --settings peers/schnet_settings.json --output RESULT

Takes the same arguments as `peers/train_schnet.py` and writes the same keys, so that two result files compare line
by line. As in the peer's program the mean energy per atom is removed from the labels and everything is in single
precision; only the random numbers of the initial weights and of the batch order differ.
"""

import sys

import numpy as np
import torch
from ours import begin, dataset, fit_and_write, of_epochs

from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.potential import Referenced


def architecture(settings):
    """The peer's hyperparameters as a configuration."""
    return SchNetConfig(
        cutoff=settings["cutoff"],
        channels=settings["n_atom_basis"],
        layers=settings["n_interactions"],
        basis=settings["n_rbf"],
    )


def fitting(settings):
    """The peer's optimizer, schedule and loss as options of the gradient fitter."""
    return GradientConfig.parse(
        {
            "epochs": settings["epochs"],
            "batch_size": settings["batch_size"],
            "loss": {
                "energy": {"weight": settings["energy_weight"], "per_atom": False},
                "forces": {"weight": settings["forces_weight"]},
            },
            "optimizer": {"kind": "adamw", "rate": settings["lr"], "weight_decay": settings["weight_decay"]},
            "schedule": {"kind": "exponential", "gamma": settings["lr_gamma"]},
            "ema_decay": settings["ema_decay"],
            "clip": None,
        }
    )


def main():
    """Train, score and write the result."""
    arguments, settings, _, (train, valid, test) = begin(__doc__.splitlines()[0])
    torch.set_num_threads(int(settings.get("threads", 1)))
    torch.manual_seed(settings["seed"])
    mean = float(np.mean([atoms.info["REF_energy"] / len(atoms) for atoms in train]))
    elements = sorted({int(z) for atoms in train for z in atoms.numbers})
    model = Referenced(SchNet(architecture(settings), elements).float(), dict.fromkeys(elements, mean))
    fitter = GradientFitter(model, dataset(train), dataset(valid), fitting(settings), seed=settings["seed"])
    facts = {"mean_energy_per_atom": mean, "train_frames": len(train)}
    fit_and_write(arguments, settings, fitter, model, valid, test, lambda result: of_epochs(model, result) | facts)


if __name__ == "__main__":
    sys.exit(main())
