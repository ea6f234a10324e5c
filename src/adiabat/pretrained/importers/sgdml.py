"""Weights of the sGDML program (doi:10.1016/j.cpc.2019.02.007): model arrays in kcal/mol and Å."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.errors import DataError
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import energy_unit

# old published files have other names for the same arrays
_OLD_NAMES = {"Rt_desc": "R_desc", "Rt_d_desc_alpha": "R_d_desc_alpha"}


def from_kit(kit: Kit) -> Imported:
    """The published model, or the variants that the program trained."""
    files = {Path(file).stem.removeprefix("weights").removeprefix("-"): file for file in kit.weight_files()}
    potentials = {}
    unit = kit.meta.get("energy_unit", "kcal/mol")
    for variant, file in files.items():
        arrays = {name: tensor.numpy() for name, tensor in kit.weights(file).items()}
        potentials[variant] = from_arrays(arrays, unit)
    return Imported(potentials, unit, "Å")


def read_sgdml(path: str | Path, unit: str = "kcal/mol") -> SGDML:
    """Reads a model file `*.npz` of the sGDML program, without pickles; `unit` is its energy unit."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable sGDML model: {error}") from None
    return from_arrays(arrays, unit)


def from_arrays(arrays: Mapping[str, Any], unit: str) -> SGDML:
    """The potential of a model's arrays: its energies and weights times the energy unit, lengths as they are."""
    named = {_OLD_NAMES.get(name, name): np.asarray(value) for name, value in arrays.items()}
    if "R_desc" not in named or "R_d_desc_alpha" not in named:
        raise DataError(f"these arrays are not an sGDML model: R_desc is missing among {', '.join(named)}.")
    factor = energy_unit(unit) * float(named.get("std", 1.0))
    permutations = named["perms"].astype(np.int64)
    # old files count atoms from 1
    permutations -= permutations.min()
    constraints = "alphas_E" in named
    numbers = named["z"].astype(np.int64)
    potential = SGDML(SGDMLConfig(symmetries=len(permutations) > 1, energy_constraints=constraints), numbers)
    weights = named["R_d_desc_alpha"].reshape(named["R_desc"].shape[1], -1)
    energy_weights = named["alphas_E"].reshape(-1) if constraints else np.zeros(0)
    loaded = {
        "numbers": numbers,
        "points": named["R_desc"].T.astype(np.float64),
        # the program's kernel matrix is the negative of ours
        "weights": -factor * weights.astype(np.float64),
        "energy_weights": factor * energy_weights.astype(np.float64),
        "permutations": permutations,
        "length_scale": np.array(float(named["sig"])),
        "constant": np.array(float(named["c"]) * energy_unit(unit)),
    }
    potential.load_arrays({name: torch.as_tensor(value) for name, value in loaded.items()})
    return potential
