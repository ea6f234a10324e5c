"""Check for mixed levels of theory: the same chemistry in two clusters of energies, a constant apart.

Two functionals, codes or pseudopotentials give energies that differ by a nearly constant amount an atom, while the
structures are alike. So the energy per atom above reference energies is first explained by the structure (ridge
regression on the fingerprint); what is left falls into one cluster for one level of theory and into two for two. Two
clusters alone are no proof, since two phases also form clusters: the structures of the clusters must be mixed too.
"""

from __future__ import annotations

import numpy as np

from adiabat.data.lint_facts import Facts, Finding, robust_residuals

MIN_FRAMES = 20
MIN_CLUSTER = 5
MIN_SHARE = 0.02
SEPARATION = 5.0  # distance of the clusters over their mean width
MIN_OFFSET = 0.01  # eV/atom
MIXED = 3.0  # how much farther the nearest structure of the other cluster may be than that of its own


def mixed_theory(facts: Facts) -> list[Finding]:
    """Two clusters of energies among alike structures."""
    rest = robust_residuals(facts)
    used = np.flatnonzero(np.isfinite(rest) & np.isfinite(facts.points).all(axis=1))
    if len(used) < MIN_FRAMES:
        return []
    values, points = rest[used], facts.points[used]
    for candidate in (values, _unexplained(values, points)):
        low, separation = two_clusters(candidate)
        small = min(low.sum(), len(low) - low.sum())
        if separation < SEPARATION or small < max(MIN_CLUSTER, MIN_SHARE * len(low)):
            continue
        offset = float(candidate[~low].mean() - candidate[low].mean())
        if offset < MIN_OFFSET or not _mixed(points, facts.kind[used], low):
            continue
        fewer = used[low] if low.sum() <= (~low).sum() else used[~low]
        return [
            Finding(
                "error",
                "mixed_theory",
                "two levels of theory",
                f"the energies fall into two clusters of {int((~low).sum())} and {int(low.sum())} frames,"
                f" {offset:.3f} eV/atom apart ({separation:.0f} times their width), although the structures are"
                " alike: two functionals, codes or pseudopotentials seem to be mixed. The smaller cluster begins with"
                f" frame {int(fewer[0])}.{_same_key(facts, used, low)}",
                tuple(fewer.tolist()),
            )
        ]
    return []


def _unexplained(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What ridge regression on the fingerprints, each frame left out of its own fit, does not explain `[frames]`."""
    scale = points.std(axis=0)
    features = (points - points.mean(axis=0))[:, scale > 1e-9] / scale[scale > 1e-9]
    if features.shape[1] == 0:
        return values
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    shrink = s**2 / (s**2 + 1e-3 * len(values))
    centered = values - values.mean()
    fitted = (u * shrink) @ (u.T @ centered)
    leverage = np.square(u) @ shrink + 1 / len(values)
    return (centered - fitted) / np.clip(1 - leverage, 0.05, None)


def two_clusters(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The cut of one-dimensional values that leaves the least variance within its two sides.

    Returns which values are on the lower side `[values]`, and the distance of the two means over the mean width (the
    root mean square of the two standard deviations).
    """
    order = np.argsort(values, kind="stable")
    x = values[order] - values.mean()
    n = np.arange(1, len(x))
    sums, squares = x.cumsum()[:-1], (x**2).cumsum()[:-1]
    rest, total = len(x) - n, float((x**2).sum())
    within = squares - sums**2 / n + (total - squares) - (x.sum() - sums) ** 2 / rest
    cut = int(within.argmin()) + 1
    low = np.zeros(len(x), dtype=bool)
    low[order[:cut]] = True
    width = np.sqrt(0.5 * (values[low].var() + values[~low].var()))
    return low, float((values[~low].mean() - values[low].mean()) / max(width, 1e-12))


def _mixed(points: np.ndarray, kind: np.ndarray, low: np.ndarray) -> bool:
    """Whether structures of the smaller cluster are about as near to the other cluster as to their own."""
    small = low if low.sum() <= (~low).sum() else ~low
    ratios = []
    for index in np.flatnonzero(small)[:300]:
        alike = kind == kind[index]
        own, other = alike & small, alike & ~small
        own[index] = False
        if not own.any() or not other.any():
            continue
        apart = np.sqrt(np.square(points - points[index]).sum(axis=1))
        ratios.append(apart[other].min() / max(apart[own].min(), 1e-9))
    return len(ratios) >= MIN_CLUSTER and float(np.median(ratios)) < MIXED


def _same_key(facts: Facts, used: np.ndarray, low: np.ndarray) -> str:
    """A sentence if one value of the frames' info tells the clusters apart."""
    infos = [facts.dataset[int(i)].info for i in used]
    for key in infos[0]:
        if key == "index":
            continue
        first = {str(info.get(key)) for info, side in zip(infos, low, strict=True) if side}
        second = {str(info.get(key)) for info, side in zip(infos, low, strict=True) if not side}
        if not first & second and len(first) + len(second) < 20:
            return f" They are told apart by '{key}': {', '.join(sorted(first))} against {', '.join(sorted(second))}."
    return ""
