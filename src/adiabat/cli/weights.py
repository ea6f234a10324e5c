"""`adiabat weights list | info | get | import`: published weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from adiabat.pretrained.catalogue import Entry

commands = typer.Typer(
    no_args_is_help=True, help="Published weights: what there is, what it may be used for, fetching and importing."
)


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.add_typer(commands, name="weights")


@commands.command("list")
def list_command(
    ready: Annotated[bool, typer.Option("--ready", help="Only those that adiabat reads.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Only those that are on this machine.")] = False,
    element: Annotated[str | None, typer.Option(help="Only those that know all of these elements: Si,O.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """All published weights of the catalogue."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from adiabat.elements import number
    from adiabat.pretrained.catalogue import catalogue
    from adiabat.pretrained.download import on_this_machine

    wanted = {number(part.strip()) for part in element.split(",")} if element else set()
    entries = [
        one
        for one in catalogue().values()
        if (not ready or one.status == "ready")
        and (not wanted or wanted <= set(one.numbers))
        and (not here or on_this_machine(one))
    ]
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in entries], indent=1))
        return
    table = Table("name", "what", "method", "reads", "commercial use", box=box.SIMPLE, pad_edge=False)
    for one in entries:
        table.add_row(one.name, one.title, one.method, _yes(one.status == "ready"), _commercial(one))
    console = Console()
    console.print(table)
    console.print(
        f"{len(entries)} weights, {sum(e.status == 'ready' for e in entries)} of them are read by this version."
        " `adiabat weights info NAME` tells more."
    )


@commands.command("info")
def info_command(
    name: Annotated[str, typer.Argument(help="Name of the catalogue.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """What is known of published weights: license, level of theory, elements, limits, files and hashes."""
    from adiabat.pretrained.catalogue import entry
    from adiabat.pretrained.weights import element_symbols, license_line

    one = entry(name)
    if as_json:
        print(json.dumps(one.model_dump(mode="json"), indent=1))
        return
    lines = {
        "name": ", ".join((one.name, *one.aliases)),
        "what": one.title,
        "method": one.method + ("" if one.status == "ready" else " (not read by this version yet)"),
        "license": license_line(one).removeprefix(f"{one.name}: license "),
        "theory": one.level_of_theory or "not recorded",
        "elements": element_symbols(one),
        "reference": f"doi:{one.doi}" if one.doi else "not recorded",
        "published": one.origin,
        "limits": "; ".join(one.limits) or "none recorded",
    }
    for label, text in lines.items():
        typer.echo(f"{label:11}{text}")
    for file in (*one.files, *one.same):
        size = f"{file.size} bytes" if file.size is not None else "size not known"
        typer.echo(f"{'or' if file in one.same else 'file':11}{file.name}, {size}")
        typer.echo(f"{'':11}sha256 {file.sha256 or 'not known: recorded at first use'}")
        typer.echo(f"{'':11}{file.url or 'no address is known for certain: see published'}")


@commands.command("get")
def get_command(name: Annotated[str, typer.Argument(help="Name of the catalogue.")]) -> None:
    """Download published weights (or find them in ADIABAT_WEIGHTS), check their hash and say where they are."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from adiabat.pretrained.catalogue import entry
    from adiabat.pretrained.download import fetch
    from adiabat.pretrained.weights import license_line

    one = entry(name)
    typer.echo(license_line(one), err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {file.name: bar.add_task(file.name, total=file.size, visible=False) for file in one.files}
        fetched = fetch(
            one, lambda file, done, total: bar.update(tasks[file], completed=done, total=total, visible=True)
        )
    for file, digest in fetched.recorded.items():
        typer.echo(f"{file}: sha256 {digest}, recorded at first use (the catalogue does not know it)", err=True)
    typer.echo(str(fetched.path))


@commands.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="The program's file or folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint to write, *.adiabat.")],
    program: Annotated[
        str | None, typer.Option("--program", "--method", help="Program that wrote it [default: recognized].")
    ] = None,
    energy_unit: Annotated[
        str | None, typer.Option(help="Energy unit of the file, if it does not say: eV, kcal/mol, Hartree ...")
    ] = None,
    length_unit: Annotated[str | None, typer.Option(help="Length unit of the file, if it does not say.")] = None,
    elements: Annotated[
        str | None, typer.Option(help="Elements it was trained on, in its order, if the file does not say: H,C,O.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="Which of its heads, if it has several.")] = None,
) -> None:
    """Turn a program's file of weights into a checkpoint. Nothing in the file is executed."""
    from adiabat import checkpoint
    from adiabat.elements import number, symbols
    from adiabat.errors import ConfigError
    from adiabat.pretrained.originals.source import Options
    from adiabat.pretrained.weights import license_line, read_file

    if output.suffix != ".adiabat":
        raise ConfigError(f"the checkpoint {output} needs the ending .adiabat.")
    numbers = tuple(number(part.strip()) for part in elements.split(",")) if elements else ()
    found = read_file(file, program, Options(energy_unit, length_unit, numbers, head))
    if found.entry is not None:
        typer.echo(license_line(found.entry), err=True)
    else:
        typer.echo(f"{file} is not in the catalogue: its license and level of theory are not known here", err=True)
    potential = found.potential
    checkpoint.save(output, potential, found.info, license=found.info.license)
    names = symbols(potential.elements)
    if len(names) > 90:
        typer.echo(
            "it has room for more elements than it can have been trained on: say which with --elements", err=True
        )
    cutoff = f"cutoff {potential.cutoff:g} Å" if potential.local else "one molecule"
    typer.echo(f"{output}: {potential.config.method}, {cutoff}, {', '.join(names)}")  # type: ignore[attr-defined]


def _yes(value: bool) -> str:
    return "yes" if value else "not yet"


def _commercial(one: Entry) -> str:
    return {True: "yes", False: "NO", None: "?"}[one.commercial]
