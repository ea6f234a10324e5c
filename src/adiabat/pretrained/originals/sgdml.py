"""sGDML's model files `*.npz` (doi:10.1016/j.cpc.2019.02.007): arrays; the energy unit is in newer ones."""

from __future__ import annotations

import torch

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.archives import checked_zip
from adiabat.pretrained.originals.source import Source
from adiabat.units import ENERGY

_OLD = {"Rt_desc": "R_desc", "Rt_d_desc_alpha": "R_d_desc_alpha"}
_ANGSTROM = ("Ang", "Angstrom", "A", "Å", "unspecified")
_NEEDED = ("R_desc", "R_d_desc_alpha", "perms", "sig", "z", "c")


def recognize(source: Source) -> bool:
    """An npz file with the descriptors of training points."""
    if source.kind != "npz":
        return False
    with checked_zip(source.path) as archive:
        names = {_OLD.get(n, n) for n in (name.removesuffix(".npy") for name in archive.namelist())}
    return {"R_desc", "R_d_desc_alpha"} <= names


def read(source: Source) -> Kit:
    """The model's arrays under their newer names.

    Raises:
        CheckpointError: an array is missing.
    """
    arrays = {_OLD.get(name, name): value for name, value in source.arrays.items()}
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise CheckpointError(f"{source.path} lacks the arrays {', '.join(missing)}: is it a whole sGDML model?")
    length = str(arrays.get("r_unit", "Ang"))
    if length not in _ANGSTROM:
        raise CheckpointError(f"{source.path} has lengths in {length}: only Å is supported.")
    unit = str(arrays.get("e_unit", ""))
    unit = unit if unit in ENERGY else source.energy_unit("sGDML")
    wanted = (*_NEEDED, "std", "alphas_E")
    weights = {name: torch.from_numpy(arrays[name].copy()) for name in wanted if name in arrays}
    return Kit.of(
        "sgdml-original", {"program": "sGDML", "units": unit, "energy_unit": unit}, weights, path=source.path
    )
