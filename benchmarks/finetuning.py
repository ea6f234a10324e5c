"""A published model tuned on 100 frames beside itself untouched and a model of the same size from scratch.

    python benchmarks/finetuning.py DATA --test TEST [--base sevennet-0] [--cover] [--replay] [--out results]

DATA is an extended XYZ file. 50 frames of it, drawn at random, are for testing unless TEST is given; 100 others,
drawn at random, are 90 for training and 10 for validation. --cover chooses these without their labels: one after
the other the frame whose atoms are farthest, all together, from the atoms of the frames before, measured by the
last features of the base model. Both models take the same number of steps of the same size on the same frames,
which is the same time; --replay adds frames labeled by the base model, and pairs of atoms, for the tuned model.
Writes errors of the test frames, the validation errors after each epoch, CPU seconds, and the forgetting report,
each model's into a file of its own: --models tuned (scratch, base) makes only these.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist

import adiabat
from adiabat.compile import quickest
from adiabat.data import Dataset, Subset, read, write
from adiabat.geometry import Graph
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential, Referenced


def parts(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Writes the parts of the data; their files. What is there from before stays."""
    files = {name: str(folder / f"{name}.xyz") for name in ("train", "valid", "test")}
    if all(Path(file).exists() for file in files.values()):
        return files
    frames = read(options.data)
    order = np.random.default_rng(0).permutation(len(frames)).tolist()
    tested, rest = ([], order) if options.test else (order[120:170], order[:120] + order[170:])
    chosen = [rest[k] for k in covering(options.base, Subset(frames, rest), 100)] if options.cover else rest[:100]
    chosen = [chosen[k] for k in np.random.default_rng(1).permutation(len(chosen))]
    write(files["train"], [frames[k] for k in chosen[:90]])
    write(files["valid"], [frames[k] for k in chosen[90:]])
    write(files["test"], list(read(options.test)) if options.test else [frames[k] for k in tested])
    return files


def covering(base: str, frames: Dataset, count: int) -> list[int]:
    """Frames that cover the atoms of all, by the features that the base model's readout is given."""
    potential = adiabat.load(base).potential.to(dtype=torch.float32).eval()
    seen: list[np.ndarray] = []
    readout = next(module for name, module in potential.named_modules() if name.split(".")[-1] == "readout")
    readout.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().double().numpy()))
    with torch.no_grad():
        for frame in frames:
            potential(Graph.build(frame.system, potential.cutoff).to(dtype=torch.float32))
    features = np.concatenate(seen)
    numbers = np.concatenate([frame.system.numbers.numpy() for frame in frames])
    owner = np.repeat(np.arange(len(seen)), [len(rows) for rows in seen])
    nearest = np.full(len(features), 1e6)
    chosen: list[int] = []
    for _ in range(count):
        gain = np.bincount(owner, nearest)
        gain[chosen] = -1.0
        chosen.append(int(gain.argmax()))
        mine = owner == chosen[-1]
        for z in np.unique(numbers[mine]):  # an atom is covered by atoms of its element
            same = numbers == z
            nearest[same] = np.minimum(nearest[same], cdist(features[same], features[mine & same]).min(axis=1))
    return chosen


def fit(options: argparse.Namespace, labels: set[str], rate: float) -> dict[str, Any]:
    """Options of the fit, but for the rate the same for both models."""
    weights = {"energy": 1, "forces": 20} | ({"stress": 1} if "stress" in labels else {})
    return {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "valid_batch_size": 5,
        "compile": False,
        "loss": {name: {"weight": weight, "kind": "mae"} for name, weight in weights.items()},
        "optimizer": {"kind": "muon", "rate": rate, "betas": (0.9, 0.99)},
        "schedule": {"kind": "cosine"},
    }


def errors(potential: Potential, frames: Dataset) -> dict[str, float]:
    """Mean absolute and root mean square error of forces, meV/Å."""
    found = evaluate_dataset(quickest(potential), frames, labels=("forces",)).summary()
    return {name: 1000 * found[f"forces_{name}"] for name in ("mae", "rmse")}


def curve(folder: Path) -> list[float]:
    """Validation error of forces after each epoch, meV/Å."""
    rows = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    return [1000 * row["valid_forces_mae"] for row in rows]


REPLAY = {
    "replay": {"data": "generated", "fraction": 0.45, "held_out": 0.5},
    "generate": {"rattles": 1, "strains": 1, "temperatures": [1000], "frames": 1, "dimers": 40},
}


def tune(options: argparse.Namespace, folder: Path, run: dict[str, Any], labels: set[str]) -> dict[str, Any]:
    """The base model tuned, and what it forgot."""
    name = "tuned-replay" if options.replay else "tuned"
    run = run | {"fit": fit(options, labels, options.rate), "output": str(folder / name)}
    tuned = adiabat.finetune(options.base, run | ({"finetune": REPLAY} if options.replay else {}), overwrite=True)
    findings = {finding.code: finding.verdict for finding in tuned.forgetting.findings}
    found = {"forgetting": tuned.forgetting.verdict, "findings": findings}
    return found | errors(tuned.potential, read(run["data"]["test"])) | {"valid": curve(folder / name)}


def train(options: argparse.Namespace, folder: Path, run: dict[str, Any], labels: set[str]) -> dict[str, Any]:
    """A model of the base's architecture from scratch."""
    base = adiabat.load(options.base).potential
    inner = base.model if isinstance(base, Referenced) else base
    model = inner.config.model_dump(mode="json")  # type: ignore[union-attr]
    if "average_neighbors" in model:  # what the base took from its own data, the new model takes from the new ones
        model["average_neighbors"] = None
    run = run | {"model": model, "fit": fit(options, labels, options.scratch_rate)}
    fresh = adiabat.train(run | {"output": str(folder / "scratch")}, overwrite=True)
    return errors(fresh.potential, read(run["data"]["test"])) | {"valid": curve(folder / "scratch")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--test", default="")
    parser.add_argument("--base", default="sevennet-0")
    parser.add_argument("--out", default="comparison")
    parser.add_argument("--models", nargs="+", default=["base", "tuned", "scratch"])
    parser.add_argument("--cover", action="store_true", help="choose the 100 frames by the base model's features")
    parser.add_argument("--replay", action="store_true", help="replay generated structures and pairs of atoms")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.01, help="of the tuned model")
    parser.add_argument("--scratch-rate", type=float, default=0.02)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    files = parts(options, folder)
    labels = set(read(files["train"])[0].labels)
    run = {"data": files, "dtype": "float32"}
    for name in options.models:
        began = time.process_time()
        if name == "base":
            base = adiabat.load(options.base).potential.to(dtype=torch.float32)
            found: dict[str, Any] = dict(errors(base, read(files["test"])))
        else:
            found = (tune if name == "tuned" else train)(options, folder, run, labels)
        found |= {"cpu_seconds": time.process_time() - began, "epochs": options.epochs}
        print(name, json.dumps(found), flush=True)
        kind = f"{name}-replay" if name == "tuned" and options.replay else name
        (folder / f"{kind}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
