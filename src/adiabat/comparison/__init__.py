"""Comparison of methods on the same data: errors, fit time, cost per atom, and which of them nothing beats."""

from adiabat.comparison.options import Recipe
from adiabat.comparison.run import Row, compare

__all__ = ["Recipe", "Row", "compare"]
