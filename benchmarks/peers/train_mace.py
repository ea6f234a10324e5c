"""Train mace-torch's ScaleShiftMACE with mace-torch's own training program.

The program of the peer does the training; this file only writes its input,
takes the time of its training loop and scores the model which it keeps, the
one of the lowest validation loss with exponentially averaged parameters.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import ase.io
import torch
from common import begin, reference_energies, score, write_result
from mace import data, tools
from mace.cli import run_train
from mace.tools import torch_geometric


def write_inputs(folder, parts):
    """Write the train and valid frames for the peer's program, labels and all."""
    for name, frames in zip(("train", "valid"), parts, strict=True):
        plain = []
        for atoms in frames:
            bare = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
            bare.info["REF_energy"] = atoms.info["REF_energy"]
            bare.arrays["REF_forces"] = atoms.arrays["REF_forces"]
            plain.append(bare)
        ase.io.write(folder / f"{name}.xyz", plain, format="extxyz")


def build_arguments(folder, settings, energies):
    """Return the command line of the peer's program as its parsed arguments."""
    options = {
        "name": "peer",
        "work_dir": str(folder),
        "train_file": str(folder / "train.xyz"),
        "valid_file": str(folder / "valid.xyz"),
        "E0s": str(energies),
        "model": "ScaleShiftMACE",
        "device": "cpu",
        "plot": "False",
        "error_table": "PerAtomRMSE",
        **settings["mace"],
    }
    line = []
    for key, value in options.items():
        if value is True:
            line.append(f"--{key}")
        elif value not in (False, None):
            line.append(f"--{key}={value}")
    return tools.build_default_arg_parser().parse_args(line)


def instrument(record, initial_path):
    """Wrap the peer's training loop: it reports no time of its own."""
    loop = tools.train

    def timed(*args, **kwargs):
        model = kwargs["model"]
        record["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
        record["scale"] = model.scale_shift.scale.tolist()
        record["shift"] = model.scale_shift.shift.tolist()
        record["avg_num_neighbors"] = float(model.interactions[0].avg_num_neighbors)
        if initial_path:
            torch.save(model.state_dict(), initial_path)
        start = time.perf_counter()
        cpu = time.process_time()
        result = loop(*args, **kwargs)
        record["training_seconds"] = time.perf_counter() - start
        record["training_cpu_seconds"] = time.process_time() - cpu
        return result

    tools.train = timed


def validation_history(folder):
    """Return the validation lines which the peer's program logged, one per epoch."""
    (path,) = (folder / "results").glob("*_train.txt")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    keys = ("epoch", "rmse_e_per_atom", "rmse_f", "mae_e_per_atom", "mae_f", "loss")
    return [
        {key: line[key] for key in keys} for line in lines if line["mode"] == "eval" and line["epoch"] is not None
    ]


def predict(model, frames, batch_size=50):
    """Return energies and forces of the frames from a trained peer model."""
    table = tools.AtomicNumberTable([int(z) for z in model.atomic_numbers])
    cutoff = float(model.r_max)
    graphs = [
        data.AtomicData.from_config(data.config_from_atoms(atoms), z_table=table, cutoff=cutoff, heads=model.heads)
        for atoms in frames
    ]
    loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=batch_size, shuffle=False, drop_last=False)
    energies, forces = [], []
    for batch in loader:
        output = model(batch.to_dict(), training=False)
        energies += output["energy"].detach().tolist()
        sizes = (batch.ptr[1:] - batch.ptr[:-1]).tolist()
        forces += [f.numpy() for f in output["forces"].detach().split(sizes)]
    return energies, forces


def main():
    """Train, score and write the result."""
    arguments, settings, frames, (train, valid, test) = begin(__doc__.splitlines()[0])
    energies = reference_energies(frames, train, settings)
    torch.set_num_threads(int(settings.get("threads", 1)))
    record = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, (train, valid))
        instrument(record, arguments.initial)
        run_train.run(build_arguments(folder, settings, energies))
        history = validation_history(folder)
        # a pickle, but the one that the peer wrote a moment ago
        model = torch.load(folder / "peer.model", map_location="cpu", weights_only=False)
    if arguments.model:
        torch.save(model, arguments.model)
    best = min(history, key=lambda line: line["loss"])
    write_result(
        arguments.output,
        arguments,
        settings,
        {
            "program": f"mace-torch {version('mace-torch')}",
            "torch": torch.__version__,
            "test": score(test, *predict(model, test)),
            "valid": score(valid, *predict(model, valid)),
            "epochs": len(history),
            "best_epoch": best["epoch"],
            "final_validation": history[-1],
            "atomic_energies": energies,
            "train_frames": len(train),
            **record,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
