"""`adiabat classical`: a classical potential as a checkpoint, without a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("classical")(classical_command)


def classical_command(
    method: Annotated[str, typer.Argument(help="lennard_jones, morse, zbl, eam, emt, tersoff or stillinger_weber.")],
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of its page: epsilon=0.0104 sigma.Ar=3.4 file=Cu.eam.alloy")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint to write, *.adiabat.")] = Path(
        "classical.adiabat"
    ),
    elements: Annotated[
        str, typer.Option(help="Elements, if the options do not have them: Ar,Kr. [default: those of the options]")
    ] = "",
) -> None:
    """Write a classical potential as a checkpoint that md, predict, evaluate and audit take."""
    from adiabat.config import merged, override
    from adiabat.elements import symbols
    from adiabat.errors import ConfigError
    from adiabat.model import classical

    if output.suffix != ".adiabat":
        raise ConfigError(f"the checkpoint {output} needs the ending .adiabat.")
    given: dict = {}
    for text in options or ():
        given = merged(given, override(text))
    names = [part.strip() for part in elements.split(",") if part.strip()]
    model = classical(method, names, **given)
    model.save(output)
    typer.echo(f"{output}: {method}, cutoff {model.potential.cutoff:g} Å, {', '.join(symbols(model.info.elements))}")
