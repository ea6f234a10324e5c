"""Train adiabat's sGDML on the data, split and hyperparameters of the peer run, and score it in the same way.

    python ours_sgdml.py --data DATA --split SPLIT --settings peers/sgdml_settings.json --output RESULT

Takes the same arguments as `peers/train_sgdml.py` and writes the same keys, so that two result files compare line
by line. A closed-form fit has no random numbers: the two programs should find the same model.
"""

import sys

import torch
from ours import begin, dataset, fit_and_write

from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.fit.kernel import KernelConfig, KernelFitter


def main():
    """Train, score and write the result."""
    arguments, settings, _, (train, valid, test) = begin(__doc__.splitlines()[0])
    torch.set_num_threads(int(settings.get("threads", 1)))
    elements = sorted({int(z) for atoms in train for z in atoms.numbers})
    config = SGDMLConfig(symmetries=settings["use_sym"], energy_constraints=settings["use_E_cstr"])
    model = SGDML(config, elements)
    options = KernelConfig(length_scales=tuple(settings["sigmas"]), regularizations=(settings["lam"],))
    fitter = KernelFitter(model, dataset(train), dataset(valid), options)

    def facts(result):
        return {
            "sigma": result.best["length_scale"],
            "n_perms": len(model.permutations),
            "train_frames": len(train),
        }

    fit_and_write(arguments, settings, fitter, model, valid, test, facts)


if __name__ == "__main__":
    sys.exit(main())
