"""DataInfo: what a model must remember of the data it was made from."""

from __future__ import annotations

from adiabat.settings import Settings


class DataInfo(Settings):
    """Travels from the data set into the checkpoint."""

    elements: tuple[int, ...]
    """Atomic numbers present, ascending."""
    reference_energies: dict[int, float] = {}
    """Energy of each element subtracted before fitting, eV."""
    reference_source: str = "none"
    """Where the reference energies come from: isolated atoms, least squares, given or none."""
    shift: float = 0.0
    """Energy per atom added to the reference energies, so that the model starts at the data's mean, eV."""
    scale: float = 1.0
    """Energy unit of the model's own output, eV."""
    level_of_theory: str = ""
    """Functional and basis, as the data set states it."""
    source: str = ""
    """File or set the data came from."""
    keys: dict[str, str] = {}
    """Label name to the key it was read from."""
    hashes: dict[str, str] = {}
    """SHA-256 of each part (train, valid, test)."""
    frames: dict[str, int] = {}
    """Number of frames of each part."""
    license: str = ""
    """License of the data."""
