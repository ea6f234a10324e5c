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
_BEYOND = {"7s": 2, "5f": 14, "6d": 10, "7p": 6}
_EXCEPTIONS_BEYOND: Mapping[int, Mapping[str, int]] = {  # the last two are DeePMD-kit's, predictions
    89: {"5f": -1, "6d": 1}, 90: {"5f": -2, "6d": 2}, 91: {"5f": -1, "6d": 1}, 92: {"5f": -1, "6d": 1},
    93: {"5f": -1, "6d": 1}, 96: {"5f": -1, "6d": 1}, 110: {"7s": -1, "6d": 1}, 111: {"7s": -1, "6d": 1},
}  # fmt: skip
_LETTERS = "spdf"


def electron_configurations() -> np.ndarray:
    """Atomic number, electrons in each subshell, and s, p, d and f electrons outside the noble-gas core `[87, 20]`.

    Rows are atomic numbers from 0 to 86. Every column is divided by its largest value, as in
    SpookyNet (doi:10.1038/s41467-021-27504-0, eq. 9).
    """
    rows = np.zeros((LAST + 1, 5 + len(_SHELLS)))
    letters = np.array([_LETTERS.index(name[1]) for name in _SHELLS])
    for z in range(1, LAST + 1):
        electrons = _electrons(z)
        core = max((_electrons(n) for n in _NOBLE if n < z), key=np.sum, default=np.zeros_like(electrons))
        valence = np.bincount(letters, weights=electrons - core, minlength=4)
        rows[z] = np.concatenate([[z], electrons, valence])
    return rows / rows.max(axis=0)


def spin_orbitals() -> np.ndarray:
    """Spin orbitals of each element, 1/√118 where there is an electron and −1/√118 where there is none `[119, 118]`.

    Rows are atomic numbers from 0 to 118, columns the subshells from 1s to 7p by their two quantum numbers, each of
    2l + 1 orbitals with both spins; Hund's rule fills them, paired electrons first, as in DeePMD-kit
    (doi:10.1063/5.0155600). Row 0 has no electron.
    """
    names = sorted({**_SHELLS, **_BEYOND}, key=lambda name: (name[0], _LETTERS.index(name[1])))
    rows = []
    for z in range(119):
        row: list[int] = []
        filled = _filled(min(z, LAST), _SHELLS, _EXCEPTIONS) | _filled(max(z - LAST, 0), _BEYOND, {})
        for name, change in _EXCEPTIONS_BEYOND.get(z, {}).items():
            filled[name] += change
        for name in names:
            orbitals = 2 * _LETTERS.index(name[1]) + 1
            pairs = max(filled[name] - orbitals, 0)
            single = filled[name] - 2 * pairs
            row += [1, 1] * pairs + [-1, 1] * single + [-1, -1] * (orbitals - pairs - single)
        rows.append(row)
    return np.array(rows) / len(rows[0]) ** 0.5


def _electrons(number: int) -> np.ndarray:
    """Electrons in each subshell of one element."""
    return np.array(list(_filled(number, _SHELLS, _EXCEPTIONS).values()))


def _filled(electrons: int, shells: Mapping[str, int], exceptions: Mapping[int, Mapping[str, int]]) -> dict[str, int]:
    """Electrons in each of the subshells."""
    filled, left = {}, electrons
    for name, room in shells.items():
        filled[name] = min(room, left)
        left -= filled[name]
    for name, change in exceptions.get(electrons, {}).items():
        filled[name] += change
    return filled


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
