"""Freed memory stays with the process."""

import platform
import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from adiabat.kernels.memory import keep_memory
agreed = keep_memory()
for _ in range(40):
    torch.ones(10_000_000)
print(agreed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_pages_stay(monkeypatch):
    def run(wanted: str) -> tuple[str, int, int]:
        monkeypatch.setenv("ADIABAT_KEEP_MEMORY", wanted)
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        agreed, peak, faults = done.stdout.split()
        return agreed, int(peak), int(faults)

    (kept, peak, faults), (left, lowest, most) = run("1"), run("0")
    assert (kept, left) == ("True", "False")
    assert most - faults > 20 * 10_000_000 * 4 / resource.getpagesize()
    assert peak - lowest < 15 * 40_000  # kB: arrays are reused, though not every one
