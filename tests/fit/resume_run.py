"""Run by a test in a process of its own: fits, and kills itself without warning after some epochs if told so."""

import os
import signal
import sys
from pathlib import Path

import morse
import torch
from safetensors.torch import save_file

from adiabat.fit.gradient import GradientConfig, GradientFitter


def fit(folder: Path, kill_after: int, resume: bool, optimizer: str, die) -> dict[str, torch.Tensor]:
    """Fits and returns the weights; calls `die` once the state after `kill_after` epochs is saved."""
    config = GradientConfig.parse(
        {
            "epochs": 6,
            "batch_size": 8,
            "optimizer": {"kind": optimizer, **({"evaluations": 3} if optimizer == "lbfgs" else {})},
            "clip": None if optimizer == "lbfgs" else 10.0,
            "schedule": {"kind": "plateau", "patience": 1},
            "stage_two": {"start": 4},
        }
    )
    potential = morse.model(seed=1)
    train, valid = morse.dataset(18, periodic=4), morse.dataset(5, seed=1)
    fitter = GradientFitter(potential, train, valid, config, seed=3, folder=folder)
    save = fitter._save

    def save_then_die():
        save()
        if len(fitter.history) == kill_after:
            die()

    if kill_after:
        fitter._save = save_then_die
    assert fitter.fit(resume=resume).epochs == 6
    return {name: value.clone() for name, value in potential.state_dict().items()}


def main(folder: str, kill_after: int, how: str) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    weights = fit(Path(folder), kill_after, how == "resume", "amsgrad", lambda: os.kill(os.getpid(), signal.SIGKILL))
    save_file(weights, Path(folder) / "weights.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
