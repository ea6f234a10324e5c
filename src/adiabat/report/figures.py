"""The pictures of a report, each with a sentence of verdict."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ase
import matplotlib
import numpy as np
from ase.geometry import get_distances

from adiabat.audit import AuditReport

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GRAY = "#2f6db3", "#d9772b", "#9aa0a6"


@dataclass(frozen=True)
class Picture:
    """One picture of the report.

    Attributes:
        title: heading.
        verdict: one sentence on what it shows.
        passed: True (good), False (bad) or None (neither).
        png: base64 of the image.
    """

    title: str
    verdict: str
    passed: bool | None
    png: str


def _picture(figure: Figure, title: str, verdict: str, passed: bool | None) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return Picture(title, verdict, passed, base64.b64encode(buffer.getvalue()).decode())


def _axes(x: str, y: str, size: tuple[float, float] = (5.2, 4.0)) -> tuple[Figure, Any]:
    figure, axes = plt.subplots(figsize=size)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def parity(name: str, label: np.ndarray, prediction: np.ndarray) -> Picture:
    """Prediction over reference, for energies per atom or force components."""
    unit = "eV/atom" if name == "energy" else "eV/Å" if name == "forces" else "eV/Å³"
    title = {"energy": "Energies", "forces": "Forces", "stress": "Stress"}[name]
    x, y = label.reshape(-1), prediction.reshape(-1)
    shift = x.mean() if name == "energy" else 0.0
    figure, axes = _axes(f"reference ({unit})", f"model ({unit})", (4.2, 4.2))
    shown = np.random.default_rng(0).permutation(len(x))[:5000]
    axes.plot(x[shown] - shift, y[shown] - shift, ".", ms=3, alpha=0.5, color=_BLUE)
    ends = [min(x.min(), y.min()) - shift, max(x.max(), y.max()) - shift]
    axes.plot(ends, ends, "-", lw=0.8, color=_GRAY)
    error, spread = np.abs(y - x).mean(), x.std()
    share = error / spread if spread > 0 else float("nan")
    passed = bool(share < 0.15)
    digits = f"{1000 * error:.3g} m{unit}"
    verdict = f"Mean absolute error {digits} on {len(x)} test values, {100 * share:.1f} % of their spread: " + (
        "good enough for a first use." if passed else "more data or longer training is needed."
    )
    return _picture(figure, title, verdict, passed)


def learning_curve(history: Sequence[Mapping[str, Any]]) -> Picture:
    """Training and validation force (or energy) errors by epoch."""
    key, unit = ("forces_mae", "meV/Å") if "valid_forces_mae" in history[0] else ("energy_mae_per_atom", "meV/atom")
    x = [row.get("epoch", row.get("length_scale")) for row in history]
    figure, axes = _axes("epoch" if "epoch" in history[0] else "length scale (1/Å)", f"error ({unit})")
    valid = np.array([1000 * row[f"valid_{key}"] for row in history])
    if f"train_{key}" in history[0]:
        axes.semilogy(x, [1000 * row[f"train_{key}"] for row in history], color=_GRAY, label="training")
    axes.semilogy(x, valid, color=_BLUE, label="validation")
    axes.legend(frameon=False)
    best, last = valid.min(), valid[-1]
    late = valid[-max(1, len(valid) // 5)]
    passed = bool(last < 1.3 * best)
    trend = "still falling: longer training would help" if last < 0.97 * late else "it has leveled off"
    verdict = (
        f"The validation error ends at {last:.3g} {unit} (best {best:.3g}); {trend}."
        if passed
        else f"The validation error rose from {best:.3g} to {last:.3g} {unit}: overfitting; the best epoch was kept."
    )
    return _picture(figure, "Learning curve", verdict, passed)


def energy_drift(report: AuditReport) -> Picture:
    """Total energy in undisturbed dynamics."""
    figure, axes = _axes("time (fs)", "total energy change (meV/atom)")
    axes.plot(report.times, 1000 * report.energies, lw=0.8, color=_BLUE)
    finding = next(f for f in report.findings if f.code == "DRIFT")
    return _picture(figure, "Energy conservation", finding.verdict, finding.passed)


def dimers(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], verdict: str, passed: bool | None
) -> Picture:
    """Energies of two atoms over their distance, of a model before (gray) and after fine-tuning.

    Args:
        curves: pair to distances (Å) and both energies (eV above separate atoms).
        verdict: one sentence.
        passed: whether it is good.
    """
    shown = dict(list(curves.items())[:12])
    rows = -(-len(shown) // 3)
    columns = min(3, len(shown))
    figure, grid = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.5 * rows), squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, (pair, (distances, before, after)) in zip(grid.flat, shown.items(), strict=False):
        axes.plot(distances, before, color=_GRAY, label="base")
        axes.plot(distances, after, color=_BLUE, lw=1.0, label="tuned")
        low = min(before.min(), after.min())
        axes.set_ylim(low - 0.5, max(5.0, low + 5.0))
        axes.set_title(pair, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1][0].set_xlabel("distance (Å)")
    grid[0][0].set_ylabel("energy (eV)")
    grid[0][0].legend(frameon=False, fontsize=8)
    return _picture(figure, "Two atoms", verdict, passed)


def radial_distribution(
    trajectory: Sequence[ase.Atoms], reference: Sequence[ase.Atoms], what: str, r_max: float = 6.0
) -> Picture:
    """Distances in the model's dynamics beside those in the reference data."""
    edges = np.linspace(0.5, r_max, 111)
    centers = 0.5 * (edges[1:] + edges[:-1])
    ours, theirs = distances(trajectory, edges), distances(reference, edges)
    figure, axes = _axes("distance (Å)", "probability density (1/Å)")
    axes.fill_between(centers, theirs, color=_GRAY, alpha=0.5, lw=0, label=f"reference data ({what})")
    axes.plot(centers, ours, color=_ORANGE, label="dynamics with the model")
    axes.legend(frameon=False)
    overlap = float(np.minimum(ours, theirs).sum() * (edges[1] - edges[0]))
    passed = overlap > 0.8
    verdict = f"The two distributions overlap by {100 * overlap:.0f} %: " + (
        "the model moves through the structures it was trained on."
        if passed
        else "the dynamics visits other structures than the data; read errors elsewhere with care."
    )
    return _picture(figure, "Radial distribution", verdict, passed)


