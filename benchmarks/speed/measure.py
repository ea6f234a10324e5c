"""The measurements of one method, as rows."""

import math
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from speed.driver import BenchmarkError, MemoryGuard, Worker, alternate, check_agreement
from speed.environments import interpreter
from speed.methods import METHODS
from speed.structures import ALLOY, SILICON

BATCH = 8


@dataclass
class Plan:
    """What to measure, with which interpreters, and until when (`time.monotonic()`); the rows found so far.

    `called` are the methods that have run already and left compiled code in their caches.
    """

    works: tuple
    methods: tuple
    atoms: tuple
    threads: tuple
    rounds: int
    limit: float
    mode: dict
    given: dict
    folder: Path
    deadline: float
    rows: list = field(default_factory=list)
    facts: dict = field(default_factory=dict)
    called: set = field(default_factory=set)

    def add(self, work, method, atoms, threads, **values):
        """Appends a row and says so."""
        empty = {"ours_ms": None, "peer_ms": None, "ratio": None, "spread": None}
        own = METHODS[method]
        peer = "" if work == "scaling" else own.peer
        empty |= {"note": own.note} if own.note and peer else {}
        row = {"work": work, "method": method, "peer": peer, "atoms": atoms, "threads": threads, **empty, **values}
        self.rows.append(row)
        numbers = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items() if v is not None}
        print(" ".join(f"{k}={v}" for k, v in numbers.items()), file=sys.stderr, flush=True)

    def asks(self, method, *works):
        """Whether one of these kinds of work is to be measured of a method."""
        return bool(set(works) & set(self.works) & set(METHODS[method].works))

    def late(self, work, method, atoms, threads):
        """Whether the time is over; then a row says so."""
        over = time.monotonic() > self.deadline
        if over:
            self.add(work, method, atoms, threads, note="not run: the time of a quick run was over")
        return over

    def worker(self, stack, method, side, threads):
        """A loaded worker, `ours` or `peer`."""
        python = sys.executable if side == "ours" else interpreter(METHODS[method].peer, self.given)
        module = METHODS[method].ours if side == "ours" else METHODS[method].module
        cache = self.folder / "caches" / side
        worker = stack.enter_context(Worker(python, module, threads, cache))
        folder = self.folder / method
        folder.mkdir(parents=True, exist_ok=True)
        self.facts[f"{method} {side}"] = worker.ask(
            "load", method=method, folder=str(folder), threads=threads, mode=self.mode
        )
        return worker

    def pair(self, stack, method, threads):
        """Ours and the peer; the one that makes the weights comes first."""
        order = ("peer", "ours") if METHODS[method].own is None else ("ours", "peer")
        found = {side: self.worker(stack, method, side, threads) for side in order}
        return found["ours"], found["peer"]


def measure(plan, save):
    """All rows: one thread and memory first, then other numbers of threads, then growing structures.

    `save` is called after every part. What adiabat does not have gets a row with a note.
    """
    parts = [(beside_peer, threads) for threads in plan.threads]
    parts.insert(1, (memory, 1))
    parts += [(descriptors, 1), (scaling, 1), (fit, 1)]
    absent = set()
    for part, threads in parts:
        for method in plan.methods:
            if method in absent or not plan.asks(method, *WORKS_OF[part]):
                continue
            try:
                part(plan, method, threads)
            except BenchmarkError as error:
                if "CapabilityError" not in str(error):
                    raise
                absent.add(method)
                plan.add(plan.works[0], method, None, None, note=f"not there: {error}")
            save()


def beside_peer(plan, method, threads):
    """Inference at every size and training, taking turns; the first call of both processes."""
    with ExitStack() as stack:
        workers = plan.pair(stack, method, threads)
        guards = [MemoryGuard(worker) for worker in workers]
        if plan.asks(method, "inference", "first_call"):
            for place, atoms in enumerate(plan.atoms):
                if not plan.late("inference", method, atoms, threads):
                    inference(plan, method, threads, atoms, workers, guards, first=place == 0)
        if plan.asks(method, "training") and not plan.late("training", method, 21, threads):
            training(plan, method, threads, workers)


def training(plan, method, threads, workers):
    """Adam steps with a force loss."""
    deviation, _, mode = compare("training", method, 21, workers)
    row = alternate(workers, plan.rounds, plan.limit)
    row |= {f"{who}_samples_per_s": 1e3 * BATCH / row[f"{who}_ms"] for who in ("ours", "peer")}
    plan.add("training", method, 21, threads, batch=BATCH, **row, deviation=deviation, mode=mode)


def compare(work, method, atoms, workers):
    """First calls of both: their deviation, their wall times in ms, and the mode of ours."""
    first = [worker.ask("prepare", work=work, atoms=atoms) for worker in workers]
    results = [answer["result"] for answer in first]
    tolerance = METHODS[method].tolerance
    label = f"{method}, {work}, {atoms} atoms"
    deviation = None if math.isinf(tolerance) else check_agreement(label, *results, tolerance)
    return deviation, [answer["wall_ms"] for answer in first], first[0]["mode"]


