"""`adiabat train | validate | schema | template | evaluate | predict | models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from adiabat.errors import ConfigError

Overrides = Annotated[list[str] | None, typer.Argument(help="Options over the file's: fit.epochs=100 seed=1 ...")]
Keys = Annotated[str, typer.Option(help="Label keys of the file, such as energy=my_energy,forces=F.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.command("train")(train_command)
    app.command("validate")(validate_command)
    app.command("schema")(schema_command)
    app.command("template")(template_command)
    app.command("evaluate")(evaluate_command)
    app.command("predict")(predict_command)
    app.command("models")(models_command)


def train_command(
    config: Annotated[Path, typer.Argument(help="YAML file; `adiabat template METHOD` writes one.")],
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the interrupted run of the output folder.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew even if the output folder holds a run.")
    ] = False,
) -> None:
    """Train a model: writes model.adiabat, metrics.json, receipt.json, log.jsonl and config.yaml."""
    from adiabat.config import load_config
    from adiabat.training import train

    run = load_config(config, overrides or ())
    try:
        result = train(run, resume, overwrite=overwrite)
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; the last finished epoch is kept: adiabat train {config} --resume goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(
        f"{result.fit.stopped} ({result.fit.epochs} epochs, {result.fit.seconds:.0f} s); files in {result.folder}"
    )
    _show(result.metrics)


def validate_command(
    config: Annotated[Path, typer.Argument(help="YAML file.")],
    overrides: Overrides = None,
) -> None:
    """Check a configuration and its data without training."""
    from adiabat.config import load_config, to_yaml
    from adiabat.training import initialize, prepare

    run = load_config(config, overrides or ())
    prepared = prepare(run)
    potential = initialize(run, prepared)
    for line in prepared.remarks:
        typer.echo(line)
    parameters = sum(p.numel() for p in potential.parameters())
    typer.echo(
        f"{run.model.method}: {parameters} parameters, cutoff {potential.cutoff:g} Å. The configuration is valid:"
    )
    typer.echo(to_yaml(run))


def schema_command(
    method: Annotated[
        str | None, typer.Argument(help="Name of a method, see `adiabat models`; all methods without.")
    ] = None,
) -> None:
    """Print the JSON schema of a run's configuration."""
    from adiabat.config import schema

    typer.echo(json.dumps(schema(method), indent=2, ensure_ascii=False))


def template_command(
    method: Annotated[str, typer.Argument(help="Name of a method, see `adiabat models`, or finetune.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Choices as key=value, such as model.descriptor.kind=soap, whose options are shown."),
    ] = None,
    data: Annotated[str, typer.Option(help="Data file to write into it.")] = "data.extxyz",
) -> None:
    """Print a commented configuration with every option, its default and its unit."""
    from adiabat.config import template

    if method == "finetune":
        from adiabat.transfer.options import template_finetune

        if overrides:
            raise ConfigError(f"'{overrides[0]}' has no effect on the template of finetune: write it into the file.")
        typer.echo(template_finetune(data), nl=False)
        return
    typer.echo(template(method, data, overrides or ()), nl=False)


def evaluate_command(
    model: Annotated[Path, typer.Argument(help="Checkpoint, *.adiabat, or a name of `adiabat weights list`.")],
    data: Annotated[Path, typer.Argument(help="Labeled data, any format `adiabat data` reads.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the errors here.")] = None,
    group: Annotated[str, typer.Option(help="Frame info by which errors are grouped.")] = "config_type",
    keys: Keys = "",
) -> None:
    """Errors of a model on labeled data: eV/atom, eV/Å and eV/Å³, per group and per element."""
    from adiabat.data import read
    from adiabat.data.keys import parse_mapping
    from adiabat.metrics import evaluate_dataset
    from adiabat.model import load

    loaded = load(model)
    dataset = read(data, parse_mapping(keys) if keys else None)
    for line in dataset.report.lines():
        typer.echo(line)
    metrics = evaluate_dataset(loaded.potential, dataset, group).summary()
    if json_file is not None:
        json_file.write_text(json.dumps(metrics, indent=1) + "\n")
    _show(metrics)


def predict_command(
    model: Annotated[Path, typer.Argument(help="Checkpoint, *.adiabat, or a name of `adiabat weights list`.")],
    data: Annotated[Path, typer.Argument(help="Structures, any file `adiabat data` reads.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, *.extxyz or *.xyz.")],
) -> None:
    """Predict energies (eV), forces (eV/Å), stress (eV/Å³) and what else the model has; written as adiabat_* keys."""
    import ase.io
    from ase.stress import full_3x3_to_voigt_6_stress

    from adiabat.batched import PER_SYSTEM
    from adiabat.data import read
    from adiabat.model import EXTRA, load

    if output.suffix not in (".extxyz", ".xyz"):
        raise ConfigError(f"predictions cannot be written as '{output.suffix}': name the output *.extxyz.")
    loaded = load(model)
    frames = list(read(data))
    atoms = [frame.to_ase() for frame in frames]
    rows: Any = loaded.predict(atoms)
    for one, frame, row in zip(atoms, frames, rows, strict=True):
        one.info.update({k: v for k, v in frame.info.items() if isinstance(v, str | int | float)})
        one.info["adiabat_energy"] = row["energy"]
        one.arrays["adiabat_forces"] = row["forces"]
        if "stress" in row:
            one.info["adiabat_stress"] = full_3x3_to_voigt_6_stress(row["stress"])
        for name in row.keys() & EXTRA:
            (one.info if name in PER_SYSTEM else one.arrays)[f"adiabat_{name}"] = row[name]
    ase.io.write(output, atoms, format="extxyz")
    typer.echo(f"{len(atoms)} structures predicted; written to {output}")


def models_command() -> None:
    """List the methods that can be trained."""
    from rich.console import Console
    from rich.table import Table

    from adiabat.architectures import METHODS

    table = Table("method", "what it is", "fitter", "paper", box=None)
    for page in METHODS.values():
        table.add_row(page.name, page.title, ", ".join(page.potential_class.fitters()), f"doi:{page.paper}")
    Console().print(table)


def _show(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "energy MAE", "energy RMSE", "forces MAE", "forces RMSE", "stress MAE", box=None)
    rows = {metrics.get("part", "all"): metrics, **metrics.get("per_group", {})}
    rows |= {f"  {name}": row for name, row in metrics.get("per_element", {}).items()}
    names = ("energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse")
    for name, row in rows.items():
        cells = [f"{1000 * row[key]:.2f}" if key in row else "–" for key in names]
        cells.append(f"{1000 * row['stress_mae']:.3f}" if "stress_mae" in row else "–")
        table.add_row(name, *cells)
    Console().print(table)
    Console().print("meV/atom, meV/Å, meV/Å³", style="dim")
