"""`adiabat export`: a trained model as a package that runs without adiabat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("export")(export_command)


def export_command(
    model: Annotated[Path, typer.Argument(help="Checkpoint, *.adiabat, or a name of `adiabat weights list`.")],
    output: Annotated[Path, typer.Argument(help="Package to write, *.pt2.")],
    float64: Annotated[bool, typer.Option(help="Export the model in double precision.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda, where the package will run.")] = "cpu",
) -> None:
    """Write energy, forces and stress as an AOTInductor package (.pt2), checked, for programs without adiabat."""
    import torch

    from adiabat.compile.export import export
    from adiabat.model import load

    loaded = load(model).to(device, torch.float64 if float64 else None)
    typer.echo(f"compiling {model} for {device}; this takes a minute or two", err=True)
    metadata = export(loaded.potential, output, {"source": model.name})
    error, dtype = metadata["largest relative error"], metadata["dtype"]
    typer.echo(f"{output}: {metadata['method']}, {dtype}, {', '.join(metadata['elements'])}")
    typer.echo(f"inputs {', '.join(metadata['inputs'])}; within {error:.1e} of the model")
