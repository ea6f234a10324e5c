"""`adiabat compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adiabat.cli.train import Overrides


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("compare")(compare_command)


def compare_command(
    recipe: Annotated[Path, typer.Argument(help="YAML file with sets, models and published; see the documentation.")],
    overrides: Overrides = None,
) -> None:
    """Fit methods on the same data and tabulate errors, fit time and cost per atom; an interrupted run goes on."""
    from adiabat.comparison import Recipe, compare
    from adiabat.config import read_options

    chosen = Recipe.parse(read_options(recipe, overrides or ()))
    compare(chosen, typer.echo)
    typer.echo(
        f"table and pictures: {', '.join(f'{chosen.output}/comparison.{kind}' for kind in ('md', 'html', 'svg'))}"
    )
