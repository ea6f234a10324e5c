"""Weighted atom-centered symmetry functions.

M. Gastegger, L. Schwiedrzik, M. Bittermann, F. Berzsenyi and P. Marquetand, J. Chem. Phys. 148, 241709 (2018),
doi:10.1063/1.5019667.

| paper | here | shape, unit |
|---|---|---|
| g(Z_j) | `weight` of a function without neighbors | [elements], 1 |
| h(Z_j, Z_k) | the product of two such | 1 |
| W^rad, W^ang (eqs. 8, 9) | kinds "G2" and "G4" without neighbors | [atoms, features], 1 |

Every function is one sum over all neighbors, each weighted by its element, instead of one for every element or pair
of elements: the number of features does not depend on that of elements. Weights are atomic numbers, as in the paper,
or ones, or any number for each element; with several (`weights: [one, number]`), each gives the functions once.

Departures from the paper: Gaussians lie on the even points of the recipe, in fractions of the cutoff, and each
unordered pair of neighbors counts once.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adiabat.descriptors.acsf import ACSFConfig
from adiabat.descriptors.symmetry_functions import WEIGHTED, Recipe


class WACSFConfig(ACSFConfig):
    """Options of a set of weighted symmetry functions."""

    kind: Literal["wacsf"] = "wacsf"  # type: ignore[assignment]
    """Name of the descriptor."""
    cutoff: float = Field(default=8.0, gt=0.0)
    """Radius of the environments, Å."""
    recipe: Recipe = WEIGHTED
    """Symmetry functions, once for each of its weights."""
