"""RunConfig: one typed object from YAML to model to file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

import yaml
from pydantic import BaseModel, SerializeAsAny, field_validator, model_validator

from adiabat.architectures import METHODS, method
from adiabat.errors import ConfigError, did_you_mean
from adiabat.fit.gradient import GradientConfig
from adiabat.fit.kernel import KernelConfig
from adiabat.fit.linear import LinearConfig
from adiabat.fit.projection import ProjectionConfig
from adiabat.potential import ArchitectureConfig
from adiabat.settings import Kinds, Settings

FITTERS: dict[str, type[Settings]] = {
    "gradient": GradientConfig,
    "kernel": KernelConfig,
    "linear": LinearConfig,
    "projection": ProjectionConfig,
}


class SplitConfig(Settings):
    """How one file is divided."""

    method: Literal["random", "group", "composition", "blocks", "farthest"] = "random"
    """random; group (frames of equal `key` together); composition; blocks (runs in time); farthest (most diverse)."""
    train: float | int | None = 0.8
    """Training part: a fraction, a number of frames, or null for what is left."""
    valid: float | int | None = 0.1
    """Validation part."""
    test: float | int | None = 0.1
    """Test part."""
    key: str | None = None
    """Frame info that groups frames, for `group`."""
    blocks: int = 10
    """Number of runs of consecutive frames, for `blocks`."""
    gap: int = 0
    """Frames left out at each border between parts, for `blocks`."""
    seed: int = 0
    """Seed of the random numbers."""

    @model_validator(mode="after")
    def _effective(self) -> SplitConfig:
        fields = type(self).model_fields
        for name, owner in (("key", "group"), ("blocks", "blocks"), ("gap", "blocks")):
            if self.method != owner and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect with method {self.method}: it belongs to {owner}")
        return self


class DataConfig(Settings):
    """Where the data are and what in them is used."""

    file: str | None = None
    """One file or folder that is split; or give `train`, `valid` and `test`."""
    train: str | None = None
    """File of training frames."""
    valid: str | None = None
    """File of validation frames."""
    test: str | None = None
    """File of test frames; without one, no test errors are reported."""
    index: str | None = None
    """Slice of each file to use, such as ':1000'."""
    keys: dict[str, str] = {}
    """Label to the key it has in the file, such as {energy: REF_energy}; found automatically where not given."""
    units: dict[str, str] = {}
    """Units of the file where they are not eV and Å, such as {energy: kcal/mol}."""
    split: SplitConfig = SplitConfig()
    """How `file` is divided."""
    reference_energies: Literal["auto", "isolated atoms", "least squares", "none"] | dict[str, float] = "auto"
    """Energies of the elements to subtract: from isolated atoms, least squares, or given in eV."""
    shift: float | Literal["auto"] = "auto"
    """Energy per atom added to the reference energies, eV; auto takes the mean of the training frames above them,
    0 keeps the energies of isolated atoms exact."""
    scale: float | Literal["auto"] = "auto"
    """Energy unit of the model's own output, eV; auto takes the root-mean-square force of the training frames,
    or 1 where the model has physical terms."""
    isolated_atoms: Literal["reference", "train"] = "reference"
    """Whether frames of one isolated atom serve for reference energies only or are trained on too."""
    level_of_theory: str = ""
    """Stated in the checkpoint."""
    license: str = ""
    """License of the data, stated in the checkpoint."""

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.file is None) == (self.train is None):
            raise ValueError("give either data.file, which is split, or data.train and data.valid")
        if self.train is not None and self.valid is None:
            raise ValueError("data.train needs data.valid beside it: validation frames choose the best epoch")
        if self.train is None and (self.valid is not None or self.test is not None):
            raise ValueError("data.valid and data.test have no effect beside data.file, which is split")
        if self.train is not None and self.split != SplitConfig():
            raise ValueError("data.split has no effect beside data.train: give data.file to be split")
        return self


class RunConfig(Settings):
    """The whole of a training run."""

    data: DataConfig
    """Data."""
    model: SerializeAsAny[ArchitectureConfig]
    """Architecture: `method` and its options."""
    baseline: SerializeAsAny[ArchitectureConfig] | None = None
    """A classical potential, `method` and its options, that is added to the model and never changed: the model learns
    what it leaves of the labels."""
    fit: SerializeAsAny[Settings]
    """Options of the fitter that serves the method."""
    seed: int = 0
    """Seed of initial weights and batch order."""
    dtype: Literal["float32", "float64"] = "float32"
    """Number type of the model; energies are summed in float64 either way, kernel models always use float64."""
    device: str = "cpu"
    """Device, such as cpu or cuda."""
    output: str = "run"
    """Folder for model.adiabat, metrics.json, log.jsonl, receipt.json and config.yaml."""

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        model = data.get("model")
        name = model.get("method") if isinstance(model, Mapping) else getattr(model, "method", None)
        if name is None:
            raise ValueError(f"model.method is missing: choose of {', '.join(METHODS)}")
        page = method(name)
        if isinstance(model, Mapping):
            model = data["model"] = section("model", page.config_class, model)
        if data.get("baseline") is not None:
            data["baseline"] = _baseline(data["baseline"])
        fit = data.get("fit") or {}
        if isinstance(fit, Mapping):
            data["fit"] = section("fit", FITTERS[page.potential_class.fitter_for(model)], merged(page.fit, fit))
        return data

    @field_validator("fit")
    @classmethod
    def _consistent(cls, fit: Settings) -> Settings:
        check = getattr(fit, "check", None)
        if check is not None:
            check()
        return fit

    @model_validator(mode="after")
    def _used(self) -> RunConfig:
        fitter = method(self.model.method).potential_class.fitter_for(self.model)
        if fitter in ("linear", "projection") and self.data.scale != "auto":
            raise ValueError(f"data.scale has no effect on {self.model.method}, whose weights are in eV")
        if fitter == "kernel":
            for name in ("reference_energies", "shift", "scale"):
                if getattr(self.data, name) != "auto":
                    raise ValueError(
                        f"data.{name} has no effect on {self.model.method}, which finds its own constant"
                    )
        if self.baseline is not None and not method(self.model.method).potential_class.local:
            raise ValueError(
                f"{self.model.method} is a global model without a list of pairs, so it cannot have a baseline"
            )
        return self


def _baseline(given: Any) -> Any:
    """The configuration of a classical potential."""
    if not isinstance(given, Mapping):
        return given
    known = [name for name, page in METHODS.items() if page.classical]
    name = str(given.get("method"))
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"baseline.method '{name}' is not a classical potential, which needs no fit.{hint}")
    return section("baseline", method(name).config_class, given)


def section(name: str, kind: type[Settings], data: Mapping[str, Any]) -> Settings:
    """One section of a run. Raises ConfigError that names the section."""
    try:
        return kind.parse(dict(data))
    except ConfigError as error:
        raise ConfigError(f"in {name}: {error}") from None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, the second over the first."""
    out = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if both else value
    return out


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a YAML file, applies `key=value` overrides (dotted keys, YAML values) and checks everything.

    Raises ConfigError in a sentence that names the file, the key and the likely fix.
    """
    return RunConfig.parse(read_options(path, overrides))


def read_options(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The options of a YAML file with `key=value` overrides, unchecked."""
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"there is no configuration file {path}: `adiabat template METHOD` writes one.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, not a mapping of options.")
    for text in overrides:
        data = merged(data, override(text))
    return data


