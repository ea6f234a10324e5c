"""Parameters that differ from the page's by their names alone, copied under a table of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.potential import Potential

Names = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
"""Patterns of a parameter's name on the page, applied one after the other, and what the program calls it."""

_BY_ELEMENT = ("embedding.table", "scales")


def check_options(options: Mapping[str, Any], known: Mapping[str, Any], page: str) -> None:
    """Raises CheckpointError if an option differs from what a page has; absent ones are the program's defaults."""
    for name, value in known.items():
        if options.get(name, value) != value:
            raise CheckpointError(
                f"{name} {options[name]!r} is not an option of the page {page}, which has {value!r} alone."
            )


def fill(model: Potential, weights: Mapping[str, Tensor], names: Names, rows: Sequence[int]) -> None:
    """Copies a program's tensors, with or without the prefix `model.`, into the page's.

    Args:
        model: in float64.
        weights: the program's tensors by its names.
        names: of the page's parameters in the program.
        rows: where the program has the model's elements in tables of a row for each (`embedding.table`, `scales`).

    Raises:
        CheckpointError: a parameter is missing or has another shape.
    """
    arrays = {}
    for own, tensor in model.state_dict().items():
        theirs = own
        for pattern, replacement in names:
            theirs = re.sub(pattern, replacement, theirs)
        value = weights.get(f"model.{theirs}", weights.get(theirs))
        if value is None:
            raise CheckpointError(
                f"the weights have no '{theirs}', which {own} needs: is it a {type(model).__name__} of this program?"
            )
        value = value.double()[list(rows)] if own in _BY_ELEMENT else value.double()
        if value.shape != tensor.shape:
            raise CheckpointError(
                f"'{theirs}' has shape {tuple(value.shape)} where {tuple(tensor.shape)} is needed:"
                " the options do not fit the weights."
            )
        arrays[own] = value
    with torch.no_grad():
        model.load_state_dict(arrays)
