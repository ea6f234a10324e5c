"""Fingerprints of crystals: distances between two elements beside those of a gas of the same density, and angles.

M. Valle and A. R. Oganov, Acta Cryst. A 66, 507 (2010), doi:10.1107/S0108767310026395; A. R. Oganov and M. Valle,
J. Chem. Phys. 130, 104504 (2009), doi:10.1063/1.3079326; program whose numbers it gives: DScribe,
doi:10.1063/5.0151031.

| paper | here | shape, unit |
|---|---|---|
| R_ij | a term of distances, weighted by 1/R² | [pairs], Å |
| N_A N_B / V, 4π | normalization valle_oganov | [systems, blocks], Å⁻³ |
| Δ, δ(R − R_ij) | bins, Gaussians of `width` | [points] |
| F_AB(R) | a block of the row | [pairs of elements, points] |

Departures from the paper: 1 is subtracted on request alone (`centered`), as DScribe never does. Angles are those of
DScribe, weighted by a smooth cutoff and divided by N_A N_B N_C / V: unlike distances they depend on how many
primitive cells a cell has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field
from torch import Tensor

from adiabat.descriptors.distributions import Falloff, Term
from adiabat.descriptors.mbtr import MBTR
from adiabat.descriptors.structure import StructureConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph


class ValleOganovConfig(StructureConfig):
    """Options of the fingerprints."""

    kind: Literal["valle_oganov"] = "valle_oganov"
    """Name of the descriptor."""
    quantity: Literal["distance", "angle"] = "distance"
    """What is counted."""
    cutoff: float = Field(default=10.0, gt=0.0)
    """Where distances, or both legs of an angle, end, Å."""
    points: int = Field(default=100, ge=2)
    """Bins from 0 to the cutoff, or to 180°."""
    width: float = Field(default=0.1, gt=0.0)
    """Standard deviation of the Gaussians, Å or degrees."""
    centered: bool = False
    """Subtract 1, what a gas would have, so that distances far away add nothing (distance)."""

    def build(self, elements: Iterable[int]) -> ValleOganov:
        return ValleOganov(self, elements)


class ValleOganov(MBTR):
    """F_AB(R) for every pair of elements, or the same of angles for every three."""

    def __init__(self, config: ValleOganovConfig, elements: Iterable[int]):
        angles = config.quantity == "angle"
        if angles and config.centered:
            raise ConfigError("centered is of distances: leave it out with quantity angle.")
        term = Term(
            geometry=config.quantity,
            start=0.0,
            stop=180.0 if angles else config.cutoff,
            points=config.points,
            width=config.width,
            weight=Falloff(
                form="smooth_cutoff" if angles else "inverse_square", cutoff=config.cutoff, ending="sharp"
            ),
        )
        super().__init__(elements, (term,), config.cutoff, "valle_oganov")
        self.centered = config.centered

    def forward(self, graph: Graph) -> Tensor:
        found = super().forward(graph)
        return found - 1.0 if self.centered else found
