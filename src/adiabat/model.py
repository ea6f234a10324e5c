"""Model: a trained potential with what is known of it, as users hold it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import torch

from adiabat import checkpoint
from adiabat.architectures import METHODS
from adiabat.batched import PER_SYSTEM, evaluate_many
from adiabat.compile import Frozen
from adiabat.data.info import DataInfo
from adiabat.elements import number
from adiabat.engines.ase import AdiabatCalculator
from adiabat.errors import CheckpointError, ConfigError, InputError, did_you_mean
from adiabat.evaluate import derive
from adiabat.geometry import Graph, System
from adiabat.geometry.moving import SKIN
from adiabat.potential import Potential, Prediction
from adiabat.pretrained.catalogue import catalogue, find
from adiabat.pretrained.weights import get

# given without asking by models that have them
EXTRA = ("charges", "dipole", "polarizability", "magnetic_moments", "property", "uncertainty")
MANY = 50  # structures from which on making the kernels' tables pays


@dataclass(frozen=True)
class Model:
    """What `adiabat.load` returns.

    Attributes:
        potential: the model itself.
        info: elements, reference energies, level of theory, hashes of the data it was made from.
        metrics: test errors recorded at training.
        source: file it was read from.
    """

    potential: Potential
    info: DataInfo
    metrics: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None

    def predict(
        self, structures: ase.Atoms | Sequence[ase.Atoms], want: Sequence[str] | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Energies (eV), forces (eV/Å) and whatever else `want` names, as numpy arrays.

        Stress (eV/Å³, 3×3, tension positive) is added by default where the structure is periodic and the model
        local, and so are charges (e), dipoles (e·Å), magnetic moments (μB) and uncertainties (eV) of models that have
        them. One structure gives one dictionary, a sequence gives a list in the same order, evaluated in batches as
        large as memory allows (`adiabat.batched`).
        """
        single = isinstance(structures, ase.Atoms)
        atoms = [structures] if single else list(structures)
        if not atoms:
            raise InputError("no structures were given: pass ASE Atoms or a list of them.")
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, one in enumerate(atoms):
            stress = ("stress",) if self.potential.local and one.pbc.any() else ()
            own = ("energy", "forces", *stress) if self.potential.gives_energy else ()
            quantities = own if want is None else tuple(want)
            groups.setdefault(quantities, []).append(index)
        results: list[dict[str, Any]] = [{} for _ in atoms]
        for quantities, indices in groups.items():
            systems = (System.from_ase(atoms[k]) for k in indices)
            run = self._fast(quantities) if len(indices) >= MANY else None
            predictions = evaluate_many(self.potential, systems, quantities, run=run, names=indices)
            for index, prediction in zip(indices, predictions, strict=True):
                more = [n for n in EXTRA if want is None and getattr(prediction, n) is not None]
                results[index] = _row(prediction, [*quantities, *more])
        return results[0] if single else results

    def _fast(self, want: Sequence[str]) -> Callable[[Graph], Prediction] | None:
        """Evaluation by the method's kernels, or None if it has none or they do not serve here."""
        frozen = Frozen(self.potential, patience=None)
        if self.potential.device.type != "cpu" or frozen.model() is None:
            return None
        return lambda graph: frozen.evaluate(graph, want) or derive(self.potential, graph, want)

    def calculator(self, skin: float = SKIN) -> AdiabatCalculator:
        """An ASE calculator; `skin` (Å) is the slack of its neighbor list."""
        return AdiabatCalculator(self.potential, skin)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Model:
        """The same model on another device or with another floating-point type (changed in place)."""
        self.potential.to(device=device, dtype=dtype)
        return self

    def save(self, path: str | Path) -> Path:
        """Writes a checkpoint; see `adiabat.checkpoint.save`."""
        checkpoint.save(Path(path), self.potential, self.info, metrics=dict(self.metrics))
        return Path(path)


def _row(prediction: Prediction, want: Sequence[str]) -> dict[str, Any]:
    """What was wanted of one structure, as numpy arrays."""
    row: dict[str, Any] = {}
    for name in want:
        value = getattr(prediction, name).double().cpu().numpy()
        row[name] = value[0] if name in PER_SYSTEM else value
    energy = float(prediction.energy[0])
    if not math.isnan(energy) or "energy" in want:
        row["energy"] = energy
    return row


def load(path: str | Path) -> Model:
    """Reads a checkpoint written by adiabat, or published weights by their name in the catalogue.

    Weights that are not on this machine are downloaded; their license is shown on standard error. Nothing in a file
    is executed.

    Raises:
        CheckpointError: the file is missing, damaged, foreign or from a newer version; the weights cannot be had.
        CapabilityError: adiabat does not read these weights yet.
    """
    path = Path(path)
    if not path.exists():
        if find(str(path)) is None:
            raise CheckpointError(_neither(str(path)))
        weights = get(str(path), lambda sentence: print(sentence, file=sys.stderr))
        weights.potential.eval()
        return Model(weights.potential, weights.info)
    loaded = checkpoint.load(path)
    loaded.potential.eval()
    return Model(loaded.potential, loaded.info, loaded.metrics, path)


def classical(name: str, elements: Iterable[str | int] = (), **options: Any) -> Model:
    """A classical potential, which needs no fit: `classical("emt", ["Cu"])`.

    Args:
        name: lennard_jones, morse, zbl, eam, emt, tersoff or stillinger_weber.
        elements: symbols or atomic numbers; by default all of the file or the entries among the options.
        options: of its page; files of LAMMPS as `file`.

    Raises ConfigError for a name that is no classical potential, for options it does not have, and without elements.
    """
    known = [one for one, page in METHODS.items() if page.classical]
    if name not in known:
        raise ConfigError(f"'{name}' is not a classical potential.{did_you_mean(name, known)}")
    page = METHODS[name]
    config = page.config_class.parse(options)
    numbers = tuple(sorted({number(one) for one in elements} or page.potential_class.own_elements(config)))
    if not numbers:
        raise ConfigError(f"which elements {name} is for is not known from its options: name them.")
    potential = checkpoint.fresh(config, numbers).eval()
    return Model(potential, DataInfo(elements=numbers, source=f"classical potential {name}"))


def _neither(given: str) -> str:
    """Why `given` can not be loaded: no such file, and no such name."""
    hint = ""
    if "/" not in given and not given.endswith(".adiabat"):
        known = [name for one in catalogue().values() for name in (one.name, *one.aliases)]
        near = did_you_mean(given.lower(), known)
        hint = near if near.startswith(" Did") else " `adiabat weights list` shows the catalogue."
    return (
        f"there is no file {given}, and no published weights have that name: give the path of a .adiabat checkpoint"
        f" or a name of the catalogue.{hint}"
    )
