"""Many systems in few evaluations: batches as large as pays and fits, results in the order of the input.

How large a batch may be is counted in pairs, because pairs hold the memory: an atom has dozens of them and counts
itself as `ATOM` more. On the CPU a batch is at most `CPU_SIZE`: every method is then about as fast as it gets (larger
tensors leave the caches) and takes a few hundred megabytes at most. Asking the system how much memory is free would
not help, for it promises more than it has. On a CUDA device every batch is measured, and the next may be as large
as fits into `SHARE` of what is free. Running out of memory halves the batch until it fits. No system is ever left
out: one that does not fit on its own is an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from adiabat.errors import AdiabatError, CapacityError, ConfigError
from adiabat.evaluate import check_request, derive
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction

ATOM = 8  # an atom counts as so many pairs
CPU_SIZE = 16_000  # pairs of a batch on the CPU
FIRST_SIZE = 8_000  # pairs of the first batch elsewhere, which is measured
LARGEST_SIZE = 1_000_000  # beyond, no device gets faster, and the graphs fill the host's memory
SHARE = 0.7  # of the free memory; what a batch takes is only nearly proportional to its pairs
PER_SYSTEM = frozenset({"energy", "stress", "dipole", "polarizability", "property", "uncertainty"})


@dataclass(frozen=True)
class Evaluated:
    """One batch.

    Attributes:
        indices: places of its systems in the input, consecutive.
        graphs: of its systems, one by one.
        graph: of the batch, on the potential's device.
        prediction: of the batch.
    """

    indices: range
    graphs: tuple[Graph, ...]
    graph: Graph
    prediction: Prediction


def evaluate_many(
    potential: Potential,
    systems: Iterable[System | Graph],
    want: Collection[str] = ("energy", "forces"),
    *,
    max_atoms: int | None = None,
    run: Callable[[Graph], Prediction] | None = None,
    names: Sequence[object] | None = None,
) -> Iterator[Prediction]:
    """The prediction of each system, in order, from as few evaluations as memory allows.

    Systems are taken from the iterable as they are needed, so there may be more of them than fit into memory.

    Args:
        potential: any.
        systems: structures, or graphs with at least the potential's cutoff; each stays together.
        want: names from `adiabat.evaluate.QUANTITIES`.
        max_atoms: largest number of atoms in a batch, if the automatic size is to be bounded further.
        run: evaluates a batch for the wanted quantities in a way of its own (compiled, frozen); None: as
            `adiabat.evaluate.evaluate` does.
        names: what errors call the systems; their numbers from 0 if not given.

    Raises:
        CapacityError: a single system does not fit into memory.
        CapabilityError, GeometryError: as `evaluate` and `Graph.build`, naming the system.
    """
    for done in evaluate_batches(potential, systems, want, max_atoms=max_atoms, run=run, names=names):
        yield from _split(done.prediction, done.graphs)


def evaluate_batches(
    potential: Potential,
    systems: Iterable[System | Graph],
    want: Collection[str] = ("energy", "forces"),
    *,
    max_atoms: int | None = None,
    run: Callable[[Graph], Prediction] | None = None,
    names: Sequence[object] | None = None,
) -> Iterator[Evaluated]:
    """`evaluate_many`, batch by batch."""
    if max_atoms is not None and max_atoms < 1:
        raise ConfigError(f"max_atoms = {max_atoms} leaves no room for any atom: give at least 1.")
    work = partial(derive, potential, want=want) if run is None else run
    room = _Room(potential.device)
    source = _graphs(potential, systems, want, names)
    waiting: list[Graph] = []
    begin = 0
    while graphs := _next(waiting, source, room.limit, 1 if "hessian" in want else max_atoms):
        size = sum(_size(g) for g in graphs)
        room.begin()
        done = _attempt(potential, graphs, work)
        if done is not None:
            room.succeeded(size)
            yield Evaluated(range(begin, begin + len(graphs)), tuple(graphs), *done)
            begin += len(graphs)
        elif len(graphs) > 1:
            room.failed(size)
            waiting[:0] = graphs
        else:
            raise _too_large(graphs[0], begin if names is None else names[begin], potential.device)


def _graphs(
    potential: Potential, systems: Iterable[System | Graph], want: Collection[str], names: Sequence[object] | None
) -> Iterator[Graph]:
    """Graph after graph; what cannot be evaluated is refused here, so that it does not depend on the batches."""
    for index, system in enumerate(systems):
        try:
            graph = system if isinstance(system, Graph) else Graph.build(system, potential.cutoff)
            check_request(potential, graph, want)
        except AdiabatError as error:
            raise type(error)(f"structure {index if names is None else names[index]}: {error}") from error
        yield graph


def _next(waiting: list[Graph], source: Iterator[Graph], limit: float, max_atoms: int | None) -> list[Graph]:
    """The next graphs that go together, at least one; `waiting` keeps the one that was one too many."""
    chosen: list[Graph] = []
    total = atoms = 0
    pending = waiting[:]
    waiting.clear()
    for graph in itertools.chain(pending, source):
        total, atoms = total + _size(graph), atoms + graph.system.atoms
        if chosen and (total > limit or (max_atoms is not None and atoms > max_atoms)):
            waiting.append(graph)
            break
        chosen.append(graph)
    waiting.extend(pending[len(chosen) + len(waiting) :])
    return chosen


def _size(graph: Graph) -> int:
    return graph.pairs.shape[1] + ATOM * graph.system.atoms


def _attempt(
    potential: Potential, graphs: Sequence[Graph], work: Callable[[Graph], Prediction]
) -> tuple[Graph, Prediction] | None:
    """The batch's graph and prediction, or None if memory ran out.

    The caller goes on only after the return: as long as the error is alive, it holds the tensors of the attempt.
    """
    try:
        graph = Graph.batch(graphs).to(potential.device, potential.dtype)
        return graph, work(graph)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        return None


def _out_of_memory(error: Exception) -> bool:
    # the CPU's allocator raises a plain RuntimeError, whose text differs between systems
    texts = ("out of memory", "can't allocate memory", "not enough memory", "DefaultCPUAllocator", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts)


def _too_large(graph: Graph, name: object, device: torch.device) -> CapacityError:
    return CapacityError(
        f"structure {name} with {graph.system.atoms} atoms and {graph.pairs.shape[1]} pairs does not fit into the"
        f" memory of the device {device}, even alone: use float32, a smaller model or a machine with more memory."
    )


class _Room:
    """How large the next batch may be, in pairs."""

    def __init__(self, device: torch.device):
        self.device = device
        self.limit: float = CPU_SIZE if device.type == "cpu" else FIRST_SIZE
        self._failed = float("inf")  # smallest size that did not fit
        self._largest, self._bytes = 0, 1.0  # the largest batch so far and its bytes per pair
        self._before = 0

    def begin(self) -> None:
        """Before a batch."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)

    def failed(self, size: int) -> None:
        """A batch did not fit."""
        self._failed = min(self._failed, size)
        self.limit = size / 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def succeeded(self, size: int) -> None:
        """A batch fitted: the next may be larger, but never again near a size that failed."""
        growth = 4.0 if self._failed == float("inf") else 1.25
        limit = min(max(self.limit, growth * size), 0.75 * self._failed, LARGEST_SIZE)
        self.limit = min(limit, CPU_SIZE) if self.device.type == "cpu" else self._fitting(size, limit)

    def _fitting(self, size: int, limit: float) -> float:
        if self.device.type != "cuda":  # nothing to measure with
            return self.limit
        if size >= self._largest:  # a smaller batch says less about large ones
            taken = torch.cuda.max_memory_allocated(self.device) - self._before
            self._largest, self._bytes = size, max(taken / size, 1.0)
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + unused
        return min(limit, SHARE * free / self._bytes)


def _split(prediction: Prediction, graphs: Sequence[Graph]) -> Iterator[Prediction]:
    """The predictions of the graphs of a batch."""
    if len(graphs) == 1:
        yield prediction
        return
    atoms = [g.system.atoms for g in graphs]
    systems = [len(g.system) for g in graphs]
    parts = {
        f.name: value.split(systems if f.name in PER_SYSTEM else atoms)
        for f in fields(prediction)
        if isinstance(value := getattr(prediction, f.name), Tensor)
    }
    properties = {name: value.split(atoms) for name, value in prediction.properties.items()}
    for k in range(len(graphs)):
        own = {name: values[k] for name, values in properties.items()}
        yield Prediction(**{name: values[k] for name, values in parts.items()}, properties=own)
