"""Losses of a batch, as sums and counts so that they add up exactly over batches and processes.

Every term is a mean over the components that are labeled in the batch:

| term | residual | mean over |
|---|---|---|
| energy | (E − Ê)/N, or E − Ê with `per_atom: false` | systems |
| forces, charges, magnetic_moments | component | all components of all atoms |
| stress | component | 9 per system |
| dipole | component | 3 per system |

total = Σ weight · mean(kind(residual)). Weights of frames and of elements multiply the penalties and leave the number
of components that the mean divides by as it is. With `mse`, energy per atom this is MACE's weighted loss; with
`per_atom: false` it is SchNetPack's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from adiabat.data.frame import LABELS, PER_ATOM, Batch
from adiabat.elements import MAX_NUMBER, number
from adiabat.potential import Prediction
from adiabat.settings import Settings


class Term(Settings):
    """One label's part of the loss. A plain number stands for its weight."""

    weight: float = Field(default=0.0, ge=0.0)
    """Weight of the term; 0 leaves the label out."""
    kind: Literal["mse", "mae", "huber"] = "mse"
    """Square, absolute value, or Huber's function of the residual."""
    delta: float = Field(default=0.01, gt=0.0)
    """Residual at which Huber's function turns linear, in the label's unit (huber)."""
    per_atom: bool = True
    """Divide energy residuals by the number of atoms (energy)."""
    elements: dict[str, float] = {}
    """Weight of an element's atoms, such as {H: 0.5}; others weigh 1 (forces, charges, magnetic moments)."""

    @model_validator(mode="before")
    @classmethod
    def _number(cls, data: Any) -> Any:
        return {"weight": data} if isinstance(data, int | float) and not isinstance(data, bool) else data

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.kind != "huber" and self.delta != type(self).model_fields["delta"].default:
            raise ValueError(f"delta = {self.delta} has no effect with kind {self.kind}: set kind to huber")
        for symbol, weight in self.elements.items():
            number(symbol)
            if weight < 0:
                raise ValueError(f"elements gives {symbol} the negative weight {weight}")
        return self

    def atom_weights(self, numbers: Tensor) -> Tensor | None:
        """`[atoms]` weight of each atom by its element, None if all weigh 1."""
        if not self.elements:
            return None
        table = torch.ones(MAX_NUMBER + 1, dtype=torch.float64, device=numbers.device)
        for symbol, weight in self.elements.items():
            table[number(symbol)] = weight
        return table[numbers]


class LossConfig(Settings):
    """Weights of all terms."""

    energy: Term = Term(weight=1.0)
    """Energy, eV."""
    forces: Term = Term(weight=100.0)
    """Forces, eV/Å."""
    stress: Term = Term()
    """Stress, eV/Å³."""
    charges: Term = Term()
    """Atomic charges, e."""
    dipole: Term = Term()
    """Dipole moment, e·Å."""
    magnetic_moments: Term = Term()
    """Atomic magnetic moments, μB."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        for name in LABELS:
            if name != "energy" and not getattr(self, name).per_atom:
                raise ValueError(f"{name}.per_atom has no effect: only energies are divided by the number of atoms")
            if name not in PER_ATOM and getattr(self, name).elements:
                raise ValueError(f"{name}.elements has no effect: {name} belongs to no single atom")
        return self

    @property
    def terms(self) -> dict[str, Term]:
        """Label name to term, for terms in use."""
        return {name: getattr(self, name) for name in LABELS if getattr(self, name).weight > 0}


def residual(name: str, prediction: Prediction, batch: Batch) -> tuple[Tensor, Tensor]:
    """Differences `[n, ...]` of one label for the systems or atoms that have it, and the system index of each row."""
    present = batch.present[name]
    system = batch.graph.system.system
    rows = present[system] if name in PER_ATOM else present
    predicted = getattr(prediction, name)
    difference = predicted[rows].double() - batch.labels[name][rows].double()
    index = system[rows] if name in PER_ATOM else torch.arange(len(present), device=present.device)[rows]
    return difference, index


def loss_sums(
    prediction: Prediction, batch: Batch, terms: Mapping[str, Term], weights: Tensor | None = None
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each term the sum of its penalties and how many components it has; labels that no system has are left out.

    Args:
        prediction: of the batch; needs the quantities that at least one system has a label of.
        batch: with labels.
        terms: label name to term.
        weights: `[systems]` weight of each frame, 1 where None.
    """
    counts = batch.graph.system.atom_counts
    sums = {}
    for name, term in terms.items():
        if not bool(batch.present[name].any()):
            continue
        difference, index = residual(name, prediction, batch)
        if name == "energy" and term.per_atom:
            difference = difference / counts[index]
        penalties = _penalty(difference, term)
        if weights is not None:
            penalties = penalties * _column(weights[index], penalties)
        by_atom = term.atom_weights(batch.graph.system.numbers)
        if by_atom is not None:
            penalties = penalties * _column(by_atom[batch.present[name][batch.graph.system.system]], penalties)
        sums[name] = (penalties.sum(), penalties.new_tensor(float(penalties.numel())))
    return sums


def _column(weights: Tensor, like: Tensor) -> Tensor:
    return weights.reshape(-1, *[1] * (like.dim() - 1))


def _penalty(difference: Tensor, term: Term) -> Tensor:
    if term.kind == "mse":
        return difference.square()
    if term.kind == "mae":
        return difference.abs()
    return torch.nn.functional.huber_loss(
        difference, torch.zeros_like(difference), reduction="none", delta=term.delta
    )
