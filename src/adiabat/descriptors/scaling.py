"""Scaling of features by the training data, and their principal components."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from adiabat.descriptors.features import Features

Rule = Literal["none", "range", "center", "range-center", "sigma"]
FLAT = 1e-5  # spread below which a feature stays unscaled: dividing by it would amplify noise
FLOOR = 1e-5  # variance, relative to the largest, that is added to every principal component's


class FeatureScaling(nn.Module):
    """(G − shift) · factor element by element, then optionally a change to uncorrelated components.

    Args:
        elements: how many elements.
        size: width of the feature rows.
        rule: "range" is G − min over the range; "center" is G − mean; "range-center" G − mean over the range; "sigma"
            G − mean over the standard deviation.
        components: number of principal components kept, each divided by √(variance + FLOOR · largest variance);
            None keeps the features themselves.
    """

    shift: Tensor
    factor: Tensor
    mixing: Tensor | None

    def __init__(self, elements: int, size: int, rule: Rule, components: int | None = None):
        super().__init__()
        self.rule: Rule = rule
        self.register_buffer("shift", torch.zeros((elements, size)))
        self.register_buffer("factor", torch.ones((elements, size)))
        mixing = None if components is None else torch.eye(size)[:, :components].repeat(elements, 1, 1)
        self.register_buffer("mixing", mixing)

    def adapt(self, values: Tensor, element: Tensor) -> None:
        """Sets the constants from features `[atoms, size]` of atoms with these places among the elements."""
        for place in element.unique().tolist():
            rows = values[element == place].double()
            shift, factor = _scaling(rows, self.rule)
            self.shift[place], self.factor[place] = shift, factor
            if self.mixing is not None:
                scaled = (rows - rows.mean(dim=0)) * factor
                variances, directions = torch.linalg.eigh(scaled.T @ scaled / len(scaled))
                scale = (variances.clamp(min=0.0) + FLOOR * variances[-1].clamp(min=1e-8)).rsqrt()
                self.mixing[place] = (directions * scale).flip(1)[:, : self.mixing.shape[2]]

    def forward(self, values: Tensor, element: Tensor) -> Tensor:
        """`[atoms, size]` to `[atoms, size or components]`."""
        values = (values - self.shift[element]) * self.factor[element]
        if self.mixing is None:
            return values
        # all mixings of all atoms: more arithmetic than row by row, and no size that depends on the data
        mixed = torch.stack([values @ mixing for mixing in self.mixing.to(values.dtype)], dim=1)
        return mixed.gather(1, element[:, None, None].expand(-1, 1, mixed.shape[2]))[:, 0]

    def scaled(self, features: Features, element: Tensor) -> Features:
        """Stored features with scaled values and slopes; float64 features are scaled in float64."""
        double = features.values.dtype
        own = self.factor.to(double)[element[features.pairs[0]]]
        slopes = (features.jacobian * own[:, :, None]).transpose(1, 2)
        slopes = self._mixed(slopes, element[features.pairs[0]]).transpose(1, 2).contiguous()
        values = (features.values - self.shift.to(double)[element]) * self.factor.to(double)[element]
        return replace(features, values=self._mixed(values, element), jacobian=slopes)

    def _mixed(self, values: Tensor, element: Tensor) -> Tensor:
        if self.mixing is None:
            return values
        mixing = self.mixing.to(values.dtype)
        if len(mixing) == 1:
            return values @ mixing[0]
        out = values.new_zeros((*values.shape[:-1], mixing.shape[2]))
        for place in range(len(mixing)):
            rows = (element == place).nonzero()[:, 0]
            out = out.index_copy(0, rows, values[rows] @ mixing[place])
        return out


def _scaling(values: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Shift and factor `[size]` of features `[atoms, size]`."""
    low, mean = values.amin(dim=0), values.mean(dim=0)
    shift = {"range": low, "none": torch.zeros_like(low)}.get(rule, mean)
    spread = values.std(dim=0, correction=0) if rule == "sigma" else values.amax(dim=0) - low
    keep = torch.full_like(spread, rule in ("none", "center"), dtype=torch.bool) | (spread < FLAT)
    return shift, torch.where(keep, 1.0, 1.0 / spread.clamp(min=FLAT))
