"""What adiabat's own training programs share beside `peers/common.py`."""

import torch

from adiabat.data import Frame, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System


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
