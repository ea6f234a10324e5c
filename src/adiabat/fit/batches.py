"""What a step is computed from: graphs differentiated anew, or features computed once and kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch

from adiabat.data.frame import Batch, collate
from adiabat.data.loader import Loader
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph
from adiabat.potential import Potential, Prediction


class GraphSource:
    """Batches of a loader; every prediction differentiates the model's energy."""

    def __init__(self, potential: Potential, loader: Loader, device: torch.device):
        self.potential = potential
        self.loader = loader
        self.device = device

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        self.loader.set_epoch(epoch)
        return (batch.to(self.device) for batch in self.loader)

    def predict(self, batch: Batch, want: Collection[str], training: bool) -> Prediction:
        """Everything in `want`; differentiable with respect to the weights if `training`."""
        return evaluate(self.potential, batch.graph, want, create_graph=training)


class FeatureSource:
    """For models with `precompute`: features of every frame are made once, a step costs only the trained part.

    All features stay in memory: about 4 bytes × 3 × size per neighbor pair.
    """

    def __init__(self, potential: Potential, loader: Loader, device: torch.device):
        self.potential = potential
        self.loader = loader
        self.device = device
        self._features: dict[int, Any] = {}
        self._light: dict[int, Graph] = {}
        self._joined: tuple[tuple[int, ...], Any] = ((), None)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch; their graphs carry no pairs."""
        self.loader.set_epoch(epoch)
        for indices in self.loader.batches(epoch):
            for index in indices:
                if index not in self._features:
                    self._prepare(index)
            frames = [self.loader.dataset[i] for i in indices]
            graphs = [self._light[i] for i in indices]
            yield collate(frames, graphs, self.loader.labels, indices).to(self.device, self.loader.dtype)

    def _prepare(self, index: int) -> None:
        system = self.loader.dataset[index].system
        graph = Graph.build(system, self.potential.cutoff)
        self.potential.check(graph)
        self._features[index] = self.potential.features(graph.to(self.device))
        self._light[index] = graph.replace(pairs=graph.pairs[:, :0], shifts=graph.shifts[:0])

    def predict(self, batch: Batch, want: Collection[str], training: bool) -> Prediction:
        """Everything in `want`, from stored features."""
        if self._joined[0] != batch.indices:  # L-BFGS asks for the same batch many times
            parts = [self._features[i] for i in batch.indices]
            self._joined = (batch.indices, type(parts[0]).batch(parts))
        with torch.set_grad_enabled(training):
            return self.potential.predict_from(self._joined[1], want)


def source(potential: Potential, loader: Loader, device: torch.device) -> GraphSource | FeatureSource:
    """The fitting source for this potential."""
    return (FeatureSource if potential.precompute else GraphSource)(potential, loader, device)
