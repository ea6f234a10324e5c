"""Reference energies of the elements, refitted from one level of theory to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adiabat.data import Dataset, Frame, MemoryDataset
from adiabat.data.statistics import composition, elements
from adiabat.elements import symbol
from adiabat.errors import FitError
from adiabat.metrics import evaluate_dataset
from adiabat.potential import Potential, Referenced


@dataclass(frozen=True)
class Refit:
    """What refitting found.

    Attributes:
        before: atomic number to the base model's reference energy, eV.
        change: atomic number to what was added to it, eV.
        rank: how many combinations of the elements the compositions determine.
        rmse_before: root-mean-square energy error of the untouched base on these frames, eV/atom.
        rmse_after: the same with the new reference energies.
        frames: number of frames with an energy.
    """

    before: Mapping[int, float]
    change: Mapping[int, float]
    rank: int
    rmse_before: float
    rmse_after: float
    frames: int

    def lines(self) -> list[str]:
        """The numbers in sentences."""
        out = [
            f"{symbol(z)}: reference energy {self.before[z]:.4f} → {self.before[z] + shift:.4f} eV ({shift:+.4f})."
            for z, shift in self.change.items()
        ]
        out.append(
            f"refitted on {self.frames} frames: the base model's energy RMSE goes from {self.rmse_before:.4g} to"
            f" {self.rmse_after:.4g} eV/atom before any training."
        )
        if self.rank < len(self.change):
            out.append(
                f"the compositions determine only {self.rank} of {len(self.change)} reference energies: of all"
                " solutions the smallest change was taken, which means nothing for other compositions."
            )
        return out

    def rows(self) -> dict[str, Any]:
        """The numbers as plain values, by element."""
        per_element = {
            symbol(z): {"before": self.before[z], "after": self.before[z] + shift, "change": shift}
            for z, shift in self.change.items()
        }
        rest = {name: getattr(self, name) for name in ("rank", "frames", "rmse_before", "rmse_after")}
        return {"elements": per_element, **rest}


def refit(base: Potential, frames: Dataset) -> Refit:
    """Least squares per atom of (new label − base prediction) on the composition.

    With the base's own references left out of the prediction on both sides this is the fit of new reference
    energies E0(Z) to E_new − E_model; as a change it is, of equally good solutions, the one nearest to the base's.
    Elements that the frames do not have keep theirs.

    Raises FitError if no frame has an energy.
    """
    labeled = MemoryDataset([frame for frame in frames if "energy" in frame.labels])
    if not len(labeled):
        raise FitError("no new frame has an energy, so reference energies cannot be refitted: set reference to keep.")
    present = elements(labeled)
    label, predicted = evaluate_dataset(base, labeled, labels=("energy",)).values("energy")
    counts, _ = composition(labeled, present)
    fractions = counts / counts.sum(axis=1, keepdims=True)
    shift, _, rank, _ = np.linalg.lstsq(fractions, label - predicted, rcond=1e-8)
    left = label - predicted - fractions @ shift
    old = base.reference if isinstance(base, Referenced) else None
    before = {z: 0.0 if old is None else float(old[z]) for z in present}
    change = {z: float(s) for z, s in zip(present, shift, strict=True)}
    rmse = [float(np.sqrt(np.mean(gap**2))) for gap in (label - predicted, left)]
    return Refit(before, change, int(rank), rmse[0], rmse[1], len(labeled))


def shifted(potential: Potential, change: Mapping[int, float]) -> Potential:
    """The potential with its reference energies changed in place; wrapped in `Referenced` if it has none."""
    if not isinstance(potential, Referenced):
        potential = Referenced(potential).to(potential.device)
    reference = potential.get_buffer("reference")
    for z, energy in change.items():
        reference[z] += energy
    return potential


def relabeled(frames: Iterable[Frame], change: Mapping[int, float]) -> MemoryDataset:
    """The frames with energies moved by the same change of reference energies."""
    out = []
    for frame in frames:
        labels = dict(frame.labels)
        if "energy" in labels:
            labels["energy"] = labels["energy"] + sum(change.get(z, 0.0) for z in frame.system.numbers.tolist())
        out.append(Frame(frame.system, labels, frame.info))
    return MemoryDataset(out)
