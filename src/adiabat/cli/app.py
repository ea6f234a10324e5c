"""The `adiabat` command. Each neighboring module adds its own subcommands."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module

import typer

from adiabat import __version__
from adiabat.errors import AdiabatError

_MODULES = (
    "quickstart",
    "data",
    "train",
    "transfer",
    "md",
    "parity",
    "audit",
    "export",
    "weights",
    "classical",
    "compare",
)

app = typer.Typer(
    name="adiabat",
    help="Machine-learned interatomic potentials: from quantum-mechanical data to trustworthy dynamics."
    " Units are eV, Å, fs, K and GPa (pressure) everywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"adiabat {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
):
    pass


for _name in _MODULES:
    import_module(f"adiabat.cli.{_name}").register(app)


def main() -> None:
    """Entry point: an adiabat error becomes one sentence on stderr and exit code 2."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    try:
        app()
    except AdiabatError as error:
        typer.secho(f"adiabat: {error}", fg="red", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
