"""`adiabat audit`: is this model fit for use?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("audit")(audit_command)


def audit_command(
    model: Annotated[Path, typer.Argument(help="Checkpoint, *.adiabat, or a name of `adiabat weights list`.")],
    structures: Annotated[Path, typer.Argument(help="A few structures like those the model is for, any ASE file.")],
    picoseconds: Annotated[float, typer.Option(help="Length of the energy-drift run, ps.")] = 1.0,
    temperature: Annotated[float, typer.Option(help="Initial temperature of that run, K.")] = 300.0,
    timestep: Annotated[float, typer.Option(help="Its time step, fs.")] = 0.5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings here.")] = None,
) -> None:
    """Check symmetry, forces against finite differences, and energy drift; exits with 1 if something fails."""
    from adiabat.audit import audit
    from adiabat.files import read_structures
    from adiabat.model import load

    atoms = read_structures(structures, ":3")
    report = audit(load(model).potential, atoms, picoseconds, temperature, timestep)
    for finding in report.findings:
        word = {True: "pass", False: "FAIL", None: "--"}[finding.passed]
        typer.echo(f"{finding.code:6}{word:6}{finding.verdict}")
    if json_file is not None:
        json_file.write_text(json.dumps(report.rows(), indent=1) + "\n")
    if not report.passed:
        raise typer.Exit(1)
