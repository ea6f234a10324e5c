"""Measure adiabat's speed beside published programs, taking turns in one run."""

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speed.driver import HERE, BenchmarkError
from speed.environments import SHORT, parse_given
from speed.measure import Plan, measure
from speed.methods import METHODS
from speed.render import write_page, write_plot

QUICK = 12 * 60  # seconds after which a quick run starts nothing new
WORKS = ("inference", "training", "memory", "first_call", "descriptor", "descriptor_slopes", "scaling", "fit")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="result; its plot is FILE with .svg")
    parser.add_argument("--quick", action="store_true", help="few turns, no scaling, at most 512 atoms (15 minutes)")
    modes = {"choices": ["compiled", "eager"], "default": "compiled"}
    parser.add_argument("--mode", **modes, help="how ours is called for energy and forces")
    parser.add_argument("--training", **modes, help="how ours makes a training step; --mode eager means both")
    parser.add_argument("--works", nargs="+", choices=WORKS, help="what to measure")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--atoms", nargs="+", type=int, choices=[21, 192, 512, 2000, 10000])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument(
        "--peers-at",
        nargs="+",
        default=[],
        metavar="NAME=INTERPRETER",
        help=", ".join(f"{name}=..." for name in SHORT),
    )
    parser.add_argument("--add", action="store_true", help="keep what FILE has of other works, methods or threads")
    parser.add_argument("--page", action="store_true", help="also rewrite docs/speed.md and its plot from the result")
    parser.add_argument("--only-page", action="store_true", help="measure nothing: read FILE and rewrite the page")
    return parser.parse_args()


def machine():
    """What the figures were measured on."""
    models = {platform.processor() or platform.machine()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        models = {value.strip() for name, _, value in lines if name.strip() == "model name"} or models
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "cpu": ", ".join(sorted(models)),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
    }


def plan_of(options, folder):
    """The measurements asked for."""
    works = options.works or [work for work in WORKS if not (options.quick and work == "scaling")]
    sizes = options.atoms or ([21, 192, 512] if options.quick else [21, 192, 512, 2000, 10000])
    return Plan(
        works=tuple(works),
        methods=tuple(options.methods),
        atoms=tuple(sizes),
        threads=tuple(options.threads),
        rounds=5 if options.quick else 15,
        limit=4 if options.quick else 60,
        mode={"inference": options.mode, "training": options.training if options.mode == "compiled" else "eager"},
        given=parse_given(options.peers_at),
        folder=folder,
        deadline=time.monotonic() + QUICK if options.quick else math.inf,
    )


def run(options):
    """Measures everything and writes the result after every part, so that a broken run keeps what it has."""
    start, result = time.monotonic(), {"machine": machine(), "quick": options.quick}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    earlier = json.loads(options.json.read_text(encoding="utf-8")) if options.add else {"programs": {}, "rows": []}
    with tempfile.TemporaryDirectory(prefix="adiabat-speed-") as name:
        plan = plan_of(options, Path(name))

        def save():
            new = plan.works, plan.methods, plan.threads
            of = [(row["work"], row["method"], row["threads"]) for row in earlier["rows"]]
            again = [all(value in group for value, group in zip(key, new, strict=True)) for key in of]
            kept = [row for row, done in zip(earlier["rows"], again, strict=True) if not done]
            programs = {**earlier["programs"], **plan.facts}
            found = {"seconds": time.monotonic() - start, "programs": programs, "rows": [*kept, *plan.rows]}
            options.json.write_text(json.dumps({**result, **found}, indent=1) + "\n", encoding="utf-8")

        measure(plan, save)


def main():
    """Measures, writes the result and draws it."""
    options = arguments()
    try:
        if not options.only_page:
            run(options)
        result = json.loads(options.json.read_text(encoding="utf-8"))
    except (BenchmarkError, OSError) as error:
        sys.exit(f"benchmarks/run: {error}")
    write_plot(result, options.json.with_suffix(".svg"))
    if options.page or options.only_page:
        write_page(result, HERE.parent / "docs")


if __name__ == "__main__":
    main()
