"""What a step is computed from: graphs differentiated anew, or features computed once and kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from adiabat.data.frame import Batch, collate
from adiabat.data.loader import Loader
from adiabat.evaluate import evaluate, prepared
from adiabat.fit.distributed import World
from adiabat.geometry import Graph
from adiabat.potential import Potential, Prediction


def usable(batch: Batch) -> Batch:
    """The batch with stress labels of systems without periodicity masked: they have no defined stress."""
    if "stress" not in batch.present:
        return batch
    periodic = batch.graph.system.pbc.any(dim=1)
    return replace(batch, present=batch.present | {"stress": batch.present["stress"] & periodic})


def labeled(batch: Batch, names: Collection[str]) -> tuple[str, ...]:
    """The labels among `names` that at least one system of the batch has."""
    return tuple(name for name in names if bool(batch.present[name].any()))


class GraphSource:
    """Batches of a loader; every prediction differentiates the model's energy.

    The loader's batches are those of the whole run. With several processes each takes every size-th frame of every
    batch, so that the steps are the same however many processes there are.
    """

    def __init__(self, potential: Potential, loader: Loader, world: World):
        self.potential = potential
        self.loader = loader
        self.world = world
        self._fixed = not loader.shuffle or self.steps(0) == 1

    def steps(self, epoch: int) -> int:
        """Number of batches of an epoch."""
        return len(self.loader.batches(epoch))

    def batches(self, epoch: int) -> Iterator[Batch | None]:
        """This process's share of the batches of an epoch; None where a batch has fewer frames than processes."""
        for indices in self.loader.batches(epoch):
            if self._fixed:  # a sum does not care for the order, and so the shares stay the same
                indices = sorted(indices)
            share = indices[self.world.rank :: self.world.size]
            yield self._prepared(usable(self._batch(share).to(self.potential.device))) if share else None

    def _prepared(self, batch: Batch) -> Batch:
        """With what the model wants made of the pairs beforehand, once for all evaluations of the batch."""
        if self.potential.precompute:
            return batch
        return replace(batch, graph=prepared(self.potential, batch.graph))

    def _batch(self, indices: Sequence[int]) -> Batch:
        return self.loader.batch(indices)

    def predict(self, batch: Batch, want: Collection[str], training: bool) -> Prediction:
        """Everything in `want`; differentiable with respect to the weights if `training`."""
        return evaluate(self.potential, batch.graph, want, create_graph=training)


class FeatureSource(GraphSource):
    """For models with `precompute`: features of every frame are made once, a step costs only the trained part.

    All features stay in memory: about 4 bytes × 3 × size per neighbor pair. Batches that are the same in every epoch
    (validation, and one batch of everything as for L-BFGS) are kept joined.
    """

    def __init__(self, potential: Potential, loader: Loader, world: World):
        super().__init__(potential, loader, world)
        self._features: dict[int, Any] = {}
        self._graphs: dict[int, Graph] = {}
        self._joined: dict[tuple[int, ...], Any] = {}

    def _batch(self, indices: Sequence[int]) -> Batch:
        for index in indices:
            if index not in self._features:
                self._prepare(index)
        frames = [self.loader.dataset[i] for i in indices]
        graphs = [self._graphs[i] for i in indices]
        return collate(frames, graphs, self.loader.labels, indices).to(dtype=self.loader.dtype)

    def _prepare(self, index: int) -> None:
        # in float64: features are differences of nearly equal numbers, and made only once
        graph = Graph.build(self.loader.dataset[index].system, self.potential.cutoff)
        self.potential.check(graph)
        self._features[index] = self.potential.features(graph.to(self.potential.device))
        self._graphs[index] = graph.replace(pairs=graph.pairs[:, :0], shifts=graph.shifts[:0])

    def _join(self, indices: tuple[int, ...]) -> Any:
        if indices in self._joined:
            return self._joined[indices]
        parts = [self._features[i] for i in indices]
        joined = type(parts[0]).batch(parts)
        if self._fixed:
            self._features |= dict.fromkeys(indices)  # kept once, not twice
        else:
            self._joined.clear()  # L-BFGS asks for the same batch many times, then never again
        self._joined[indices] = joined
        return joined

    def predict(self, batch: Batch, want: Collection[str], training: bool) -> Prediction:
        """Everything in `want`, from stored features; their graphs carry no pairs."""
        with torch.set_grad_enabled(training):
            return self.potential.predict_from(self._join(batch.indices), want)


def source(potential: Potential, loader: Loader, world: World) -> GraphSource:
    """The fitting source for this potential."""
    return (FeatureSource if potential.precompute else GraphSource)(potential, loader, world)
