"""Options of fine-tuning and distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from adiabat.config import DataConfig, RunConfig, commented, merged, section
from adiabat.fit.gradient import GradientConfig
from adiabat.fit.low_rank import LowRankConfig
from adiabat.settings import Settings

GENERATED = "generated"

# how far the weights may go; the fit's own options come over them
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "epochs": 12,
        "batch_size": 1,
        "loss": {"energy": {"weight": 1.0, "kind": "mae"}, "forces": {"weight": 20.0, "kind": "mae"}},
        "optimizer": {"kind": "muon", "rate": 0.01, "betas": (0.9, 0.99)},
        "schedule": {"kind": "cosine"},
    },
    "gentle": {"epochs": 50, "optimizer": {"rate": 1e-4}, "schedule": {"kind": "cosine"}},
    "standard": {"epochs": 100, "optimizer": {"rate": 5e-4}, "schedule": {"kind": "cosine"}},
    "strong": {"epochs": 200, "optimizer": {"rate": 2e-3}, "schedule": {"kind": "cosine"}},
}


class GenerateConfig(Settings):
    """Structures made from given ones and labeled by a model."""

    rattles: int = Field(default=5, ge=0)
    """Copies of each structure with displaced atoms."""
    rattle: float = Field(default=0.15, gt=0.0)
    """Largest standard deviation of a displacement, Å; the copies go up to it in equal steps."""
    strains: int = Field(default=3, ge=0)
    """Copies of each periodic structure with a strained cell, rattled a little too."""
    strain: float = Field(default=0.04, gt=0.0, lt=0.5)
    """Largest component of a strain."""
    temperatures: tuple[float, ...] = (300.0, 1000.0)
    """Temperatures of Langevin dynamics with the base model from each structure, K; empty for none."""
    frames: int = Field(default=3, ge=1)
    """Frames taken from each of these runs, at equal intervals."""
    femtoseconds: float = Field(default=100.0, gt=0.0)
    """Length of each of these runs, fs."""
    timestep: float = Field(default=1.0, gt=0.0)
    """Time step of these runs, fs."""
    dimers: int = Field(default=0, ge=0)
    """Distances at which two atoms alone are labeled, for every pair of the structures' elements, evenly from half
    the sum of the covalent radii to the cutoff, 6 Å at most: keeps walls in replay and gives walls to students."""
    max_force: float = Field(default=30.0, gt=0.0)
    """Other structures with a larger force are left out, eV/Å: no model is to be believed there."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if not (self.rattles or self.strains or self.temperatures or self.dimers):
            raise ValueError(
                "rattles, strains and dimers are 0 and temperatures is empty, so nothing would be generated"
            )
        return self


class ReplayConfig(Settings):
    """Frames of the base model's own set among those of the new one."""

    data: str
    """File of labeled frames of the base model's level of theory, or `generated`: structures made from the new
    training frames and labeled by the base model."""
    keys: dict[str, str] = {}
    """Label to the key it has in the file; found automatically where not given."""
    index: str | None = None
    """Slice of the file to use, such as ':1000'."""
    fraction: float = 0.5
    """Share of replayed frames in an epoch, above 0 and below 1."""
    weight: float = 1.0
    """Weight of a replayed frame in the loss; new frames weigh 1."""
    heads: tuple[str, ...] = ()
    """Names of parameters, with * for any text, of which replayed frames keep a copy of their own, such as those of
    the last readout: two heads on one body. Empty: one head for both."""
    held_out: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the base frames that is never replayed and serves for the forgetting report."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if not 0.0 < self.fraction < 1.0:
            raise ValueError(
                f"fraction = {self.fraction:g} must be above 0 and below 1: change it, or leave replay out"
            )
        if not self.weight > 0.0:
            raise ValueError(f"weight = {self.weight:g} would give replay no effect: raise it, or leave replay out")
        for name in ("keys", "index"):
            if self.data == GENERATED and getattr(self, name):
                raise ValueError(f"{name} has no effect on generated frames: leave it out, or name a file as data")
        return self


