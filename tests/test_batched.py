"""Many systems in few evaluations: order, equality with one by one, and running out of memory."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from adiabat import batched
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.batched import evaluate_batches, evaluate_many
from adiabat.errors import CapabilityError, CapacityError, ConfigError, GeometryError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System

CUTOFF = 4.0
ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "numpy": MemoryError("Unable to allocate 8.00 GiB"),
}


@pytest.fixture
def schnet():
    torch.manual_seed(0)
    return SchNet(SchNetConfig(channels=8, layers=2, basis=8, cutoff=CUTOFF), [1, 6, 8, 14]).eval()


def structures():
    silicon = bulk("Si", cubic=True)
    silicon.rattle(0.05, seed=0)
    names = ("H2O", "CH3CH2OH", "C6H6", "CH4")
    found = [molecule(name) for name in names] + [silicon, Atoms("H"), molecule("CO2"), silicon.repeat((2, 1, 1))]
    return [System.from_ase(a) for a in found * 2]


class Limited:
    """Evaluates up to so many pairs and raises beyond; keeps what it was asked for."""

    def __init__(self, potential, pairs, error):
        self.potential, self.pairs, self.error = potential, pairs, error
        self.tried, self.fitted = [], []

    def __call__(self, graph):
        size = graph.pairs.shape[1]
        self.tried.append(size)
        if size > self.pairs:
            raise self.error
        self.fitted.append(size)
        return evaluate(self.potential, graph)


def some(value):
    """Not None."""
    assert value is not None
    return value


def equal(potential, systems, predictions):
    predictions = list(predictions)
    assert len(predictions) == len(systems)
    for system, found in zip(systems, predictions, strict=True):
        alone = evaluate(potential, Graph.build(system, CUTOFF))
        assert found.energy.shape == (1,)
        assert torch.allclose(found.energy, alone.energy, atol=1e-10)
        assert torch.allclose(some(found.forces), some(alone.forces), atol=1e-10)
        assert torch.allclose(some(found.atomic_energies), some(alone.atomic_energies), atol=1e-10)


def test_equals_one_by_one_in_the_order_given(schnet, monkeypatch):
    systems = structures()
    equal(schnet, systems, evaluate_many(schnet, systems))
    equal(schnet, systems, evaluate_many(schnet, (Graph.build(s, CUTOFF) for s in systems)))
    monkeypatch.setattr(batched, "CPU_SIZE", 300)
    batches = list(evaluate_batches(schnet, systems))
    assert [k for b in batches for k in b.indices] == list(range(len(systems)))
    sizes = [b.graph.pairs.shape[1] for b in batches]
    assert len(batches) < len(systems)
    assert all(size <= 300 or len(b.indices) == 1 for size, b in zip(sizes, batches, strict=True))
    equal(schnet, systems, evaluate_many(schnet, systems))


def test_a_bound_on_atoms(schnet):
    systems = structures()
    batches = list(evaluate_batches(schnet, systems, max_atoms=10))
    assert all(b.graph.system.atoms <= 10 or len(b.indices) == 1 for b in batches)
    assert max(len(b.indices) for b in batches) > 1
    with pytest.raises(ConfigError, match="max_atoms = 0"):
        list(evaluate_many(schnet, systems, max_atoms=0))


def test_systems_are_taken_as_they_are_needed(schnet):
    taken = []

    def endless():
        while True:
            taken.append(System.from_ase(molecule("CH4")))
            yield taken[-1]

    predictions = evaluate_many(schnet, endless(), max_atoms=50)
    for _ in range(25):
        next(predictions)
    assert len(taken) < 40


@pytest.mark.parametrize("kind", ERRORS)
def test_out_of_memory_halves_the_batch(schnet, kind):
    systems = structures() * 4
    largest = max(Graph.build(s, CUTOFF).pairs.shape[1] for s in systems)
    limited = Limited(schnet, 2 * largest, ERRORS[kind])
    equal(schnet, systems, evaluate_many(schnet, systems, run=limited))
    failed = [size for size in limited.tried if size > limited.pairs]
    assert failed == sorted(failed, reverse=True)  # what failed once is not tried again
    assert 1 <= len(failed) < 5
    assert max(limited.fitted) > largest  # and the batches grow again below it
    assert sum(limited.fitted) == sum(Graph.build(s, CUTOFF).pairs.shape[1] for s in systems)


def test_one_that_does_not_fit_is_named(schnet):
    systems = [*structures()[:4], structures()[7]]
    limited = Limited(schnet, 140, ERRORS["cpu"])
    predictions = evaluate_many(schnet, systems, run=limited)
    pairs = Graph.build(systems[4], CUTOFF).pairs.shape[1]
    for _ in range(4):
        next(predictions)
    with pytest.raises(CapacityError, match=f"structure 4 with 16 atoms and {pairs} pairs does not fit"):
        next(predictions)
    with pytest.raises(CapacityError, match="structure crystal "):
        list(evaluate_many(schnet, systems[4:], run=limited, names=["crystal"]))


def test_other_errors_are_passed_on(schnet):
    limited = Limited(schnet, 10, RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="scalar type"):
        list(evaluate_many(schnet, structures(), run=limited))
    assert len(limited.tried) == 1


def test_what_cannot_be_had_does_not_depend_on_the_batches(schnet):
    systems = structures()
    stress = [some(p.stress) for p in evaluate_many(schnet, [systems[4], systems[7]], ("energy", "stress"))]
    assert [s.shape for s in stress] == [(1, 3, 3)] * 2
    with pytest.raises(CapabilityError, match="structure 1: stress needs a periodic cell"):
        list(evaluate_many(schnet, [systems[4], systems[0]], ("energy", "stress")))
    with pytest.raises(GeometryError, match="structure 2: this model does not know N"):
        list(evaluate_many(schnet, [*systems[:2], System.from_ase(molecule("NH3"))]))


def test_hessians_come_one_by_one(schnet):
    found = list(evaluate_many(schnet, structures()[:3], ("energy", "hessian")))
    assert [some(p.hessian).shape[0] for p in found] == [9, 27, 36]


def test_a_system_of_several_stays_together(schnet):
    systems = structures()
    both = System.batch([systems[0], systems[4]])
    first, second, third = evaluate_many(schnet, [systems[1], both, systems[2]])
    assert (len(first.energy), len(second.energy), len(third.energy)) == (1, 2, 1)
    assert some(second.forces).shape == (11, 3)


def test_replicas_step_together(schnet):
    """Steepest descent of many replicas: one call a step."""
    start = System.from_ase(molecule("CH3CH2OH"))
    random = np.random.default_rng(0)
    systems = [
        start.replace(positions=start.positions + torch.as_tensor(random.normal(0, 0.05, (9, 3)))) for _ in range(5)
    ]
    energies = []
    for _ in range(5):
        found = list(evaluate_many(schnet, systems))
        energies.append([float(p.energy) for p in found])
        systems = [
            s.replace(positions=s.positions + 0.002 * some(p.forces)) for s, p in zip(systems, found, strict=True)
        ]
    assert bool((np.diff(energies, axis=0) < 0).all())


def test_the_size_follows_the_memory_of_the_device(monkeypatch):
    taken = {"bytes": 0}
    calls = {
        "reset_peak_memory_stats": lambda device: None,
        "memory_allocated": lambda device: 10_000_000,
        "memory_reserved": lambda device: 10_000_000,
        "max_memory_allocated": lambda device: 10_000_000 + taken["bytes"],
        "mem_get_info": lambda device: (4_000_000_000, 8_000_000_000),
        "empty_cache": lambda: None,
    }
    for name, call in calls.items():
        monkeypatch.setattr(torch.cuda, name, call)
    room = batched._Room(torch.device("cuda"))
    assert room.limit == batched.FIRST_SIZE
    limits = []
    for _ in range(6):
        room.begin()
        size = int(room.limit)
        taken["bytes"] = 50_000 * size
        room.succeeded(size)
        limits.append(room.limit)
    fits = batched.SHARE * 4e9 / 50_000
    assert limits[0] == 4 * batched.FIRST_SIZE  # not at once to where one small batch points
    assert limits[-1] == pytest.approx(fits, rel=1e-3)
    room.failed(50_000)
    assert room.limit == 25_000
    for _ in range(9):
        room.begin()
        room.succeeded(int(room.limit))
    assert 25_000 < room.limit <= 0.75 * 50_000
