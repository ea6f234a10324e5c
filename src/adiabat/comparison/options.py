"""The recipe of a comparison."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from adiabat.config import merged
from adiabat.settings import Settings


class SetConfig(Settings):
    """One data set."""

    train: str
    """File of training frames, a part of which validates."""
    test: str | None = None
    """File of test frames, read after the fits; or give `held_out`."""
    held_out: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Part of the frames of `train` that is drawn to test and neither fitted nor validated on."""
    stress: bool = True
    """Whether stresses are compared; false where their labels are doubtful."""
    level_of_theory: str = ""
    """Stated in the checkpoints."""

    @model_validator(mode="after")
    def _one_test(self) -> SetConfig:
        if (self.test is None) == (self.held_out is None):
            raise ValueError("give either test, a file, or held_out, the part of train that tests")
        return self


class Published(Settings):
    """A published potential. A plain text stands for its file."""

    file: str
    """File or folder as its program wrote it."""
    energy_unit: str | None = None
    """Where the file leaves it out, such as eV."""
    length_unit: str | None = None
    """Where the file leaves it out, such as Bohr."""
    repulsion: tuple[float, float] | None = None
    """Radii, Å, of a screened nuclear repulsion that was beneath the fit and is not in the file."""
    shifted: bool = False
    """Whether its energies count from other energies of the elements: those are found on the validation frames."""

    @model_validator(mode="before")
    @classmethod
    def _text(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data


class Recipe(Settings):
    """What is compared on what."""

    sets: dict[str, SetConfig] = Field(min_length=1)
    """Data sets by name."""
    models: dict[str, dict[str, Any]] = {}
    """Runs by name: `model`, and `fit`, `baseline` and `dtype` where the defaults do not serve; `frames`, how many of
    the training frames are drawn for a slow method. Under `sets`, changes of single options for single sets, such as
    {Cu: {model.cutoff: 4.8}}."""
    published: dict[str, dict[str, Published]] = {}
    """Set name to name and file of published potentials, evaluated on the same test frames."""
    valid: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Part of the training frames that chooses epochs and strengths."""
    seed: int = 0
    """Of the split and the fits."""
    cost_atoms: int = Field(default=500, ge=1)
    """Smallest number of atoms of the repeated test structure whose energy and forces are timed."""
    output: str = "comparison"
    """Folder of runs, comparison.json, comparison.md, comparison.html and comparison.svg."""

    def entry(self, method: str, name: str) -> dict[str, Any]:
        """What is run for a method on a set: its entry with the changes for this set."""
        entry = dict(self.models[method])
        changes = entry.pop("sets", {}).get(name, {})
        for key, value in changes.items():
            nested: Any = value
            for part in reversed(key.split(".")):
                nested = {part: nested}
            entry = merged(entry, nested)
        return entry

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if not self.models and not self.published:
            raise ValueError("models and published are both empty: name at least one method to compare")
        for name, run in self.models.items():
            unknown = set(run) - {"model", "fit", "baseline", "dtype", "frames", "sets"}
            if "model" not in run or unknown:
                what = f"has {', '.join(sorted(unknown))}" if unknown else "lacks model"
                raise ValueError(f"models.{name} {what}: it takes model, fit, baseline, dtype, frames and sets")
            strange = set(run.get("sets", {})) - set(self.sets)
            if strange:
                raise ValueError(f"models.{name}.sets names {', '.join(sorted(strange))}, which is not in sets")
        strange = set(self.published) - set(self.sets)
        if strange:
            raise ValueError(f"published names {', '.join(sorted(strange))}, which is not in sets")
        return self
