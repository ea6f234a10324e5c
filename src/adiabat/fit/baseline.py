"""What a baseline, a potential that is added to a model and never changed, leaves of the labels."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.data.frame import Frame
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph
from adiabat.potential import Potential

SHARED = ("energy", "forces", "stress")


class WithoutBaseline:
    """Frames whose energies, forces and stresses lack a potential's; each is evaluated once, others stay as they are.

    Args:
        frames: labeled.
        baseline: in float64.
    """

    def __init__(self, frames: Dataset, baseline: Potential):
        self.frames, self.baseline = frames, baseline
        self._shares: dict[int, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        frame = self.frames[index]
        if index not in self._shares:
            self._shares[index] = self._share(frame)
        shares = self._shares[index]
        labels = {name: value - shares[name] if name in shares else value for name, value in frame.labels.items()}
        return Frame(frame.system, labels, frame.info)

    def _share(self, frame: Frame) -> dict[str, Tensor]:
        wanted = [name for name in SHARED if name in frame.labels]
        if not bool(frame.system.pbc.any()):
            wanted = [name for name in wanted if name != "stress"]
        if not wanted:
            return {}
        graph = Graph.build(frame.system.to(dtype=self.baseline.dtype), self.baseline.cutoff)
        found = evaluate(self.baseline, graph, wanted)
        return {name: getattr(found, name).reshape(frame.labels[name].shape) for name in wanted}
