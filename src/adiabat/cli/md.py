"""`adiabat md`: molecular dynamics with a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("md")(md_command)


def md_command(
    model: Annotated[Path, typer.Argument(help="Checkpoint, *.adiabat, or a name of `adiabat weights list`.")],
    structure: Annotated[Path, typer.Argument(help="Any file ASE reads; its last frame is the start.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for trajectory, log and restart file.")
    ] = Path("md"),
    ensemble: Annotated[
        str, typer.Option(help="nve, langevin, nose-hoover, npt-berendsen or npt-parrinello-rahman.")
    ] = "langevin",
    steps: Annotated[int, typer.Option(help="Number of steps.")] = 10000,
    timestep: Annotated[float, typer.Option(help="Time step, fs.")] = 0.5,
    temperature: Annotated[float, typer.Option(help="Temperature, K.")] = 300.0,
    pressure: Annotated[float, typer.Option(help="Pressure of npt ensembles, GPa.")] = 0.0,
    friction: Annotated[float, typer.Option(help="Langevin friction, 1/fs.")] = 0.01,
    interval: Annotated[int, typer.Option(help="Steps between frames and log lines.")] = 20,
    restart_interval: Annotated[int, typer.Option(help="Steps between restart files.")] = 1000,
    max_force: Annotated[float, typer.Option(help="Stop beyond this force, eV/Å.")] = 100.0,
    seed: Annotated[int, typer.Option(help="Seed of velocities and noise.")] = 0,
    float64: Annotated[bool, typer.Option(help="Run the model in double precision.")] = False,
    resume: Annotated[bool, typer.Option(help="Continue the run in the output folder.")] = False,
    force_nonconservative: Annotated[bool, typer.Option(help="Allow nve with direct-force models.")] = False,
) -> None:
    """Molecular dynamics: writes trajectory, log and restart file; stops with a saved frame before nonsense."""
    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from adiabat.files import read_structures
    from adiabat.model import load
    from adiabat.workflows.dynamics import Dynamics, DynamicsConfig

    loaded = load(model).to(dtype=torch.float64 if float64 else None)
    given: dict[str, Any] = {
        "ensemble": ensemble,
        "steps": steps,
        "timestep": timestep,
        "temperature": temperature,
        "pressure": pressure,
        "friction": friction,
        "interval": interval,
        "restart_interval": restart_interval,
        "max_force": max_force,
        "seed": seed,
        "force_nonconservative": force_nonconservative,
    }
    config = DynamicsConfig.parse(given)
    atoms = read_structures(structure, "-1:")[0]
    atoms.calc = loaded.calculator()
    run = Dynamics(atoms, config, output, resume)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task(f"{ensemble} {temperature:g} K", total=steps)
        rows = run.run(
            lambda step, row: bar.update(
                task,
                completed=step,
                description=f"{ensemble} T = {row['temperature']:.0f} K, F ≤ {row['max_force']:.2f}",
            )
        )
    last = rows[-1]
    typer.echo(
        f"{steps} steps of {timestep} fs done: T = {last['temperature']:.1f} K,"
        f" total energy {last['total']:.4f} eV; files in {output}"
    )
