"""Checks of single labels: missing, outlying, zero, not adding up."""

from __future__ import annotations

import numpy as np

from adiabat.data.lint_facts import Facts, Finding, robust_residuals, spread

OUTLIER_Z = 10.0
OUTLIER_ENERGY, ABSURD_ENERGY = 1.0, 10.0  # eV/atom from the median
OUTLIER_FORCE, ABSURD_FORCE = 30.0, 300.0  # eV/Å
NET_FORCE = 0.05  # eV/Å


def missing(facts: Facts) -> list[Finding]:
    """Labels that some frames have and others lack; energies or forces that nobody has."""
    out = []
    for name, have in facts.labels.items():
        lacking = np.flatnonzero(~have)
        if name == "forces":
            lacking = lacking[facts.atoms[lacking] > 1]  # a single atom's force is zero by symmetry
        if name == "stress":
            lacking = lacking[facts.volume[lacking] > 0]
        if not len(lacking):
            continue
        if have.any():
            text = f"{len(lacking)} of {len(facts)} frames have no {name}: masked in a fit, never taken as zero."
            out.append(Finding("warning", "missing", f"{name} missing in part", text, tuple(lacking.tolist())))
        elif name in ("energy", "forces"):
            text = f"no frame has {name}. If the file holds them under another name, map it: --keys {name}=NAME."
            out.append(Finding("error" if name == "energy" else "warning", "missing", f"no {name} at all", text))
    return out


def zeros(facts: Facts) -> list[Finding]:
    """Forces and stresses that are exactly zero in every component: often a missing label stored as zeros."""
    out = []
    for name, largest, possible in (
        ("forces", facts.force_max, facts.atoms > 1),
        ("stress", facts.stress_max, facts.volume > 0),
    ):
        zero = np.flatnonzero((largest == 0) & possible)
        if not len(zero):
            continue
        most = len(zero) > 0.5 * np.isfinite(largest).sum()
        out.append(
            Finding(
                "warning" if most or name == "stress" else "info",
                "zeros",
                f"{name} exactly zero",
                f"{len(zero)} frames have {name} of exactly zero in every component. "
                + ("Right for perfect crystals; else" if name == "forces" else "Most likely")
                + f" they were never computed and should be absent: remove them, or read with {name}=none.",
                tuple(zero.tolist()),
            )
        )
    return out


def energy_outliers(facts: Facts) -> list[Finding]:
    """Energies far from the others after reference energies are taken off."""
    rest = robust_residuals(facts)
    known = np.isfinite(rest)
    if known.sum() < 10:
        return []
    middle, sigma = spread(rest[known])
    off = np.where(known, rest - middle, 0.0)
    limit = max(OUTLIER_ENERGY, OUTLIER_Z * sigma)
    bad = np.flatnonzero(np.abs(off) > limit)
    if not len(bad):
        return []
    bad = bad[np.argsort(-np.abs(off[bad]), kind="stable")]
    worst = int(bad[0])
    return [
        Finding(
            "error" if abs(off[worst]) > ABSURD_ENERGY else "warning",
            "energy_outliers",
            "energies far from all others",
            f"{len(bad)} of {int(known.sum())} energies lie more than {limit:.2g} eV/atom from the median after"
            f" reference energies are taken off (half of the set lies within {0.6745 * sigma:.2g}); the worst is"
            f" frame {worst} with {off[worst]:+.2f} eV/atom ({facts.energy[worst] / facts.atoms[worst]:.2f} eV/atom"
            " in the file). They rule a least-squares fit: cut them, or weight them down.",
            tuple(bad.tolist()),
        )
    ]


def force_outliers(facts: Facts) -> list[Finding]:
    """Forces beyond what dynamics at any temperature of interest meets."""
    known = np.isfinite(facts.force_max) & (facts.force_max > 0)
    if not known.any():
        return []
    middle = float(np.median(facts.force_max[known]))
    limit = max(OUTLIER_FORCE, 5 * middle)
    bad = np.flatnonzero(known & (facts.force_max > limit))
    if not len(bad):
        return []
    bad = bad[np.argsort(-facts.force_max[bad], kind="stable")]
    worst = int(bad[0])
    return [
        Finding(
            "error" if facts.force_max[worst] > ABSURD_FORCE else "warning",
            "force_outliers",
            "forces far beyond all others",
            f"{len(bad)} frames have a force component above {limit:.3g} eV/Å; the worst is frame {worst} with"
            f" {facts.force_max[worst]:.4g} eV/Å, where the median frame's largest is {middle:.3g}.",
            tuple(bad.tolist()),
        )
    ]


def net_forces(facts: Facts) -> list[Finding]:
    """Forces that do not sum to zero, which no potential invariant under translation can give."""
    known = np.isfinite(facts.net_force)
    bad = np.flatnonzero(known & (facts.net_force > NET_FORCE))
    if not len(bad):
        return []
    bad = bad[np.argsort(-facts.net_force[bad], kind="stable")]
    worst = int(bad[0])
    return [
        Finding(
            "warning",
            "net_forces",
            "forces that do not sum to zero",
            f"{len(bad)} of {int(known.sum())} frames have a net force above {NET_FORCE} eV/Å; the largest is"
            f" {facts.net_force[worst]:.2f} eV/Å in frame {worst} ({facts.net_force[worst] / facts.atoms[worst]:.1g}"
            " an atom). A potential that does not depend on the origin gives zero, so this part cannot be fitted."
            " Loose convergence or grids, fixed atoms, or an external field?",
            tuple(bad.tolist()),
        )
    ]
