"""Run by a test under torchrun: fits a few steps and writes the weights."""

import sys

import morse
import torch
from safetensors.torch import save_file

from adiabat.fit.distributed import world
from adiabat.fit.gradient import GradientConfig, GradientFitter


def fit(optimizer: str) -> dict[str, torch.Tensor]:
    config = GradientConfig.parse(
        {
            "epochs": 3,
            "batch_size": 6,
            "optimizer": {"kind": optimizer, **({"evaluations": 3} if optimizer == "lbfgs" else {})},
            "clip": None if optimizer == "lbfgs" else 10.0,
            "loss": {"energy": 1.0, "forces": 100.0, "stress": 10.0},
        }
    )
    # a seed of its own in every process: the leader's weights must win
    potential = morse.model(seed=1 + world().rank)
    train, valid = morse.dataset(19, periodic=6), morse.dataset(5, seed=1, periodic=2)
    GradientFitter(potential, train, valid, config, seed=3).fit()
    return {f"{optimizer}.{name}": value.contiguous() for name, value in potential.state_dict().items()}


def main(path: str) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    weights = fit("amsgrad") | fit("lbfgs")
    if world().leader:
        save_file(weights, path)


if __name__ == "__main__":
    main(sys.argv[1])
