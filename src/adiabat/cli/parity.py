"""`adiabat parity`: a page's numbers beside the published program's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from adiabat.errors import ConfigError
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import ParityReport, parity, scoreboard


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("parity")(parity_command)


def parity_command(
    kit: Annotated[Path | None, typer.Argument(help="Folder of one golden kit.")] = None,
    everything: Annotated[
        Path | None, typer.Option("--all", metavar="DIR", help="Scoreboard of all kits in this folder.")
    ] = None,
    structures: Annotated[
        Path | None, typer.Option(help="Other structures than the kit's own: extxyz, each with a name.")
    ] = None,
    outputs: Annotated[
        Path | None, typer.Option(help="The program's numbers for them: npz like outputs.npz.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest relative error [default: 1e-6, or 1e-5 for programs in float32].", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Compare a page with a published program: same weights, same structures, same numbers?

    Exits with 1 if a number is off, with 2 if no page reads the kit yet.
    """
    if (kit is None) == (everything is None):
        raise ConfigError("give either one kit or --all with a folder of kits.")
    if (structures is None) != (outputs is None):
        raise ConfigError("--structures and --outputs belong together: give both or none.")
    if everything is not None:
        if structures is not None or tolerance is not None:
            raise ConfigError("--structures, --outputs and --tolerance are for one kit: leave them out with --all.")
        reports = scoreboard(everything)
        if not reports:
            raise ConfigError(f"{everything} holds no kits: give the folder above them.")
        print_json([_plain(r) for r in reports]) if as_json else print_scoreboard(reports)
        raise typer.Exit(int(any(r.status == "off" for r in reports)))
    assert kit is not None
    report = parity(Kit(kit), structures, outputs, tolerance)
    print_json(_plain(report)) if as_json else print_report(report)
    raise typer.Exit({"equal": 0, "off": 1, "no page": 2}[report.status])


def _plain(report: ParityReport) -> dict[str, Any]:
    return asdict(report) | {"worst": report.worst if report.deviations else None}


def print_json(value: Any) -> None:
    """JSON with one space of indentation, on standard output."""
    print(json.dumps(value, indent=1))


def print_report(report: ParityReport) -> None:
    """Table of the quantities of one kit, then what failed and what was skipped."""
    console = Console()
    if report.status == "no page":
        console.print(f"{report.kit}: no page of adiabat reads this kit yet.")
        return
    table = Table(title=f"{report.kit} (tolerance {report.tolerance:.0e})", box=box.SIMPLE, pad_edge=False)
    for name in ("quantity", "cases", "error", "relative", "largest", "worst case", ""):
        left = name in ("quantity", "worst case")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for d in report.deviations:
        verdict = "equal" if d.relative <= report.tolerance else "OFF"
        table.add_row(
            d.quantity, str(d.cases), f"{d.absolute:.1e}", f"{d.relative:.1e}", f"{d.largest:.4g}", d.worst, verdict
        )
    console.print(table)
    for case, reason in report.failures.items():
        console.print(f"failed: {case}: {reason}", markup=False)
    for case, reason in report.skipped.items():
        console.print(f"skipped: {case}: {reason}", markup=False)
    console.print(f"{report.kit}: {report.status}, largest relative error {report.worst:.1e}", markup=False)


def print_scoreboard(reports: list[ParityReport]) -> None:
    """One line a kit, then the counts."""
    console = Console()
    table = Table("kit", "verdict", "relative error", "not compared", box=box.SIMPLE)
    for r in reports:
        error = f"{r.worst:.1e}" if r.deviations else ""
        verdict = r.status
        if r.failures:
            verdict = f"off: {len(r.failures)} failed"
        elif r.status == "off":
            verdict = f"off by {r.worst:.1e}"
        elif r.status == "no page":
            verdict = "no page yet"
        table.add_row(r.kit, verdict, error, str(len(r.skipped)) if r.skipped else "")
    console.print(table)
    counts = {s: sum(r.status == s for r in reports) for s in ("equal", "off", "no page")}
    console.print(f"{counts['equal']} equal, {counts['off']} off, {counts['no page']} without a page")
