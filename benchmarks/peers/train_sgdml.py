"""Train sgdml's symmetric gradient-domain model with sgdml's own routines.

Follows its command line program: symmetries from the training geometries, one
closed-form model per length scale in ascending order until the validation
force RMSE rises, and the model of the lowest validation force RMSE.
"""

import sys
import time
from importlib.metadata import version

import numpy as np
from common import begin, score, write_result
from sgdml.predict import GDMLPredict
from sgdml.train import GDMLTrain


def build_dataset(frames, name):
    """Return the peer's dataset of frames with one order of the atoms, in eV and A."""
    numbers = frames[0].numbers
    if any(not np.array_equal(atoms.numbers, numbers) for atoms in frames):
        raise ValueError("sgdml needs the same atoms in the same order in all frames")
    return {
        "type": np.array("d"),
        "name": np.array(name),
        "theory": np.array("unknown"),
        "z": np.array(numbers),
        "R": np.array([atoms.positions for atoms in frames]),
        "F": np.array([atoms.arrays["REF_forces"] for atoms in frames]),
        "E": np.array([atoms.info["REF_energy"] for atoms in frames]),
        "r_unit": np.array("Ang"),
        "e_unit": np.array("eV"),
    }


def predict(model, frames, processes):
    """Return energies and forces of the frames."""
    predictor = GDMLPredict(model, max_processes=processes)
    positions = np.array([atoms.positions.ravel() for atoms in frames])
    energies, forces = predictor.predict(positions)
    return energies, forces.reshape(len(frames), -1, 3)


def build_task(trainer, train, valid, settings):
    """Return the peer's training task with the symmetries which it finds."""
    # Whole datasets, because the peer would otherwise draw its own random sample.
    return trainer.create_task(
        build_dataset(train, "train"),
        len(train),
        build_dataset(valid, "valid"),
        len(valid),
        sig=1,
        lam=settings["lam"],
        use_sym=settings["use_sym"],
        use_E=True,
        use_E_cstr=settings["use_E_cstr"],
    )


def search(trainer, task, valid, settings):
    """Train for ascending length scales; return the best model and all errors."""
    best, errors = None, []
    for sigma in sorted(settings["sigmas"]):
        start = time.perf_counter()
        model = trainer.train({**task, "sig": sigma})
        seconds = time.perf_counter() - start
        errors.append(score(valid, *predict(model, valid, settings["threads"])))
        errors[-1].update(sigma=sigma, training_seconds=seconds)
        print(f"sigma {sigma}: validation force RMSE {errors[-1]['force_rmse']:.6f}", flush=True)
        if errors[-1]["force_rmse"] <= min(error["force_rmse"] for error in errors):
            best = model
        rising = len(errors) > 1 and errors[-1]["force_rmse"] > errors[-2]["force_rmse"]
        if rising and not settings.get("all_sigmas", False):
            break
    return best, errors


def main():
    """Train, score and write the result."""
    arguments, settings, _, (train, valid, test) = begin(__doc__.splitlines()[0])
    start, cpu = time.perf_counter(), time.process_time()
    trainer = GDMLTrain(max_processes=settings["threads"])
    task = build_task(trainer, train, valid, settings)
    symmetry_seconds = time.perf_counter() - start
    model, errors = search(trainer, task, valid, settings)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    if arguments.model:
        np.savez_compressed(arguments.model, **model)
    (chosen,) = [error for error in errors if error["sigma"] == model["sig"]]
    write_result(
        arguments.output,
        arguments,
        settings,
        {
            "program": f"sgdml {version('sgdml')}",
            "test": score(test, *predict(model, test, settings["threads"])),
            "valid": chosen,
            "sigma": int(model["sig"]),
            "sigma_search": errors,
            "epochs": None,
            "final_validation": chosen,
            "permutations": model["perms"].tolist(),
            "permutation_count": len(model["perms"]),
            "integration_constant": float(model["c"]),
            "label_deviation": float(model["std"]),
            "train_frames": len(train),
            "symmetry_seconds": symmetry_seconds,
            "training_seconds": seconds,
            "training_cpu_seconds": cpu_seconds,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
