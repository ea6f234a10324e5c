"""What adiabat's own training programs share beside `peers/common.py`."""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from adiabat.data import Frame, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from common import begin, reference_energies, score, write_result

__all__ = ["begin", "dataset", "fit_and_write", "of_epochs", "predict", "reference_energies"]


def dataset(frames):
    """Frames with labels."""
    return MemoryDataset(
        [
            Frame(
                System.from_ase(atoms),
                {
                    "energy": torch.tensor(atoms.info["REF_energy"], dtype=torch.float64),
                    "forces": torch.as_tensor(atoms.arrays["REF_forces"]),
                },
            )
            for atoms in frames
        ]
    )


def predict(model, frames):
    """Energies and forces of the frames."""
    found = [
        evaluate(model, Graph.build(System.from_ase(atoms), model.cutoff).to(dtype=model.dtype)) for atoms in frames
    ]
    return [float(p.energy) for p in found], [p.forces.double().numpy() for p in found]


def fit_and_write(arguments, settings, fitter, model, valid, test, facts):
    """Fits, scores, and writes the result with what `facts(result)` adds to it."""
    start, cpu = time.perf_counter(), time.process_time()
    result = fitter.fit()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    record = {
        "program": f"adiabat {version('adiabat')}",
        "torch": torch.__version__,
        "test": score(test, *predict(model, test)),
        "valid": score(valid, *predict(model, valid)),
        **facts(result),
        "training_seconds": seconds,
        "training_cpu_seconds": cpu,
    }
    write_result(arguments.output, arguments, settings, record)


def of_epochs(model, result):
    """Facts of a fit by gradients."""
    last = result.history[-1]
    return {
        "epochs": result.epochs,
        "best_epoch": result.best["epoch"],
        "final_validation": {k: v for k, v in last.items() if k.startswith("valid") or k == "epoch"},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
