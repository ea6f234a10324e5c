"""`adiabat quickstart`: from data to a report in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("quickstart")(quickstart_command)


def quickstart_command(
    data: Annotated[
        Path | None, typer.Argument(help="Labeled structures; by default the ethanol set that comes with adiabat.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for all results.")] = Path("runs/quickstart"),
    epochs: Annotated[int, typer.Option(help="Training epochs.")] = 100,
    picoseconds: Annotated[float, typer.Option(help="Length of the dynamics, ps.")] = 5.0,
    temperature: Annotated[float, typer.Option(help="Temperature of the dynamics, K.")] = 300.0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Data report, training, test, audit, dynamics and one HTML report, in one go."""
    from adiabat.quickstart import QuickstartOptions, quickstart

    options = QuickstartOptions(
        data=data, folder=output, epochs=epochs, picoseconds=picoseconds, temperature=temperature, seed=seed
    )
    quickstart(options, typer.echo)
