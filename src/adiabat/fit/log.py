"""The log of a fit: one JSON object a line, and TensorBoard if asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adiabat.errors import ConfigError
from adiabat.files import write_text


class FitLog:
    """Appends history rows to `log.jsonl`; a resumed run first drops rows past the state it continues from."""

    def __init__(self, folder: Path | None, history: Sequence[Mapping[str, Any]] = (), tensorboard: bool = False):
        self._path = None if folder is None else folder / "log.jsonl"
        if self._path is not None:
            write_text(self._path, "".join(json.dumps(row) + "\n" for row in history))
        self._board = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ConfigError(
                    "fit.tensorboard is on, but TensorBoard is not installed: pip install 'adiabat[tensorboard]'."
                ) from None
            self._board = SummaryWriter(None if folder is None else str(folder / "tensorboard"))

    def row(self, row: Mapping[str, Any]) -> None:
        """One epoch."""
        if self._path is not None:
            with open(self._path, "a") as file:
                file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, row["epoch"])

    def close(self) -> None:
        """Flushes what is buffered."""
        if self._board is not None:
            self._board.close()