def distances(frames: Sequence[ase.Atoms], edges: np.ndarray) -> np.ndarray:
    """Normalized histogram of all distances in some frames (nearest images where periodic)."""
    counts = np.zeros(len(edges) - 1)
    for atoms in frames:
        _, lengths = get_distances(atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        counts += np.histogram(lengths[np.triu_indices(len(atoms), 1)], edges)[0]
    total = counts.sum() * (edges[1] - edges[0])
    return counts / total if total > 0 else counts


Points = Mapping[str, tuple[float, float]]  # method to cost (µs per atom) and mean absolute force error (meV/Å)


def pareto(title: str, points: Points, front: Sequence[str]) -> Picture:
    """Force error over cost, both logarithmic, with the line of methods that none beats in both.

    Args:
        title: heading.
        points: of every method.
        front: names on the line, cheapest first.
    """
    figure, axes = _axes("cost of energy and forces (µs per atom)", "mean absolute force error (meV/Å)")
    _draw(axes, points, front)
    return _picture(figure, title, f"Nothing is both cheaper and more accurate than {', '.join(front)}.", None)


def paretos(panels: Mapping[str, tuple[Points, Sequence[str]]]) -> str:
    """The same of several sets side by side, as the text of an SVG.

    Args:
        panels: title to points and names on the line.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with plt.rc_context({"svg.hashsalt": "adiabat", "svg.fonttype": "none"}):
        figure, grid = plt.subplots(rows, columns, figsize=(3.6 * columns, 3.0 * rows), squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, (points, front)) in zip(grid.flat, panels.items(), strict=False):
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_title(title, fontsize=9)
            _draw(axes, points, front, 6)
        grid[-1][0].set_xlabel("µs per atom")
        grid[0][0].set_ylabel("force MAE (meV/Å)")
        figure.tight_layout()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    return buffer.getvalue()


def _draw(axes: Any, points: Points, front: Sequence[str], size: int = 8) -> None:
    axes.plot(*zip(*(points[name] for name in front), strict=True), color=_GRAY, lw=1.0)
    for name, point in points.items():
        axes.plot(*point, "o", ms=0.5 * size, color=_BLUE if name in front else _ORANGE)
        axes.annotate(name, point, xytext=(3, 3), textcoords="offset points", fontsize=size)
    axes.set_xscale("log")
    axes.set_yscale("log")