class FinetuneConfig(Settings):
    """What of the base model is changed, and what keeps it from forgetting."""

    preset: Literal["quick", "gentle", "standard", "strong"] = "standard"
    """Learning rate and epochs: gentle (1e-4, 50), standard (5e-4, 100) or strong (2e-3, 200); or quick, for MACE,
    NequIP and SevenNet: 12 epochs of one frame a step with Muon (0.01) and absolute errors; `fit` overrides it."""
    freeze: tuple[str, ...] = ()
    """Names of parameters that are not trained, with * for any text; every pattern must match one."""
    lora: LowRankConfig | None = None
    """Train low-rank updates of linear maps alone, such as {rank: 8, alpha: 16}; null for all parameters."""
    replay: ReplayConfig | None = None
    """Mix in frames of the base model's own set; null for none."""
    reference: Literal["keep", "refit"] = "refit"
    """Reference energies of the elements: keep the base model's, or refit them to the new level of theory."""
    generate: GenerateConfig = GenerateConfig()
    """How structures are made for generated replay, and for the forgetting report where there is no base set."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.lora is not None and self.freeze:
            raise ValueError(
                "freeze has no effect beside lora, which trains nothing but its updates: give one of them"
            )
        if self.generate.dimers and (self.replay is None or self.replay.data != GENERATED):
            raise ValueError(
                f"generate.dimers = {self.generate.dimers} has no effect without generated replay, for the report has"
                " curves of its own: set replay.data to generated, or dimers to 0"
            )
        return self


class FinetuneRun(Settings):
    """The whole of a fine-tuning; the model itself is the base's."""

    data: DataConfig
    """New data."""
    finetune: FinetuneConfig = FinetuneConfig()
    """What is changed, and what keeps the model from forgetting."""
    fit: GradientConfig
    """Options of the gradient fitter, over those of the preset."""
    seed: int = 0
    """Seed of the batch order, of low-rank updates and of generated structures."""
    dtype: Literal["base", "float32", "float64"] = "base"
    """Number type of the model; energies are summed in float64 either way."""
    device: str = "cpu"
    """Device, such as cpu or cuda."""
    output: str = "run"
    """Folder for model.adiabat, metrics.json, forgetting.json, report.html, receipt.json and log.jsonl."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        if "model" in data:
            raise ValueError("a fine-tuning has no model section: the base model brings its own architecture")
        wanted, fit = data.get("finetune") or {}, data.get("fit") or {}
        if isinstance(wanted, Mapping):
            wanted = data["finetune"] = section("finetune", FinetuneConfig, wanted)
        if isinstance(fit, Mapping) and isinstance(wanted, FinetuneConfig):
            data["fit"] = section("fit", GradientConfig, merged(PRESETS[wanted.preset], _weights_named(fit)))
        return data

    @model_validator(mode="after")
    def _used(self) -> Self:
        self.fit.check()
        for name in ("reference_energies", "shift", "scale"):
            if getattr(self.data, name) != type(self.data).model_fields[name].default:
                raise ValueError(
                    f"data.{name} has no effect: the base model brings its own scale, finetune.reference says whether"
                    " its reference energies are refitted"
                )
        return self


def _weights_named(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The options with plain numbers of `loss` as weights, so that a preset's kinds of errors stay."""
    loss = fit.get("loss")
    if not isinstance(loss, Mapping):
        return dict(fit)
    named = {name: {"weight": value} if isinstance(value, int | float) else value for name, value in loss.items()}
    return {**fit, "loss": named}


def template_finetune(file: str = "data.extxyz") -> str:
    """A commented YAML of a fine-tuning with generated replay: every option with its default and help text."""
    options = {"replay": {"data": GENERATED}, "lora": None}
    run = FinetuneRun.parse({"data": {"file": file}, "finetune": options, "output": "run-tuned"})
    return f"# fine-tuning: adiabat finetune BASE FILE\n{commented(run)}"


class DistillRun(RunConfig):
    """A training run whose data are structures, from which more are made and labeled by a base model."""

    generate: GenerateConfig = GenerateConfig(rattles=20, strains=10)
    """How structures are made from those of `data.file`."""

    @model_validator(mode="after")
    def _labels_of_base(self) -> Self:
        if self.data.file is None:
            raise ValueError("distillation makes and splits its own frames: give data.file with structures")
        for name in ("keys", "units"):
            if getattr(self.data, name):
                raise ValueError(f"data.{name} has no effect: all labels come from the base model")
        return self


def joined_licenses(*licenses: str) -> str:
    """What a model is under that was made from several things: every license there is, once."""
    return "; ".join(dict.fromkeys(license for license in licenses if license))
