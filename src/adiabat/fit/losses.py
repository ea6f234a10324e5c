"""Losses of a batch, as sums and counts so that they add up exactly over batches and processes.

Every term is a mean over the components that are labeled in the batch:

| term | residual | mean over |
|---|---|---|
| energy | (E − Ê)/N, or E − Ê with `per_atom: false` | systems |
| forces, charges, magnetic_moments | component | all components of all atoms |
| stress | component | 9 per system |
| dipole | component | 3 per system |
| polarizability | component | 9 per system |

total = Σ weight · mean(kind(residual)). Weights of frames and of elements multiply the penalties and leave the number
of components that the mean divides by as it is. With `mse`, energy per atom this is MACE's weighted loss; with
`per_atom: false` it is SchNetPack's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
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
        table = [1.0] * (MAX_NUMBER + 1)
        for symbol, weight in self.elements.items():
            table[number(symbol)] = weight
        return torch.tensor(table, dtype=torch.float64, device=numbers.device)[numbers]


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
    polarizability: Term = Term()
    """Polarizability, e·Å²/V."""
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
    used = {name: term for name, term in terms.items() if bool(batch.present[name].any())}
    sums = penalty_sums(prediction, batch, used, weights)
    return {name: (sums[name], count) for name, count in zip(used, counts(batch, used), strict=True)}


def penalty_sums(
    prediction: Prediction, batch: Batch, terms: Mapping[str, Term], weights: Tensor | None = None
) -> dict[str, Tensor]:
    """For each term the sum of its penalties over the components that are labeled; arguments as in `loss_sums`.

    What is not labeled is masked, so that no size depends on the labels and the sums can be compiled.
    """
    system = batch.graph.system
    sums = {}
    for name, term in terms.items():
        by_atom = name in PER_ATOM
        predicted = getattr(prediction, name).double()
        rows = batch.present[name][system.system] if by_atom else batch.present[name]
        difference = predicted - batch.labels[name].double()
        difference = torch.where(_column(rows, difference), difference, torch.zeros_like(difference))
        if name == "energy" and term.per_atom:
            difference = difference / system.atom_counts
        penalties = _penalty(difference, term)
        if weights is not None:
            penalties = penalties * _column(weights[system.system] if by_atom else weights, penalties)
        by_element = term.atom_weights(system.numbers)
        if by_element is not None:
            penalties = penalties * _column(by_element, penalties)
        sums[name] = penalties.sum()
    return sums


def counts(batch: Batch, names: Collection[str]) -> Tensor:
    """How many components of each label the batch has `[names]`, float64."""
    found = []
    for name in names:
        present, values = batch.present[name], batch.labels[name]
        rows = present[batch.graph.system.system] if name in PER_ATOM else present
        found.append(rows.sum() * math.prod(values.shape[1:]))
    return torch.stack(found).double() if found else torch.zeros(0, dtype=torch.float64)


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
