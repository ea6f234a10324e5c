"""Loader: batches of graphs from a data set, in an order that (seed, epoch) alone decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from adiabat.data.dataset import Dataset
from adiabat.data.frame import LABELS, Batch, Frame, collate
from adiabat.errors import ConfigError, DataError, GeometryError, did_you_mean
from adiabat.geometry import Graph

CACHED_PAIRS = 20_000_000  # about 0.8 GB of pairs and shifts


class Loader:
    """Iterates over a data set as Batch objects; neighbor lists are made once a frame and kept.

    Args:
        dataset: frames by index.
        cutoff: Å, of the graphs; infinite for a global model.
        batch_size: frames in a batch; or
        max_atoms: largest number of atoms in a batch (a larger frame makes a batch of its own).
        labels: which labels the batches carry; what a frame lacks is masked.
        shuffle: a new order every epoch, decided by (seed, epoch) alone; False keeps the data set's order.
        seed: of the shuffling.
        dtype: floating-point type of positions and labels; energies stay in float64.
        rank: number of this process of a distributed run.
        world: number of processes. Every process draws every world-th batch. With `shuffle` the list is filled up
            from its beginning so that all processes take the same number of steps; without it nothing is repeated.
        cached_pairs: largest number of neighbor pairs kept in memory; frames beyond are searched again every time.

    Raises ConfigError for options that contradict each other; while iterating, DataError naming the frame whose
    structure no graph can be made of.
    """

    def __init__(
        self,
        dataset: Dataset,
        cutoff: float,
        *,
        batch_size: int | None = None,
        max_atoms: int | None = None,
        labels: Sequence[str] = ("energy", "forces"),
        shuffle: bool = False,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        rank: int = 0,
        world: int = 1,
        cached_pairs: int = CACHED_PAIRS,
    ):
        if (batch_size is None) == (max_atoms is None):
            raise ConfigError("give either batch_size (frames) or max_atoms, not both and not neither.")
        if (batch_size or max_atoms or 0) < 1:
            raise ConfigError(f"a batch of {batch_size or max_atoms or 0} is empty: give at least 1.")
        if not 0 <= rank < world:
            raise ConfigError(f"rank {rank} is not below world {world}: ranks count from 0.")
        if len(dataset) == 0:
            raise DataError("the data set has no frames to make batches of.")
        for label in labels:
            if label not in LABELS:
                raise ConfigError(f"'{label}' is not a label.{did_you_mean(label, LABELS)}")
        self.dataset = dataset
        self.cutoff = float(cutoff)
        self.batch_size = batch_size
        self.max_atoms = max_atoms
        self.labels = tuple(labels)
        self.shuffle = shuffle
        self.seed = seed
        self.dtype = dtype
        self.rank = rank
        self.world = world
        self.epoch = 0
        self._room = cached_pairs
        self._graphs: dict[int, Graph] = {}
        self._atoms: list[int] | None = None

    def __len__(self) -> int:
        return len(self.batches(self.epoch))

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the present epoch, `self.epoch`, which the caller counts up."""
        return (self.batch(indices) for indices in self.batches(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order the next iteration follows."""
        self.epoch = epoch

    def order(self, epoch: int) -> list[int]:
        """The frames' order in an epoch."""
        if not self.shuffle:
            return list(range(len(self.dataset)))
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset)).tolist()

    def batches(self, epoch: int) -> list[list[int]]:
        """The frame indices of this process's batches in an epoch."""
        order = self.order(epoch)
        if self.batch_size is not None:
            batches = [order[k : k + self.batch_size] for k in range(0, len(order), self.batch_size)]
        else:
            batches = self._packed(order)
        if self.shuffle and self.world > 1:
            missing = -len(batches) % self.world
            batches += [batches[k % len(batches)] for k in range(missing)]
        return batches[self.rank :: self.world]

    def _packed(self, order: list[int]) -> list[list[int]]:
        if self._atoms is None:
            self._atoms = [frame.system.atoms for frame in self.dataset]
        assert self.max_atoms is not None
        batches: list[list[int]] = []
        filled = 0
        for index in order:
            atoms = self._atoms[index]
            if not batches or filled + atoms > self.max_atoms:
                batches.append([])
                filled = 0
            batches[-1].append(index)
            filled += atoms
        return batches

    def batch(self, indices: Sequence[int]) -> Batch:
        """The batch of some frames."""
        frames = [self.dataset[i] for i in indices]
        graphs = [self._graph(i, frame) for i, frame in zip(indices, frames, strict=True)]
        return collate(frames, graphs, self.labels, indices).to(dtype=self.dtype)

    def graph(self, index: int) -> Graph:
        """The graph of one frame, from memory if it is there."""
        return self._graph(index, self.dataset[index])

    def _graph(self, index: int, frame: Frame) -> Graph:
        if index in self._graphs:
            return self._graphs[index]
        try:
            # pairs are found in float64, so that every dtype sees the same ones
            graph = Graph.build(frame.system, self.cutoff).to(dtype=self.dtype)
        except GeometryError as error:
            raise DataError(f"frame {index}: {error}") from error
        pairs = graph.pairs.shape[1]
        if pairs <= self._room:
            self._graphs[index] = graph
            self._room -= pairs
        return graph
