"""Reading, splitting and scoring shared by the peer training programs.

Runs with the interpreter of the peers environment, so it uses only numpy and
ASE, which every peer program brings along, and nothing of adiabat.
"""

import argparse
import hashlib
import json
import lzma
import platform
from pathlib import Path

import ase.io
import numpy as np

ISOLATED_TYPES = {"isolated_atom", "isolatedatom"}


def parse_arguments(description):
    """Return the command line arguments which all peer programs share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="labeled frames, .extxyz or .extxyz.xz")
    parser.add_argument("--split", required=True, help="JSON with frame indices train, valid, test")
    parser.add_argument("--settings", required=True, help="JSON with the hyperparameters")
    parser.add_argument("--output", required=True, help="JSON file to write")
    parser.add_argument("--model", help="also keep the trained model in this file")
    parser.add_argument("--initial", help="also keep the untrained model in this file")
    return parser.parse_args()


def begin(description):
    """Return the arguments, the settings, all frames, and the lists of train, valid and test frames."""
    arguments = parse_arguments(description)
    settings = read_json(arguments.settings)
    keys = (settings.get(f"{name}_key", f"REF_{name}") for name in ("energy", "forces"))
    frames = read_frames(arguments.data, *keys)
    return arguments, settings, frames, split_frames(frames, read_json(arguments.split))


def read_json(path):
    """Return the content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_frames(path, energy_key="REF_energy", forces_key="REF_forces"):
    """Return all frames with labels in info['REF_energy'], arrays['REF_forces']."""
    opener = lzma.open if str(path).endswith(".xz") else open
    with opener(path, "rt", encoding="utf-8") as stream:
        frames = ase.io.read(stream, ":", format="extxyz")
    for atoms in frames:
        # ASE moves columns called plainly 'energy' and 'forces' to a calculator.
        results = atoms.calc.results if atoms.calc is not None else {}
        atoms.calc = None
        energy = atoms.info.get(energy_key, results.get(energy_key))
        forces = atoms.arrays.get(forces_key, results.get(forces_key))
        if energy is not None:
            atoms.info["REF_energy"] = float(energy)
        if forces is not None:
            atoms.arrays["REF_forces"] = np.asarray(forces, dtype=float)
    return frames


def is_isolated(atoms):
    """Tell whether a frame is a reference calculation of a single atom."""
    return str(atoms.info.get("config_type", "")).lower() in ISOLATED_TYPES


def isolated_energies(frames):
    """Return {atomic number: energy in eV} of the isolated-atom frames."""
    return {int(atoms.numbers[0]): atoms.info["REF_energy"] for atoms in frames if is_isolated(atoms)}


def fitted_energies(frames):
    """Return {atomic number: energy in eV}, the minimum-norm least-squares fit."""
    elements = sorted({int(z) for atoms in frames for z in atoms.numbers})
    counts = np.array([[np.sum(atoms.numbers == z) for z in elements] for atoms in frames], float)
    energies = np.array([atoms.info["REF_energy"] for atoms in frames])
    fitted = np.linalg.lstsq(counts, energies, rcond=None)[0]
    return {z: float(energy) for z, energy in zip(elements, fitted, strict=True)}


def reference_energies(frames, train, settings):
    """Return E0 per element: the settings, else isolated atoms, else a fit to ``train``."""
    if settings.get("atomic_energies"):
        return {int(z): float(energy) for z, energy in settings["atomic_energies"].items()}
    isolated = isolated_energies(frames)
    needed = {int(z) for atoms in train for z in atoms.numbers}
    if needed <= set(isolated):
        return {z: isolated[z] for z in sorted(needed)}
    return fitted_energies(train)


def split_frames(frames, split):
    """Return the lists of train, valid and test frames of a split."""
    parts = [[frames[i] for i in split[part]] for part in ("train", "valid", "test")]
    for part in parts:
        if any(is_isolated(atoms) for atoms in part):
            raise ValueError("the split contains isolated atoms")
    return parts


def score(frames, energies, forces):
    """Return MAE and RMSE of energies per atom (eV) and force components (eV/A)."""
    sizes = np.array([len(atoms) for atoms in frames])
    reference = np.array([atoms.info["REF_energy"] for atoms in frames])
    delta_e = (np.asarray(energies, dtype=float) - reference) / sizes
    delta_f = np.concatenate(
        [np.ravel(f - atoms.arrays["REF_forces"]) for f, atoms in zip(forces, frames, strict=True)]
    )
    return {
        "energy_mae_per_atom": float(np.mean(np.abs(delta_e))),
        "energy_rmse_per_atom": float(np.sqrt(np.mean(delta_e**2))),
        "force_mae": float(np.mean(np.abs(delta_f))),
        "force_rmse": float(np.sqrt(np.mean(delta_f**2))),
        "frames": len(frames),
    }


def write_result(path, arguments, settings, content):
    """Write the result with what is needed to recognize the run again."""
    digest = hashlib.sha256(Path(arguments.data).read_bytes()).hexdigest()
    record = {
        "data": Path(arguments.data).name,
        "data_sha256": digest,
        "split": Path(arguments.split).name,
        "units": {"energy": "eV/atom", "force": "eV/A", "time": "s"},
        "python": platform.python_version(),
        "settings": settings,
        **content,
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content.get("test", {}), indent=1))
