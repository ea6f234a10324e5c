"""A process that holds one model and obeys one JSON request a line, so that a driver can alternate between two.

    python -m speed.worker MODULE

The module has a `PROGRAM`. Requests: `load`, `prepare` (a piece of work; answers with its numbers), `time` (repeat
that work), `memory`.
"""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from speed.structures import structure, training_batch

DESCRIPTORS = ("descriptor", "descriptor_slopes")


class Worker:
    """Answers the requests for one program."""

    def __init__(self, program):
        self.program = program
        self.work = None

    def load(self, method, folder, threads, mode):
        torch.set_num_threads(threads)
        return {"torch": torch.__version__, **self.program.load(method, Path(folder), mode)}

    def prepare(self, work, atoms):
        """Does the work once; answers with its result, to compare, its wall time, and how it was done."""
        train = work == "training"
        for parameter in self.program.parameters:
            parameter.requires_grad_(train)
        if work in DESCRIPTORS:
            self.work = self.program.describer(structure(atoms), slopes=work == "descriptor_slopes")
        elif work == "fit":
            self.work = self.program.fit()
        elif train:
            frames, *labels = training_batch()
            self.work = self.program.trainer(self.program.inputs(frames), *labels)
        else:
            inputs = self.program.inputs([structure(atoms)])
            self.work = lambda: self.program.predict(inputs)
        start, begin = time.perf_counter(), time.process_time()
        result = self.work()
        wall, cpu = 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - begin)
        if work == "fit":
            found = result
        elif work in DESCRIPTORS:
            found = {"values": np.asarray(result).tolist()}
        else:
            found = self._trained(result) if train else _predicted(result)
        return {"wall_ms": wall, "cpu_ms": cpu, "mode": self.program.mode(work), "result": found}

    def _trained(self, loss):
        squares = [p.grad.double().square().sum() for p in self.program.parameters if p.grad is not None]
        return {"loss": float(loss), "gradient": float(torch.stack(squares).sum().sqrt())}

    def time(self, repeat):
        """Process CPU and wall times of repeated work, ms."""
        cpu, wall = [], []
        for _ in range(repeat):
            begin, start = time.perf_counter(), time.process_time()
            self.work()
            cpu.append(1e3 * (time.process_time() - start))
            wall.append(1e3 * (time.perf_counter() - begin))
        return {"cpu_ms": float(np.median(cpu)), "wall_ms": float(np.median(wall))}

    def memory(self):
        """Resident memory now and at its highest, MB."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        statm = Path("/proc/self/statm")
        now = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if statm.exists() else peak
        return {"resident_mb": now, "peak_mb": peak}


def _predicted(result):
    energy, forces = result
    return {"energy": energy.double().tolist(), "forces": forces.double().tolist()}


def serve(module):
    """Reads requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a program prints, also while it is imported, must not be taken for an answer
    worker = Worker(importlib.import_module(module).PROGRAM())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
