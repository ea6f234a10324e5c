"""Train a published program and adiabat on the same data, split and hyperparameters in one run, and compare.

    python compare_training.py schnet --peer peers-schnet/bin/python
    python compare_training.py mace   --peer peers/bin/python
    python compare_training.py sgdml  --peer peers/bin/python

`--peer` is the interpreter of the peer's environment (see `peers/README.md`). Results go to `results/`; `--table`
only prints what is there already. One seed each, so differences of a few per cent mean nothing.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "src" / "adiabat" / "data" / "shipped" / "ethanol.extxyz.xz"
SCORES = {
    "energy_mae_per_atom": "meV/atom",
    "energy_rmse_per_atom": "meV/atom",
    "force_mae": "meV/Å",
    "force_rmse": "meV/Å",
}


def start(interpreter, program, method, who):
    """Starts one training."""
    output = HERE / "results" / f"{who}_ethanol_{method}.json"
    files = {
        "--data": os.path.relpath(DATA, HERE),
        "--split": "ethanol_split.json",
        "--settings": f"peers/{method}_settings.json",
        "--output": os.path.relpath(output, HERE),
    }
    command = [interpreter, program, *(part for pair in files.items() for part in pair)]
    return subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


def table(method):
    """Test errors and CPU time of both, and their ratio."""
    ours, peer = (
        json.loads((HERE / "results" / f"{w}_ethanol_{method}.json").read_text()) for w in ("ours", "peers")
    )
    print(f"{method}: {ours['program']} / {peer['program']}, {ours['test']['frames']} test frames of ethanol")
    for name, unit in SCORES.items():
        a, b = 1000 * ours["test"][name], 1000 * peer["test"][name]
        print(f"  {name:22}{a:9.3f} / {b:9.3f} {unit:9} ratio {a / b:.3f}")
    a, b = ours["training_cpu_seconds"], peer["training_cpu_seconds"]
    print(f"  {'training, CPU':22}{a:9.1f} / {b:9.1f} {'s':9} ratio {a / b:.2f}")


def main():
    """Trains both at the same time, each on one thread, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=["schnet", "mace", "sgdml"])
    parser.add_argument("--peer", help="interpreter of the peer's environment")
    parser.add_argument("--table", action="store_true", help="only print stored results")
    arguments = parser.parse_args()
    if not arguments.table:
        if not arguments.peer:
            parser.error("give --peer, the interpreter of the peer's environment, or --table")
        method, peer = arguments.method, str(Path(arguments.peer).absolute())
        runs = [start(sys.executable, f"ours_{method}.py", method, "ours")]
        runs.append(start(peer, f"peers/train_{method}.py", method, "peers"))
        codes = [run.wait() for run in runs]
        if any(codes):
            sys.exit("a training failed; its message is above")
    table(arguments.method)


if __name__ == "__main__":
    main()
