"""Every file ASE reads: its databases, VASP, CP2K, Quantum ESPRESSO and many more.

Calculator results join the per-frame and per-atom values under ASE's names (energy, forces, stress ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ase
import ase.db
import ase.io
import numpy as np

from adiabat.data.raw import Raw
from adiabat.errors import DataError

DATABASES = (".db", ".json", ".sqlite")
_BUILT_IN = frozenset({"numbers", "positions", "momenta", "initial_magmoms", "tags", "masses"})


def from_atoms(atoms: ase.Atoms) -> Raw:
    """One ASE structure; what its calculator already knows is taken, nothing is computed."""
    info: dict[str, Any] = dict(atoms.info)
    arrays = {k: np.asarray(v) for k, v in atoms.arrays.items() if k not in _BUILT_IN}
    results = {} if atoms.calc is None else getattr(atoms.calc, "results", {})
    for key, value in results.items():
        if value is None:
            continue
        per_atom = np.ndim(value) > 0 and key in ("forces", "charges", "magmoms", "energies", "stresses")
        (arrays if per_atom else info).setdefault(key, value)
    return Raw(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, info, arrays)


def from_many(structures: Iterable[ase.Atoms]) -> Iterator[Raw]:
    """ASE structures held in memory."""
    return (from_atoms(atoms) for atoms in structures)


def read(path: Path) -> Iterator[Raw]:
    """Yields what ASE finds in a file; raises DataError with ASE's reason if it cannot read it."""
    index = 0
    try:
        if path.suffix.lower() in DATABASES:
            yield from _database(path)
            return
        for atoms in ase.io.iread(path, ":"):
            yield from_atoms(atoms)
            index += 1
    except DataError:
        raise
    except Exception as error:  # ASE's readers raise whatever their parsers do
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"ASE cannot read {path} beyond frame {index} ({reason}): the file is truncated, or of a type"
            " that neither adiabat nor ASE knows."
        ) from error


def _database(path: Path) -> Iterator[Raw]:
    for row in ase.db.connect(path).select():
        raw = from_atoms(row.toatoms())
        for key, value in {**row.key_value_pairs, **row.data}.items():
            per_atom = np.ndim(value) > 0 and len(value) == len(raw.numbers)
            (raw.arrays if per_atom else raw.info).setdefault(key, value)
        yield raw
