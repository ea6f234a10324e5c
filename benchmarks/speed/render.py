"""The plot and the page of a result."""

import matplotlib
import matplotlib.pyplot as plt

matplotlib.use("Agg")

HEADINGS = {
    "inference": "Energy and forces",
    "training": "Training with forces",
    "memory": "Peak memory",
    "first_call": "First call",
    "descriptor": "Descriptors",
    "descriptor_slopes": "Descriptors with gradients",
    "scaling": "Cost per atom",
    "fit": "Linear fits",
}
TEXTS = {
    "inference": "Process CPU time of one call, ms. Neighbor lists are made beforehand.",
    "training": "One Adam step with a force loss on a batch of 8 molecules of 21 atoms: CPU ms, and samples per CPU"
    " second of adiabat / peer.",
    "memory": "Highest resident memory beyond that of the loaded model, MB, and of the whole process.",
    "first_call": "Wall time of the first energy and forces of a loaded model in a new process, ms, with empty"
    " caches and with those that an earlier process left; compilation is part of it.",
    "descriptor": "Values of all atoms, neighbor lists included, ms: 6 radial and 8 angular symmetry functions"
    " for every combination of elements, or SOAP with 8 radial functions and degrees up to 6, in double precision.",
    "descriptor_slopes": "The same with the gradients by all positions. dscribe takes them by finite differences, but"
    " for SOAP without periodicity.",
    "scaling": "adiabat alone on silicon; the ratio is to the cost per atom of the smallest structure.",
    "fit": "adiabat alone: a linear model fitted to energies and forces of 1,500 crystals of 50 copper and gold atoms"
    " (labels of effective medium theory, 5 Å, double precision), in a process of its own. Neighbor lists,"
    " descriptors and their slopes are part of the work; memory is that of the whole process, with torch and the"
    " frames. The force error is relative to the forces' root mean square in 10 more frames.",
}
INTRODUCTION = """# Speed

Made by `benchmarks/run --json FILE --page` (`--quick` for a shorter run; `--peers-at` for interpreters that have the
peers already, which are installed into `benchmarks/.peers` otherwise). adiabat and the peer run in turns, each in a
process and an environment of its own, with the same structures (5 Å cutoff, single precision where nothing else is
said) and the same weights:
the peer writes its random weights, adiabat imports them, and the run stops if energies, forces, losses or gradient
norms differ by more than 1e-4 of the largest. For CHGNet, with its published weights, it is 1e-3: the forces of
molecules and water are small sums of large terms, and in single precision the program's are up to 2.3e-4 of the
largest off its own in double precision, adiabat's up to 1.9e-4. In double precision the two agree within 1e-12.

NEP and SNAP are computed in double precision on both sides, as calorine and LAMMPS do, and must agree to 1e-6:
adiabat makes random models and writes the files that the programs read. NEP has GPUMD's default options (8 and 4 Å,
four elements); calorine finds the neighbors at every call, where adiabat's dynamics does it every few dozen steps:
`nep` has them beforehand, `nep-lists` makes them anew at every call too, from ASE's structure on, while calorine
holds the atoms in its own form already. SNAP has four elements, one density, 2J = 8 (`snap-2j6`: 6;
`snap-quadratic`: products of components too); LAMMPS takes steps without motion on one neighbor list.
`bpnn` (default symmetry functions, four elements) stands beside SchNet, another model: what a
local descriptor saves where its accuracy is enough.

Ratios are adiabat / peer, below 1 where adiabat needs less; medians over the turns, and the spread is the
interquartile range of the turns' ratios. Times are process CPU times unless a table says otherwise; other work on
the machine disturbs those too, most of all with two threads, which wait for each other actively, and differences
under 30 % mean nothing. 21 atoms are benzene and ethanol, 192 are water, all others silicon. MACE has 2 layers,
correlation 3, l_max 3 and 8 Bessel functions; SchNet 128 features, 6 layers and 20 Gaussians; PaiNN 128 features, 3
layers and 20 Gaussians.
"""


