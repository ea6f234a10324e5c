"""A published model tuned on 100 frames beside itself untouched and a model of the same size from scratch.

    python benchmarks/finetuning.py DATA --test TEST [--base sevennet-0] [--out results]

DATA is an extended XYZ file: 100 frames for training and 20 for validation are drawn from it at random, and 50 for
testing unless TEST is given. Both models take the same number of steps of the same size on the same frames, which is
the same time. Writes comparison.json with errors of the test frames, the validation errors after each epoch, CPU
seconds, and the forgetting report.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import adiabat
from adiabat.compile import quickest
from adiabat.data import Dataset, read, write
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential, Referenced


def parts(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Writes the parts of the data; their files."""
    frames = read(options.data)
    order = np.random.default_rng(0).permutation(len(frames)).tolist()
    chosen = {"train": order[:100], "valid": order[100:120], "test": order[120:170]}
    files = {name: str(folder / f"{name}.xyz") for name in chosen}
    for name, places in chosen.items():
        write(files[name], [frames[k] for k in places])
    if options.test:
        test = read(options.test)
        write(files["test"], [test[k] for k in range(len(test))])
    return files


def fit(options: argparse.Namespace, labels: set[str], rate: float) -> dict[str, Any]:
    """Options of the fit, but for the rate the same for both models."""
    weights = {"energy": 1, "forces": 20} | ({"stress": 1} if "stress" in labels else {})
    return {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--test", default="")
    parser.add_argument("--base", default="sevennet-0")
    parser.add_argument("--out", default="comparison")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.01, help="of the tuned model")
    parser.add_argument("--scratch-rate", type=float, default=0.02)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    files = parts(options, folder)
    test, labels = read(files["test"]), set(read(files["train"])[0].labels)
    base = adiabat.load(options.base).potential.to(dtype=torch.float32)
    found: dict[str, Any] = {"epochs": options.epochs, "base": errors(base, test)}
    print("base", found["base"], flush=True)

    began = time.process_time()
    run = {"data": files, "fit": fit(options, labels, options.rate), "dtype": "float32"}
    tuned = adiabat.finetune(options.base, run | {"output": str(folder / "tuned")}, overwrite=True)
    found["tuned"] = errors(tuned.potential, test) | {
        "cpu_seconds": time.process_time() - began,
        "valid": curve(folder / "tuned"),
        "forgetting": tuned.forgetting.verdict,
    }
    print("tuned", found["tuned"], flush=True)

    began = time.process_time()
    inner = base.model if isinstance(base, Referenced) else base
    # what the base took from its own data, the new model takes from the new ones
    model = inner.config.model_dump(mode="json") | {"average_neighbors": None}  # type: ignore[union-attr]
    run = {"data": files, "model": model, "fit": fit(options, labels, options.scratch_rate), "dtype": "float32"}
    fresh = adiabat.train(run | {"output": str(folder / "scratch")}, overwrite=True)
    found["scratch"] = errors(fresh.potential, test) | {
        "cpu_seconds": time.process_time() - began,
        "valid": curve(folder / "scratch"),
    }
    print("scratch", found["scratch"], flush=True)
    (folder / "comparison.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
