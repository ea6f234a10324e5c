"""Ground-state electron configurations of the free atoms, as features of the elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adiabat.errors import ConfigError
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.residual import orthogonal

LAST = 86
"""Largest atomic number of the table, radon."""
# in the order in which they fill up, with what they hold
_SHELLS = {
    "1s": 2, "2s": 2, "2p": 6, "3s": 2, "3p": 6, "4s": 2, "3d": 10, "4p": 6, "5s": 2, "4d": 10, "5p": 6, "6s": 2,
    "4f": 14, "5d": 10, "6p": 6,
}  # fmt: skip
# electrons that another subshell takes than the rule says (NIST Atomic Spectra Database, doi:10.18434/T4W30F)
_EXCEPTIONS: Mapping[int, Mapping[str, int]] = {
    24: {"4s": -1, "3d": 1}, 29: {"4s": -1, "3d": 1}, 41: {"5s": -1, "4d": 1}, 42: {"5s": -1, "4d": 1},
    44: {"5s": -1, "4d": 1}, 45: {"5s": -1, "4d": 1}, 46: {"5s": -2, "4d": 2}, 47: {"5s": -1, "4d": 1},
    57: {"4f": -1, "5d": 1}, 58: {"4f": -1, "5d": 1}, 64: {"4f": -1, "5d": 1}, 78: {"6s": -1, "5d": 1},
    79: {"6s": -1, "5d": 1},
}  # fmt: skip
_NOBLE = (2, 10, 18, 36, 54)


def electron_configurations() -> np.ndarray:
    """Atomic number, electrons in each subshell, and s, p, d and f electrons outside the noble-gas core `[87, 20]`.

    Rows are atomic numbers from 0 to 86. Every column is divided by its largest value, as in
    SpookyNet (doi:10.1038/s41467-021-27504-0, eq. 9).
    """
    rows = np.zeros((LAST + 1, 5 + len(_SHELLS)))
    letters = np.array([list("spdf").index(name[1]) for name in _SHELLS])
    for z in range(1, LAST + 1):
        electrons = _electrons(z)
        core = max((_electrons(n) for n in _NOBLE if n < z), key=np.sum, default=np.zeros_like(electrons))
        valence = np.bincount(letters, weights=electrons - core, minlength=4)
        rows[z] = np.concatenate([[z], electrons, valence])
    return rows / rows.max(axis=0)


def _electrons(number: int) -> np.ndarray:
    """Electrons in each subshell of one element."""
    filled, left = {}, number
    for name, room in _SHELLS.items():
        filled[name] = min(room, left)
        left -= filled[name]
    for name, change in _EXCEPTIONS.get(number, {}).items():
        filled[name] += change
    return np.array(list(filled.values()))


class ConfigurationEmbedding(nn.Module):
    """M d_Z + ẽ_Z: features of elements from the electron configuration d_Z, and free ones (same paper, eq. 9).

    Args:
        elements: atomic numbers, ascending.
        channels: features.

    Raises:
        ConfigError: an element beyond radon.
    """

    configurations: Tensor

    def __init__(self, elements: Sequence[int], channels: int):
        super().__init__()
        if elements[-1] > LAST:
            raise ConfigError(
                f"electron configurations are known up to number {LAST}, not for {elements[-1]}: leave it out."
            )
        self.free = ElementEmbedding(elements, channels)
        nn.init.uniform_(self.free.table, -(3.0**0.5), 3.0**0.5)
        rows = torch.as_tensor(electron_configurations()[list(elements)]).to(torch.get_default_dtype())
        self.register_buffer("configurations", rows)
        self.linear = orthogonal(rows.shape[1], channels, bias=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """`[atoms, channels]` of atomic numbers `[atoms]`."""
        table = self.free.table + self.linear(self.configurations)
        return table.index_select(0, self.free.row[numbers])
