"""`adiabat data info | lint | convert | split`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

Files = Annotated[list[Path], typer.Argument(help="Data files or folders of any format adiabat reads.")]
Keys = Annotated[str, typer.Option(help="Label keys of the file, such as energy=my_energy,forces=F.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result here too.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    data = typer.Typer(help="Look at data, find faults, change formats, split.", no_args_is_help=True)
    data.command("info")(info_command)
    data.command("lint")(lint_command)
    data.command("convert")(convert_command)
    data.command("split")(split_command)
    app.add_typer(data, name="data")


def _read(path: Path, keys: str) -> Any:
    from adiabat.data import read
    from adiabat.data.keys import parse_mapping

    dataset = read(path, parse_mapping(keys) if keys else None)
    _show(dataset.report)
    return dataset


def _show(report: Any) -> None:
    for line in report.lines():
        typer.echo(line)


def info_command(files: Files, keys: Keys = "", json_file: JsonFile = None) -> None:
    """What is in the data: frames, elements, labels, ranges (eV, Å)."""
    from adiabat.data import stream
    from adiabat.data.keys import parse_mapping
    from adiabat.data.statistics import summarize
    from adiabat.elements import symbol

    out = {}
    for path in files:
        frames, report = stream(path, parse_mapping(keys) if keys else None)
        found = summarize(frames)
        _show(report)
        row = {k: dict(v) if isinstance(v, dict) else v for k, v in vars(found).items()}
        row["elements"] = {symbol(z): n for z, n in sorted(found.elements.items())}
        row["force_rms"] = {symbol(z): value for z, value in sorted(found.force_rms.items())}
        out[str(path)] = row
        for name, value in row.items():
            typer.echo(f"  {name.replace('_', ' ')}: {_plain(value)}")
    if json_file is not None:
        json_file.write_text(json.dumps(out, indent=1) + "\n")


def _plain(value: Any) -> str:
    """Mappings as `key value, key value`, ranges as `low to high`, numbers to six figures."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, tuple):
        low, high, *total = value
        return f"{_plain(low)} to {_plain(high)}" + (f", {total[0]} in all" if total else "")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def lint_command(files: Files, keys: Keys = "", json_file: JsonFile = None) -> None:
    """Find faults; several files are the parts of a split, the training part first. Exits with 1 on errors."""
    from adiabat.data.lint import lint

    parts = {path.name if len(files) > 1 else "data": _read(path, keys) for path in files}
    findings = lint(parts if len(parts) > 1 else next(iter(parts.values())))
    colors = {"error": "red", "warning": "yellow", "info": None}
    for finding in findings:
        typer.secho(f"{finding.severity:8} {finding.title}: {finding.message}", fg=colors[finding.severity])
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(f) for f in findings], indent=1) + "\n")
    if any(f.severity == "error" for f in findings):
        raise typer.Exit(1)


def convert_command(
    source: Annotated[Path, typer.Argument(help="File or folder to read.")],
    target: Annotated[Path, typer.Argument(help="File to write: .extxyz, .h5 or .lmdb.")],
    keys: Keys = "",
) -> None:
    """Change the format; labels are written under REF_ keys in eV and Å. Files may be larger than memory."""
    from adiabat.data import stream, write
    from adiabat.data.keys import parse_mapping

    frames, report = stream(source, parse_mapping(keys) if keys else None)
    written = write(target, frames)
    _show(report)
    typer.echo(f"{written} frames written to {target}")


def split_command(
    source: Annotated[Path, typer.Argument(help="File or folder to split.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the parts and split.json.")],
    train: Annotated[float, typer.Option(help="Training part, a fraction or (from 1 on) a number of frames.")] = 0.8,
    valid: Annotated[float, typer.Option(help="Validation part.")] = 0.1,
    test: Annotated[float, typer.Option(help="Test part.")] = 0.1,
    method: Annotated[str, typer.Option(help="random, group, composition, blocks or farthest.")] = "random",
    key: Annotated[str | None, typer.Option(help="Frame info that groups frames, for group.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    keys: Keys = "",
) -> None:
    """Split into train, valid and test files, with a hash of each part in split.json."""
    from adiabat.data import split, write

    dataset = _read(source, keys)
    given = {"train": train, "valid": valid, "test": test}
    sizes = {name: int(size) if size >= 1 else size for name, size in given.items() if size > 0}
    chosen = split(dataset, sizes, method, seed, key=key)
    output.mkdir(parents=True, exist_ok=True)
    chosen.save(output / "split.json")
    for name, part in chosen.parts(dataset).items():
        write(output / f"{name}.extxyz", part)
        typer.echo(f"{name}: {len(part)} frames, SHA-256 {chosen.hashes[name][:16]}…")
    for remark in chosen.remarks:
        typer.echo(remark)
