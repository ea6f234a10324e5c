"""Train adiabat's MACE on the data, split and hyperparameters of the peer run, and score it in the same way.

    python ours_mace.py --data DATA --split SPLIT --settings peers/mace_settings.json --output RESULT

Takes the same arguments as `peers/train_mace.py` and writes the same keys, so that two result files compare line by
line. The peer's full coupling basis is used, its reference energies, scale and shift are computed from the same
frames; only the random numbers of the initial weights and of the batch order differ.
"""

import sys
from ast import literal_eval

import numpy as np
import torch
from ours import begin, dataset, fit_and_write, of_epochs, reference_energies

from adiabat.architectures.equivariant.mace import MACE, MACEConfig
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.geometry import Graph
from adiabat.potential import Referenced

# what mace-torch's optimizer decays: the linear maps after aggregation, and all of the products
DECAY = ("*interactions.*.down.*", "*products.*")


def architecture(options):
    """The peer's hyperparameters as a configuration."""
    blocks = {"RealAgnosticResidualInteractionBlock"}
    if {options["interaction_first"], options["interaction"]} != blocks or options["num_radial_basis"] is None:
        raise ValueError(f"this comparison is for {blocks} in all layers")
    hidden = "+".join(f"{options['num_channels']}x{l}{'eo'[l % 2]}" for l in range(options["max_L"] + 1))
    return MACEConfig(
        cutoff=options["r_max"],
        layers=options["num_interactions"],
        hidden_irreps=hidden,
        l_max=options["max_ell"],
        correlation=options["correlation"],
        radial_functions=options["num_radial_basis"],
        cutoff_power=options["num_cutoff_basis"],
        radial_network=tuple(literal_eval(options["radial_MLP"])),
        readout_channels=int(options["MLP_irreps"].split("x")[0]),
        couplings="full",
    )


def fitting(options):
    """The peer's optimizer and schedule as options of the gradient fitter."""
    return GradientConfig.parse(
        {
            "epochs": options["max_num_epochs"],
            "batch_size": options["batch_size"],
            "valid_batch_size": options["valid_batch_size"],
            "loss": {"energy": options["energy_weight"], "forces": options["forces_weight"]},
            "optimizer": {
                "kind": "amsgrad" if options["amsgrad"] else "adam",
                "rate": options["lr"],
                "weight_decay": options["weight_decay"],
                "decay": DECAY,
            },
            "schedule": {"kind": "exponential", "gamma": options["lr_scheduler_gamma"]},
            "ema_decay": options["ema_decay"],
            "clip": options["clip_grad"],
        }
    )


def scale_and_shift(frames, energies):
    """Root mean square of the force components, and mean energy less E0s per atom."""
    forces = np.concatenate([atoms.arrays["REF_forces"].ravel() for atoms in frames])
    rest = [(a.info["REF_energy"] - sum(energies[int(z)] for z in a.numbers)) / len(a) for a in frames]
    return float(np.sqrt(np.mean(forces**2))), float(np.mean(rest))


def main():
    """Train, score and write the result."""
    arguments, settings, frames, (train, valid, test) = begin(__doc__.splitlines()[0])
    options = settings["mace"]
    torch.set_num_threads(int(settings.get("threads", 1)))
    torch.set_default_dtype(getattr(torch, options["default_dtype"]))
    torch.manual_seed(options["seed"])
    energies = reference_energies(frames, train, settings)
    scale, shift = scale_and_shift(train, energies)
    # the shift belongs to every atom alike, so that it can stand in the reference energies
    inner = MACE(architecture(options), energies)
    model = Referenced(inner, {z: energy + shift for z, energy in energies.items()}, scale)
    parts = dataset(train), dataset(valid)
    model.adapt([Graph.build(frame.system, model.cutoff) for frame in parts[0]])
    fitter = GradientFitter(model, *parts, fitting(options), seed=options["seed"])
    facts = {
        "atomic_energies": energies,
        "train_frames": len(train),
        "scale": [scale],
        "shift": shift,
        "avg_num_neighbors": float(inner.average),
    }
    fit_and_write(arguments, settings, fitter, model, valid, test, lambda result: of_epochs(model, result) | facts)


if __name__ == "__main__":
    sys.exit(main())
