"""The measurements of one method, as rows."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from speed.driver import BenchmarkError, MemoryGuard, Worker, alternate, check_agreement
from speed.environments import interpreter
from speed.methods import METHODS
from speed.structures import SILICON

BATCH = 8
MODULE = "ours_potential"


@dataclass
class Plan:
    """What to measure, and the interpreters given for the peers."""

    works: tuple
    methods: tuple
    atoms: tuple
    threads: tuple
    rounds: int
    limit: float
    mode: str
    given: dict
    folder: Path
    rows: list = field(default_factory=list)
    facts: dict = field(default_factory=dict)

    def add(self, work, method, atoms, threads, **values):
        """Appends a row and says so."""
        empty = {"ours_ms": None, "peer_ms": None, "ratio": None, "spread": None}
        peer = "" if work == "scaling" else METHODS[method].peer
        row = {"work": work, "method": method, "peer": peer, "atoms": atoms, "threads": threads, **empty, **values}
        self.rows.append(row)
        numbers = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items() if v is not None}
        print(" ".join(f"{k}={v}" for k, v in numbers.items()), file=sys.stderr, flush=True)

    def worker(self, stack, method, side, threads, label):
        """A loaded worker, `ours` or `peer`."""
        python = sys.executable if side == "ours" else interpreter(METHODS[method].peer, self.given)
        module = MODULE if side == "ours" else METHODS[method].module
        cache = self.folder / "caches" / side / label
        worker = stack.enter_context(Worker(python, module, threads, cache))
        folder = self.folder / method
        folder.mkdir(parents=True, exist_ok=True)
        self.facts[f"{method} {side}"] = worker.ask(
            "load", method=method, folder=str(folder), threads=threads, mode=self.mode
        )
        return worker

    def pair(self, stack, method, threads, label):
        """Ours and the peer, which writes the weights first."""
        peer = self.worker(stack, method, "peer", threads, label)
        return self.worker(stack, method, "ours", threads, label), peer

    def used(self, method, work):
        """The mode in which ours ran."""
        return {"mode": self.facts[f"{method} ours"]["mode"][work]}


def measure(plan, method):
    """All rows of one method; one row with a note if adiabat does not have it."""
    try:
        for threads in plan.threads:
            with ExitStack() as stack:
                beside_peer(plan, method, threads, plan.pair(stack, method, threads, f"threads{threads}"))
        if "memory" in plan.works:
            memory(plan, method)
        if "scaling" in plan.works:
            scaling(plan, method)
    except BenchmarkError as error:
        if "CapabilityError" not in str(error):
            raise
        plan.add(plan.works[0], method, None, None, note=f"not there: {error}")


def beside_peer(plan, method, threads, workers):
    """Inference at every size and training, taking turns; the first call of both processes."""
    guards = [MemoryGuard(), MemoryGuard()]
    if {"inference", "first_call"} & set(plan.works):
        for place, atoms in enumerate(plan.atoms):
            inference(plan, method, threads, atoms, workers, guards, first=place == 0)
    if "training" in plan.works:
        deviation = compare("training", 21, workers, f"{method}, training")[0]
        row = alternate(workers, plan.rounds, plan.limit)
        rates = {f"{who}_samples_per_s": 1e3 * BATCH / row[f"{who}_ms"] for who in ("ours", "peer")}
        plan.add(
            "training", method, 21, threads, batch=BATCH, **row, **rates, deviation=deviation,
            **plan.used(method, "training"),
        )  # fmt: skip


def compare(work, atoms, workers, label):
    """First calls of both: their deviation and their wall times, ms."""
    first = [worker.ask("prepare", work=work, atoms=atoms) for worker in workers]
    return check_agreement(label, *first), [answer["wall_ms"] for answer in first]


def inference(plan, method, threads, atoms, workers, guards, first):
    """One size: what does not fit into memory is left out, and the row says so."""
    notes = [guard.missing(atoms) for guard in guards]
    if notes[0]:
        plan.add("inference", method, atoms, threads, note=f"ours {notes[0]}")
        return
    if notes[1]:
        workers[0].ask("prepare", work="inference", atoms=atoms)
        row = alternate(workers[:1], plan.rounds, plan.limit)
        plan.add(
            "inference", method, atoms, threads, **row, note=f"peer {notes[1]}", **plan.used(method, "inference")
        )
        guards[0].observe(workers[0], atoms)
        return
    deviation, wall = compare("inference", atoms, workers, f"{method}, {atoms} atoms")
    if first and "first_call" in plan.works:
        plan.add(
            "first_call", method, atoms, threads, ours_ms=wall[0], peer_ms=wall[1], ratio=wall[0] / wall[1],
            caches="empty", **plan.used(method, "inference"),
        )  # fmt: skip
    if "inference" in plan.works:
        row = alternate(workers, plan.rounds, plan.limit)
        plan.add("inference", method, atoms, threads, **row, deviation=deviation, **plan.used(method, "inference"))
    for guard, worker in zip(guards, workers, strict=True):
        guard.observe(worker, atoms)


def memory(plan, method, atoms=512):
    """Highest resident memory of fresh processes, and how much of it came on top of the loaded model."""
    found, first = {}, {}
    with ExitStack() as stack:
        for who, worker in zip(
            ("ours", "peer"), plan.pair(stack, method, 1, f"threads{plan.threads[0]}"), strict=True
        ):
            loaded = worker.ask("memory")
            first[who] = worker.ask("prepare", work="inference", atoms=21)["wall_ms"]
            worker.ask("prepare", work="inference", atoms=atoms)
            worker.ask("time", repeat=2)
            peak = worker.ask("memory")["peak_mb"]
            found |= {f"{who}_mb": peak - loaded["peak_mb"], f"{who}_peak_mb": peak}
    ratios = {
        "ratio": found["ours_mb"] / found["peer_mb"],
        "peak_ratio": found["ours_peak_mb"] / found["peer_peak_mb"],
    }
    plan.add("memory", method, atoms, 1, **found, **ratios, **plan.used(method, "inference"))
    if "first_call" in plan.works:
        plan.add(
            "first_call", method, 21, 1, ours_ms=first["ours"], peer_ms=first["peer"],
            ratio=first["ours"] / first["peer"], caches="filled", **plan.used(method, "inference"),
        )  # fmt: skip


def scaling(plan, method):
    """Ours alone on silicon of growing size; the ratio is the cost per atom over that of the smallest."""
    guard, smallest = MemoryGuard(), None
    with ExitStack() as stack:
        worker = plan.worker(stack, method, "ours", 1, f"threads{plan.threads[0]}")
        for atoms in SILICON:
            note = guard.missing(atoms)
            if note:
                plan.add("scaling", method, atoms, 1, note=note)
                continue
            worker.ask("prepare", work="inference", atoms=atoms)
            row = alternate([worker], plan.rounds, plan.limit)
            cost = 1e3 * row["ours_ms"] / atoms
            smallest = smallest or cost
            plan.add("scaling", method, atoms, 1, **row, us_per_atom=cost, ratio=cost / smallest)
            guard.observe(worker, atoms)
