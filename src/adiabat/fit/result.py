"""FitResult: what every fitter returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FitResult:
    """How a fit went. The fitted potential itself holds the best weights found.

    Attributes:
        history: one row per epoch (or per hyperparameter tried).
        best: the row the returned weights belong to.
        epochs: epochs done.
        seconds: wall time.
        receipt: labels and options asked for and used.
        stopped: why the fit ended.
    """

    history: list[dict[str, Any]]
    best: Mapping[str, Any]
    epochs: int
    seconds: float
    receipt: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = "all epochs done"
