"""`adiabat finetune | distill`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from adiabat.cli.train import Overrides

Base = Annotated[str, typer.Argument(help="Checkpoint, *.adiabat, or the name of a published model.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew even if the output folder holds a run.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.command("finetune")(finetune_command)
    app.command("distill")(distill_command)


def finetune_command(
    base: Base,
    config: Annotated[Path, typer.Argument(help="YAML file with data, finetune and fit; see the documentation.")],
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the interrupted run of the output folder.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Go on training a model with new data, and report what it has forgotten: forgetting.json and report.html."""
    from adiabat.config import read_options
    from adiabat.transfer import FinetuneRun, finetune

    run = FinetuneRun.parse(read_options(config, overrides or ()))
    try:
        result = finetune(base, run, resume, overwrite=overwrite)
    except KeyboardInterrupt:
        typer.echo("\nstopped; the last finished epoch is kept: the same command with --resume goes on", err=True)
        raise typer.Exit(130) from None
    fit, lost = result.fit, result.forgetting
    typer.echo(f"{fit.stopped} ({fit.epochs} epochs, {fit.seconds:.0f} s); files in {result.folder}")
    _errors(lost.errors)
    for finding in lost.findings:
        word = {True: "pass", False: "FAIL", None: "--"}[finding.passed]
        typer.echo(f"{finding.code:8}{word:6}{finding.verdict}")
    typer.echo(lost.verdict)


def distill_command(
    base: Base,
    config: Annotated[
        Path,
        typer.Argument(help="YAML file of the student: `adiabat template METHOD`, with structures as data.file."),
    ],
    overrides: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Label generated structures with a model and train another, faster one on them."""
    from adiabat.config import read_options
    from adiabat.transfer import DistillRun, distill

    result = distill(base, DistillRun.parse(read_options(config, overrides or ())), overwrite=overwrite)
    fit = result.train.fit
    typer.echo(f"{fit.stopped} ({fit.epochs} epochs, {fit.seconds:.0f} s); files in {result.folder}")
    _errors({f"student against base, {result.train.metrics['part']}": result.train.metrics})
    speed = result.speed
    typer.echo(
        f"energy and forces: base {1e6 * speed['base_seconds_per_atom']:.3g} μs/atom, student"
        f" {1e6 * speed['student_seconds_per_atom']:.3g} μs/atom: {speed['ratio']:.2g} times as fast"
    )


def _errors(rows: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "energy MAE", "energy RMSE", "forces MAE", "forces RMSE", "stress MAE", box=None)
    names = ("energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse", "stress_mae")
    for name, row in rows.items():
        table.add_row(name, *(f"{1000 * row[key]:.4g}" if key in row else "–" for key in names))
    Console().print(table)
    Console().print("meV/atom, meV/Å, meV/Å³", style="dim")
