"""What a person sees of a running fit: a bar with time left and live errors, or plain lines without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def error_text(row: Mapping[str, Any]) -> str:
    """`train 3.1 meV/atom 41 meV/Å, valid ...` of a history row."""
    parts = []
    for part in ("train", "valid"):
        shown = []
        if f"{part}_energy_mae_per_atom" in row:
            shown.append(f"{1000 * row[f'{part}_energy_mae_per_atom']:.2f} meV/atom")
        if f"{part}_forces_mae" in row:
            shown.append(f"{1000 * row[f'{part}_forces_mae']:.1f} meV/Å")
        if shown:
            parts.append(f"{part} {' '.join(shown)}")
    return ", ".join(parts)


class FitProgress:
    """On a terminal a live bar with the time left, otherwise at most one line every `every` seconds."""

    def __init__(self, epochs: int, done: int = 0, show: bool = True, every: float = 15.0):
        self.epochs = epochs
        self.show = show
        self.every = every
        self._last = 0.0
        self._bar: Progress | None = None
        if show and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("epoch {task.completed:.1f}/{task.total}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=epochs, completed=done)
            self._bar.start()

    def step(self, epoch: int, step: int, steps: int) -> None:
        """`step` of `steps` batches of an epoch (from 0) are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=epoch + step / steps)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch has ended."""
        if not self.show:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=row["epoch"], description=error_text(row))
        elif time.monotonic() - self._last > self.every or row["epoch"] == self.epochs:
            self._last = time.monotonic()
            print(f"epoch {row['epoch']}/{self.epochs}: {error_text(row)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the terminal in order."""
        if self._bar is not None:
            self._bar.stop()
