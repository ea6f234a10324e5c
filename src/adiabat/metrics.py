"""Errors of a potential on labeled frames, over all of them, per group and per element."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adiabat.batched import evaluate_batches
from adiabat.data.dataset import Dataset
from adiabat.data.frame import PER_ATOM, Batch, collate
from adiabat.data.loader import Loader
from adiabat.elements import symbol
from adiabat.errors import DataError
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction

UNITS = {
    "energy": "eV/atom",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "charges": "e",
    "dipole": "e·Å",
    "polarizability": "e·Å²/V",
    "magnetic_moments": "μB",
}


class Evaluation:
    """Predictions beside labels, kept for tables and pictures.

    Attributes:
        labels: label name to `[n, ...]` reference values; energies per atom, only frames that have the label.
        predictions: the same of the model.
        rows: label name to the frame index of each row.
        numbers: label name to the atomic number of each row, for per-atom labels.
        groups: group of each frame.
    """

    def __init__(self, groups: list[str]):
        self.groups = groups
        self._kept: dict[str, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))

    def add(self, prediction: Prediction, batch: Batch, names: Collection[str]) -> None:
        """Takes in a batch."""
        graph = batch.graph
        frames = torch.tensor(batch.indices)
        for name in names:
            predicted = getattr(prediction, name).cpu()
            present, rows, numbers = batch.present[name], frames, None
            if name in PER_ATOM:
                present = present[graph.system.system]
                rows, numbers = frames[graph.system.system], graph.system.numbers
            label, predicted = batch.labels[name].double(), predicted.double()
            if name == "energy":
                label, predicted = label / graph.system.atom_counts, predicted / graph.system.atom_counts
            kept = self._kept[name]
            kept["label"].append(label[present])
            kept["prediction"].append(predicted[present])
            kept["row"].append(rows[present])
            if numbers is not None:
                kept["number"].append(numbers[present])

    def values(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Reference and prediction of one label, `[n, ...]`."""
        kept = self._kept[name]
        return torch.cat(kept["label"]).numpy(), torch.cat(kept["prediction"]).numpy()

    def names(self) -> list[str]:
        """Labels that at least one frame has."""
        return [n for n, kept in self._kept.items() if sum(len(t) for t in kept["row"])]

    def summary(self) -> dict[str, Any]:
        """`energy_mae_per_atom`, `energy_rmse_per_atom`, `forces_mae`, `forces_rmse`, `stress_mae` and more, eV, Å.

        `<label>_count` is the number of components; `per_group` and `per_element` hold the same for parts.
        """
        every = {name: np.ones(sum(len(t) for t in self._kept[name]["row"]), dtype=bool) for name in self.names()}
        out = self._errors(every)
        per_group: dict[str, Any] = {}
        groups = np.array(self.groups)
        for group in sorted(set(self.groups) - {""}):
            masks = {n: groups[torch.cat(self._kept[n]["row"]).numpy()] == group for n in self.names()}
            per_group[group] = self._errors(masks)
        out["per_group"] = per_group
        out["per_element"] = self._per_element()
        return out

    def _per_element(self) -> dict[str, Any]:
        out: dict[str, Any] = defaultdict(dict)
        for name in self.names():
            if name not in PER_ATOM:
                continue
            numbers = torch.cat(self._kept[name]["number"]).numpy()
            for z in np.unique(numbers):
                out[symbol(int(z))].update(self._errors({name: numbers == z}))
        return dict(out)

    def _errors(self, masks: dict[str, np.ndarray]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, mask in masks.items():
            if not mask.any():
                continue
            label, predicted = self.values(name)
            difference = (predicted - label)[mask]
            suffix = "_per_atom" if name == "energy" else ""
            out[f"{name}_mae{suffix}"] = float(np.abs(difference).mean())
            out[f"{name}_rmse{suffix}"] = float(np.sqrt((difference**2).mean()))
            out[f"{name}_count"] = int(mask.sum())
        return out


def evaluate_dataset(
    potential: Potential,
    dataset: Dataset,
    group: str = "config_type",
    batch_atoms: int | None = None,
    labels: Collection[str] | None = None,
) -> Evaluation:
    """Predicts every label that the data have and the model can give.

    Args:
        potential: any.
        dataset: labeled frames.
        group: frame info by which errors are grouped.
        batch_atoms: largest number of atoms evaluated together; None: as many as pay and fit into memory.
        labels: only these; default energy, forces, stress of local models, and charges, dipole, polarizability
            and magnetic moments where predicted.

    Raises DataError if no frame has any of the labels.
    """
    found = {name for frame in dataset for name in frame.labels}
    names = [n for n in _possible(potential, dataset[0].system, labels) if n in found]
    if not names:
        have = ", ".join(sorted(found)) or "none"
        raise DataError(f"the data have no label to compare with (found: {have}): check the keys.")
    groups = [str(frame.info.get(group, "")) for frame in dataset]
    evaluation = Evaluation(groups)
    loader = Loader(dataset, potential.cutoff, batch_size=1, labels=names, dtype=potential.dtype, cached_pairs=0)
    potential.eval()
    for want, indices in _by_labels(dataset, names).items():
        graphs = (loader.graph(k) for k in indices)
        for done in evaluate_batches(potential, graphs, want, max_atoms=batch_atoms, names=indices):
            rows = indices[done.indices.start : done.indices.stop]
            batch = collate([dataset[k] for k in rows], done.graphs, want, rows).to(dtype=potential.dtype)
            evaluation.add(done.prediction, batch, want)
    return evaluation


def _by_labels(dataset: Dataset, names: Collection[str]) -> dict[tuple[str, ...], list[int]]:
    """The frames that have the same labels among `names`, in order; stress counts where there is periodicity."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, frame in enumerate(dataset):
        periodic = bool(frame.system.pbc.any())
        own = tuple(name for name in names if name in frame.labels and (name != "stress" or periodic))
        if own:
            groups[own].append(index)
    return groups


def _possible(potential: Potential, system: System, labels: Collection[str] | None) -> list[str]:
    if labels is not None:
        return list(labels)
    names = ["energy", "forces"] + (["stress"] if potential.local else []) if potential.gives_energy else []
    graph = Graph.build(system, potential.cutoff).to(potential.device, potential.dtype)
    own = potential(graph)
    return names + [
        n for n in ("charges", "dipole", "polarizability", "magnetic_moments") if getattr(own, n) is not None
    ]
