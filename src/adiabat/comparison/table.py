"""The table of a comparison, and the picture of accuracy over cost."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adiabat.files import write_text
from adiabat.report.figures import pareto, paretos

if TYPE_CHECKING:
    from adiabat.comparison.run import Row

_COLUMNS = (
    ("energy_mae_per_atom", "E MAE, meV/atom"),
    ("energy_rmse_per_atom", "E RMSE"),
    ("forces_mae", "F MAE, meV/Å"),
    ("forces_rmse", "F RMSE"),
    ("stress_mae", "stress MAE, meV/Å³"),
)


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Writes comparison.md, comparison.html and comparison.svg."""
    tables, pictures, panels = [], [], {}
    for name in dict.fromkeys(row.set for row in rows):
        own = [row for row in rows if row.set == name]
        tables.append(f"## {name}\n\n" + markdown(own))
        points = {r.name: (r.cost, 1000 * r.errors["forces_mae"]) for r in own if r.cost and "forces_mae" in r.errors}
        if points:
            panels[name] = points, unbeaten(points)
            pictures.append(pareto(name, *panels[name]))
    if panels:
        write_text(folder / "comparison.svg", paretos(panels))
    write_text(folder / "comparison.md", "# Comparison\n\n" + "\n".join(tables))
    body = "".join(
        f'<h2>{html.escape(p.title)}</h2><p>{html.escape(p.verdict)}</p><img src="data:image/png;base64,{p.png}">'
        for p in pictures
    )
    text = f"<pre>{html.escape(chr(10).join(tables))}</pre>"
    page = f'<!doctype html><meta charset="utf-8"><title>Comparison</title><h1>Comparison</h1>{body}{text}\n'
    write_text(folder / "comparison.html", page)


def markdown(rows: Sequence[Row]) -> str:
    """One table, most accurate forces first."""
    titles = ["method", "kind", *(title for _, title in _COLUMNS), "fit, s", "µs/atom", "note"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row in sorted(rows, key=lambda r: r.errors.get("forces_mae", float("inf"))):
        cells = [row.name, row.kind]
        cells += [f"{1000 * row.errors[key]:.2f}" if key in row.errors else "–" for key, _ in _COLUMNS]
        cells += [f"{row.fit_seconds:.0f}" if row.fit_seconds is not None else "–"]
        cells += [f"{row.cost:.3g}" if row.cost is not None else "–", row.note]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def unbeaten(points: dict[str, tuple[float, float]]) -> list[str]:
    """Names of points that no other one beats in both numbers, cheapest first."""
    found, best = [], float("inf")
    for name, (_, error) in sorted(points.items(), key=lambda item: item[1]):
        if error < best:
            found.append(name)
            best = error
    return found
