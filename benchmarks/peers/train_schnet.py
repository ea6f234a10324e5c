"""Train schnetpack's SchNet with its own modules, losses and batches.

A plain loop replaces the Lightning trainer: every step of it is then written
down here and can be repeated by another code. It follows the defaults of the
peer's md17 experiment: AdamW without decay, mean energy per atom removed from
the labels, single precision, averaged parameters for validation and test.
"""

import copy
import sys
import time
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import torch
import torch.utils.data.dataloader as torch_dataloader
from common import begin, score, write_result

# schnetpack 2.0.4 imports a name which newer releases of torch have made private.
if not hasattr(torch_dataloader, "T_co"):
    torch_dataloader.T_co = TypeVar("T_co", covariant=True)

import schnetpack as spk
import schnetpack.atomistic
import schnetpack.representation
import schnetpack.task
from schnetpack import properties, transform
from torch_ema import ExponentialMovingAverage


def build_model(settings):
    """Return the peer's SchNet potential with forces."""
    radial = spk.nn.GaussianRBF(n_rbf=settings["n_rbf"], cutoff=settings["cutoff"])
    representation = spk.representation.SchNet(
        n_atom_basis=settings["n_atom_basis"],
        n_interactions=settings["n_interactions"],
        radial_basis=radial,
        cutoff_fn=spk.nn.CosineCutoff(settings["cutoff"]),
    )
    energy = spk.atomistic.Atomwise(n_in=settings["n_atom_basis"], output_key="energy")
    return spk.model.NeuralNetworkPotential(
        representation=representation,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[energy, spk.atomistic.Forces(energy_key="energy", force_key="forces")],
    )


def build_inputs(frames, mean, cutoff):
    """Return the peer's input dictionaries; the mean is removed before rounding."""
    neighbors, cast = transform.MatScipyNeighborList(cutoff=cutoff), transform.CastTo32()
    inputs = []
    for atoms in frames:
        energy = atoms.info["REF_energy"] - mean * len(atoms)
        item = {
            properties.n_atoms: torch.tensor([len(atoms)]),
            properties.Z: torch.tensor(atoms.numbers, dtype=torch.long),
            properties.R: torch.tensor(atoms.positions, dtype=torch.float64),
            properties.cell: torch.tensor(np.array(atoms.cell), dtype=torch.float64)[None],
            properties.pbc: torch.tensor(atoms.pbc),
            "energy": torch.tensor([energy], dtype=torch.float64),
            "forces": torch.tensor(atoms.arrays["REF_forces"], dtype=torch.float64),
        }
        inputs.append(cast(neighbors(item)))
    return inputs


def build_outputs(settings):
    """Return the peer's loss terms: weight times mean squared error of each."""
    return [
        spk.task.ModelOutput(name, torch.nn.MSELoss(), settings[f"{name}_weight"], metrics={})
        for name in ("energy", "forces")
    ]


def batch_loss(model, outputs, batch):
    """Return the weighted loss of one batch, as the peer's training task forms it."""
    # The model writes its predictions over the labels of its input dictionary.
    targets = {name: batch[name] for name in ("energy", "forces")}
    predicted = model(dict(batch))
    return sum(output.calculate_loss(predicted, targets) for output in outputs)


def mean_loss(model, outputs, loader):
    """Return the loss averaged over the molecules of a loader."""
    total, count = 0.0, 0
    for batch in loader:
        size = len(batch[properties.n_atoms])
        total += float(batch_loss(model, outputs, batch).detach()) * size
        count += size
    return total / count


def train_epoch(model, outputs, loader, optimizer, average):
    """Make one pass over the training frames."""
    model.train()
    for batch in loader:
        optimizer.zero_grad(set_to_none=True)
        batch_loss(model, outputs, batch).backward()
        optimizer.step()
        average.update()
    model.eval()


def run_training(model, train_inputs, valid_inputs, settings):
    """Train; return the best averaged parameters and the validation history."""
    outputs = build_outputs(settings)
    order = torch.Generator().manual_seed(settings["seed"])
    loader = spk.data.AtomsLoader(train_inputs, settings["batch_size"], shuffle=True, drop_last=True, generator=order)
    validation = spk.data.AtomsLoader(valid_inputs, len(valid_inputs))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, settings["lr_gamma"])
    average = ExponentialMovingAverage(model.parameters(), decay=settings["ema_decay"])
    history, best = [], None
    for epoch in range(settings["epochs"]):
        train_epoch(model, outputs, loader, optimizer, average)
        schedule.step()
        with average.average_parameters():
            history.append(mean_loss(model, outputs, validation))
            if history[-1] <= min(history):
                best = copy.deepcopy(model.state_dict())
        if epoch % 50 == 0:
            print(f"epoch {epoch} validation loss {history[-1]:.6g}", flush=True)
    return best, history


def predict(model, inputs, mean):
    """Return energies (offset restored in double precision) and forces."""
    energies, forces = [], []
    for batch in spk.data.AtomsLoader(inputs, 50):
        sizes = batch[properties.n_atoms]
        output = model(dict(batch))
        energies += (output["energy"].detach().double() + mean * sizes).tolist()
        forces += [f.numpy() for f in output["forces"].detach().split(sizes.tolist())]
    return energies, forces


def main():
    """Train, score and write the result."""
    arguments, settings, _, (train, valid, test) = begin(__doc__.splitlines()[0])
    torch.set_num_threads(int(settings.get("threads", 1)))
    torch.manual_seed(settings["seed"])
    mean = float(np.mean([atoms.info["REF_energy"] / len(atoms) for atoms in train]))
    inputs = [build_inputs(part, mean, settings["cutoff"]) for part in (train, valid, test)]
    model = build_model(settings)
    if arguments.initial:
        torch.save(model.state_dict(), arguments.initial)
    start, cpu = time.perf_counter(), time.process_time()
    best, history = run_training(model, inputs[0], inputs[1], settings)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    final_score = score(valid, *predict(model, inputs[1], mean))
    model.load_state_dict(best)
    if arguments.model:
        torch.save(model, arguments.model)
    write_result(
        arguments.output,
        arguments,
        settings,
        {
            "program": f"schnetpack {version('schnetpack')}",
            "torch": torch.__version__,
            "test": score(test, *predict(model, inputs[2], mean)),
            "valid": score(valid, *predict(model, inputs[1], mean)),
            "epochs": len(history),
            "best_epoch": int(np.argmin(history)),
            "final_validation": {"loss": history[-1], "without_average": final_score},
            "mean_energy_per_atom": mean,
            "train_frames": len(train),
            "parameters": sum(p.numel() for p in model.parameters()),
            "training_seconds": seconds,
            "training_cpu_seconds": cpu_seconds,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