def inference(plan, method, threads, atoms, workers, guards, first):
    """One size: what does not fit into memory is left out, and the row says so."""
    missing = [guard.missing(atoms) for guard in guards]
    if missing[0]:
        plan.add("inference", method, atoms, threads, note=f"ours {missing[0]}")
        return
    if missing[1]:
        workers, guards = workers[:1], guards[:1]
        mode = workers[0].ask("prepare", work="inference", atoms=atoms)["mode"]
        extra = {"note": f"peer {missing[1]}"}
    else:
        deviation, wall, mode = compare("inference", method, atoms, workers)
        extra = {"deviation": deviation}
        if first:
            first_call(plan, method, atoms, threads, wall, mode)
    if plan.asks(method, "inference"):
        row = alternate(workers, plan.rounds, plan.limit)
        plan.add("inference", method, atoms, threads, **row, **extra, mode=mode)
    for guard in guards:
        guard.observe(atoms)


def first_call(plan, method, atoms, threads, wall, mode):
    """The first calls of two new processes; only the first ones of a run find empty caches."""
    if plan.asks(method, "first_call"):
        caches = "filled" if method in plan.called else "empty"
        values = {"ours_ms": wall[0], "peer_ms": wall[1], "ratio": wall[0] / wall[1]}
        plan.add("first_call", method, atoms, threads, **values, caches=caches, mode=mode)
    plan.called.add(method)


def memory(plan, method, threads, atoms=512):
    """Highest resident memory of fresh processes, and how much of it came on top of the loaded model."""
    if plan.late("memory", method, atoms, threads):
        return
    found, first = {}, []
    with ExitStack() as stack:
        for who, worker in zip(("ours", "peer"), plan.pair(stack, method, threads), strict=True):
            loaded = worker.ask("memory")["peak_mb"]
            first.append(worker.ask("prepare", work="inference", atoms=21))
            worker.ask("prepare", work="inference", atoms=atoms)
            worker.ask("time", repeat=2)
            peak = worker.ask("memory")["peak_mb"]
            found |= {f"{who}_mb": peak - loaded, f"{who}_peak_mb": peak}
    found["ratio"] = found["ours_mb"] / found["peer_mb"]
    found["peak_ratio"] = found["ours_peak_mb"] / found["peer_peak_mb"]
    plan.add("memory", method, atoms, threads, **found, mode=first[0]["mode"])
    first_call(plan, method, 21, threads, [answer["wall_ms"] for answer in first], first[0]["mode"])


def descriptors(plan, method, threads):
    """Values alone, and values with gradients for a molecule: the peer's finite differences take minutes for more."""
    for work, sizes in (("descriptor", [n for n in plan.atoms if n <= 512]), ("descriptor_slopes", [21])):
        with ExitStack() as stack:
            workers = plan.pair(stack, method, threads)
            for atoms in sizes:
                if work in plan.works and not plan.late(work, method, atoms, threads):
                    deviation, _, mode = compare(work, method, atoms, workers)
                    row = alternate(workers, plan.rounds, plan.limit)
                    plan.add(work, method, atoms, threads, **row, deviation=deviation, mode=mode)


def scaling(plan, method, threads):
    """Ours alone on silicon of growing size; the ratio is the cost per atom over that of the smallest."""
    smallest = None
    with ExitStack() as stack:
        if METHODS[method].own is None and not (plan.folder / method / "meta.json").exists():
            # otherwise we make them, or an earlier part made the peer write its weights
            with ExitStack() as brief:
                plan.worker(brief, method, "peer", threads)
        worker = plan.worker(stack, method, "ours", threads)
        guard = MemoryGuard(worker)
        for atoms in SILICON:
            if plan.late("scaling", method, atoms, threads):
                break
            missing = guard.missing(atoms)
            if missing:
                plan.add("scaling", method, atoms, threads, note=missing)
                break  # the larger ones need even more
            mode = worker.ask("prepare", work="inference", atoms=atoms)["mode"]
            row = alternate([worker], plan.rounds, plan.limit)
            cost = 1e3 * row["ours_ms"] / atoms
            smallest = smallest or cost
            plan.add("scaling", method, atoms, threads, **row, us_per_atom=cost, ratio=cost / smallest, mode=mode)
            guard.observe(atoms)


def fit(plan, method, threads):
    """One linear fit in a process of its own, labels made beforehand: seconds, and the peak of the whole process."""
    with ExitStack() as stack:
        worker = plan.worker(stack, method, "ours", threads)
        answer = worker.ask("prepare", work="fit", atoms=ALLOY)
        peak = worker.ask("memory")["peak_mb"]
    values = {"ours_ms": answer["cpu_ms"], "cpu_s": 1e-3 * answer["cpu_ms"], "wall_s": 1e-3 * answer["wall_ms"]}
    plan.add("fit", method, ALLOY, threads, **values, ours_peak_mb=peak, **answer["result"], mode=answer["mode"])


WORKS_OF = {
    beside_peer: ("inference", "training", "first_call"),
    memory: ("memory",),
    descriptors: ("descriptor", "descriptor_slopes"),
    scaling: ("scaling",),
    fit: ("fit",),
}