def number(value):
    """Three significant digits, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(value):
    """A text as it is, a number rounded."""
    return value if isinstance(value, str) else number(value)


COLUMNS = {
    "inference": {"spread": "spread"},
    "training": {"spread": "spread", "ours_samples_per_s": "samples/s", "peer_samples_per_s": "peer's samples/s"},
    "memory": {"ours_peak_mb": "whole, MB", "peer_peak_mb": "peer's whole, MB", "peak_ratio": "ratio of the whole"},
    "first_call": {"caches": "caches"},
    "descriptor": {"spread": "spread"},
    "descriptor_slopes": {"spread": "spread"},
    "scaling": {"us_per_atom": "µs per atom"},
    "fit": {
        "cpu_s": "CPU, s",
        "wall_s": "wall, s",
        "ours_peak_mb": "whole, MB",
        "weights": "weights",
        "force_error": "force error",
    },
}


def table(work, rows):
    """A Markdown table of one kind of work."""
    unit, more = "mb" if work == "memory" else "ms", COLUMNS[work]
    shown = "MB" if work == "memory" else "ms"
    heads = ["method", "peer", "atoms", "threads", "mode", f"adiabat, {shown}", f"peer, {shown}", "ratio"]
    names = [f"ours_{unit}", f"peer_{unit}", "ratio", *more]
    lines = ["| " + " | ".join([*heads, *more.values(), "note"]) + " |", "|" + "---|" * (len(heads) + len(more) + 1)]
    for row in rows:
        cells = [row["method"], row["peer"], *(str(row[k] or "–") for k in ("atoms", "threads")), row.get("mode", "")]
        cells += [cell(row.get(name)) for name in names]
        lines.append("| " + " | ".join([*cells, row.get("note", "")]) + " |")
    return "\n".join(lines)


def write_page(result, docs):
    """`speed.md` and `speed.svg` in a folder of documents."""
    machine = result["machine"]
    programs = sorted({f"{f['program']} (torch {f['torch']})" for f in result["programs"].values()})
    parts = [
        INTRODUCTION,
        f"Machine: {machine['cpu']}, {machine['cores']} cores; Python {machine['python']}; {', '.join(programs)};"
        f" {machine['date']}, revision {machine['commit']}, load {machine['load_before']:.1f} before the last run"
        f"{', a quick run' if result['quick'] else ''}. Rows of other methods may be of earlier runs,"
        " some of them beside other work.\n",
        "![Ratio of CPU times and cost per atom](speed.svg)\n",
    ]
    for work, heading in HEADINGS.items():
        rows = [row for row in result["rows"] if row["work"] == work]
        if rows:
            parts.append(f"## {heading}\n\n{TEXTS[work]}\n\n{table(work, rows)}\n")
    (docs / "speed.md").write_text("\n".join(parts), encoding="utf-8")
    write_plot(result, docs / "speed.svg")


def write_plot(result, path):
    """Ratios over atoms on the left, cost per atom of adiabat on the right."""
    matplotlib.rcParams["svg.hashsalt"] = "adiabat"
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 6), layout="constrained")
    curves(left, result["rows"], "inference", lambda row: row["ratio"])
    left.axhline(1.0, color="0.6", linewidth=0.8)
    left.set(xlabel="atoms", ylabel="CPU time, adiabat / peer", xscale="log", yscale="log")
    work = "scaling" if any(row["work"] == "scaling" for row in result["rows"]) else "inference"
    curves(right, result["rows"], work, lambda row: row["ours_ms"] and row["ours_ms"] / row["atoms"])
    sizes = sorted({row["atoms"] for row in result["rows"] if row["work"] == "inference" and row["atoms"]})
    left.set_xticks(sizes, [str(size) for size in sizes])
    left.minorticks_off()
    right.set(xlabel="atoms", ylabel="adiabat, CPU ms per atom", xscale="log", yscale="log")
    for axes in (left, right):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=6, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def curves(axes, rows, work, value):
    """One line a method, with the fewest threads."""
    chosen = [row for row in rows if row["work"] == work and row["atoms"] and value(row) is not None]
    axes.set_prop_cycle(color=matplotlib.colormaps["tab20"].colors)
    for method in sorted({row["method"] for row in chosen}):
        own = [row for row in chosen if row["method"] == method]
        least = min(row["threads"] for row in own)
        points = sorted((row["atoms"], value(row)) for row in own if row["threads"] == least)
        axes.plot(*zip(*points, strict=True), marker="o", label=method)
