"""Errors in users' units, summed over the batches of an epoch and over processes."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from adiabat.data.frame import Batch
from adiabat.fit.batches import labeled
from adiabat.fit.distributed import World
from adiabat.fit.losses import residual
from adiabat.potential import Prediction


class Errors:
    """Mean absolute and root-mean-square errors of some labels; energies per atom."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)
        self._sums: dict[str, Tensor] = {name: torch.zeros(3, dtype=torch.float64) for name in self.names}
        self._losses: list[float] = []

    @torch.no_grad()
    def add(self, prediction: Prediction, batch: Batch) -> None:
        """Takes in a batch."""
        for name in labeled(batch, self.names):
            difference, index = residual(name, prediction, batch)
            if name == "energy":
                difference = difference / batch.graph.system.atom_counts[index]
            flat = difference.detach().reshape(-1)
            row = torch.stack([flat.abs().sum(), flat.square().sum(), flat.new_tensor(float(len(flat)))])
            self._sums[name] += row.cpu()

    def loss(self, value: float) -> None:
        """Takes in the loss of a step, the same on every process."""
        self._losses.append(value)

    def summary(self, part: str, world: World) -> dict[str, float]:
        """`<part>_<label>_mae`, `..._rmse` in eV, Å and e (`..._per_atom` for energies), and the mean loss."""
        out: dict[str, float] = {}
        if self._losses:
            out[f"{part}_loss"] = sum(self._losses) / len(self._losses)
        for name, sums in self._sums.items():
            absolute, square, count = world.sum(sums).tolist()
            suffix = "_per_atom" if name == "energy" else ""
            if count:
                out[f"{part}_{name}_mae{suffix}"] = absolute / count
                out[f"{part}_{name}_rmse{suffix}"] = math.sqrt(square / count)
        return out
