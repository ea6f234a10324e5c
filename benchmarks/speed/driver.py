"""Two worker processes side by side: start them, check that they agree, and let them take turns."""

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
ROUND = 0.25  # seconds of CPU time that one turn of a program lasts, if a single call is not longer


class BenchmarkError(Exception):
    """Says in one sentence why a comparison cannot be made."""


class Worker:
    """A process that answers JSON requests; use as a context manager."""

    def __init__(self, interpreter, module, threads, cache):
        caches = {"XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
        environment = {**os.environ, **caches, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self.name = module
        self.process = subprocess.Popen(
            [str(interpreter), "-W", "ignore", "-m", "speed.worker", module],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONPATH": str(HERE)},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def ask(self, do, **request):
        """Sends a request and waits for its answer."""
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer below tells the same
        line = self.process.stdout.readline()
        if not line:
            raise BenchmarkError(
                f"the worker {self.name} ended with code {self.process.wait()} during '{do}': its message is above;"
                " -9 usually means that memory ran out."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"the worker {self.name} failed during '{do}' {request}: {answer['error']}")
        return answer


def check_agreement(label, ours, peer, tolerance):
    """Compares the results of the first call; answers with the deviation, relative to the largest value."""
    deviations = {}
    for name in ours:
        a, b = np.asarray(ours[name]), np.asarray(peer[name])
        deviation = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-12))
        deviations[name] = deviation if np.isfinite(deviation) else np.inf
    worst = max(deviations, key=deviations.get)
    if deviations[worst] > tolerance:
        raise BenchmarkError(
            f"{label}: {worst} of the two programs differ by {deviations[worst]:.1e} of the largest value where"
            f" {tolerance:.0e} is allowed, so their times say nothing: check the importer and the options first."
        )
    return deviations[worst]


def repeats(worker):
    """How many calls make a turn, after enough calls to warm up."""
    single = worker.ask("time", repeat=1)["cpu_ms"] / 1e3
    if single < 5:
        single = worker.ask("time", repeat=3)["cpu_ms"] / 1e3
    return int(np.clip(ROUND / max(single, 1e-6), 1, 200))


def alternate(workers, rounds, limit):
    """Median times of workers that take turns, and the median and spread of each round's ratio.

    Args:
        workers: one or two of them, ours first.
        rounds: number of turns of each; at least three, then as many as fit into `limit`.
        limit: seconds.
    """
    counts, start, times = [repeats(worker) for worker in workers], time.monotonic(), []
    while len(times) < rounds and (len(times) < 3 or time.monotonic() - start < limit):
        times.append([worker.ask("time", repeat=n) for worker, n in zip(workers, counts, strict=True)])
    row = {"rounds": len(times)}
    for who, answers in zip(("ours", "peer"), zip(*times, strict=True), strict=False):
        row[f"{who}_ms"] = float(np.median([a["cpu_ms"] for a in answers]))
        row[f"{who}_wall_ms"] = float(np.median([a["wall_ms"] for a in answers]))
    if len(workers) == 2:
        ratios = [ours["cpu_ms"] / peer["cpu_ms"] for ours, peer in times]
        row["ratio"] = float(np.median(ratios))
        row["spread"] = float(np.subtract(*np.percentile(ratios, [75, 25])))
    return row


class MemoryGuard:
    """Tells from a smaller structure whether a larger one fits into memory."""

    def __init__(self, worker):
        self.worker = worker
        self.loaded = worker.ask("memory")["peak_mb"]
        self.known = None

    def observe(self, atoms):
        """Remembers what a structure took beyond the loaded model."""
        self.known = (atoms, self.worker.ask("memory")["peak_mb"] - self.loaded)

    def missing(self, atoms):
        """A sentence if the structure would not fit, else an empty text."""
        if self.known is None:
            return ""
        needed = self.known[1] * atoms / self.known[0]
        room = available_mb() + self.worker.ask("memory")["resident_mb"] - self.loaded
        if needed < 0.9 * room:
            return ""
        return f"not run: needs about {needed / 1e3:.0f} GB, {room / 1e3:.0f} GB are free"


def available_mb():
    """Memory that can be had, MB."""
    table = Path("/proc/meminfo")
    if table.exists():
        lines = dict(line.split(":") for line in table.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) / 1e3
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