def override(text: str) -> dict[str, Any]:
    """The option that `key=value` text sets, nested by its dots. Raises ConfigError for other text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"'{text}' is not an override: write key=value, such as fit.epochs=100.")
    nested: Any = yaml.safe_load(value)
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested


def schema(name: str | None = None) -> dict[str, Any]:
    """JSON schema of a run with this method, or with any."""
    pages = [method(name)] if name is not None else list(METHODS.values())
    out = RunConfig.model_json_schema()
    definitions = out.setdefault("$defs", {})
    for field in ("model", "fit"):
        fitters = {FITTERS[name] for p in pages for name in p.potential_class.fitters()}
        kinds = {p.config_class for p in pages} if field == "model" else fitters
        choices = []
        for kind in sorted(kinds, key=lambda k: k.__name__):
            own = kind.model_json_schema()
            definitions.update(own.pop("$defs", {}))
            choices.append(own)
        out["properties"][field] = choices[0] if len(choices) == 1 else {"anyOf": choices}
    required = set(out.get("required", ())) - {"fit"}
    return out | {"required": sorted(required)}


def template(name: str, file: str = "data.extxyz", overrides: Sequence[str] = ()) -> str:
    """A commented YAML of a run with this method: every option with its default and help text.

    `overrides` such as `model.descriptor.kind=soap` are applied first: a section shows the options of its kind.
    """
    page = method(name)
    data: dict[str, Any] = {"data": {"file": file}, "model": {"method": name}, "output": f"run-{name}"}
    for text in overrides:
        data = merged(data, override(text))
    run = RunConfig.parse(data)
    return f"# {page.title} (doi:{page.paper})\n" + commented(run)


def commented(settings: BaseModel) -> str:
    """Every option as YAML, each under its help text."""
    return "\n".join(_lines(settings, 0)) + "\n"


def _lines(settings: BaseModel, depth: int) -> list[str]:
    lines, pad = [], "  " * depth
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        if info.description:
            lines.append(f"{pad}# {' '.join(info.description.split())}")
        for kinds in (extra for extra in info.metadata if isinstance(extra, Kinds)):
            lines += (f"{pad}# {line}" for line in wrap(f"kind is one of {', '.join(kinds.names)}.", 100))
        if isinstance(value, BaseModel):
            lines.append(f"{pad}{name}:")
            lines += _lines(value, depth + 1) or [f"{pad}  {{}}"]
        else:
            lines.append(f"{pad}{name}: {json.dumps(_plain(value), ensure_ascii=False)}")
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def to_yaml(run: BaseModel) -> str:
    """The complete configuration, defaults included, as YAML that gives the same run."""
    return yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
