"""Checks of signs and units: energy differences against forces and stresses.

Between two frames of the same atoms the energy changes by what forces and stress do on the way,

    E₂ − E₁ = −Σ F̄·Δx + V̄ σ̄:ε,     F̄, V̄σ̄ the means of both ends,

with sums over atoms, x the displacements at fixed cell, ε the logarithmic strain between the cells (ASE's sign of
stress: tension positive); the error is of third order in the change. Many such pairs give two slopes, a for the force
term and b for the stress term. Right data have a = b = 1. A wrong sign gives −1 and a wrong unit the
ratio of the two units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adiabat.data.frame import Frame
from adiabat.data.lint_facts import Facts, Finding
from adiabat.units import BOHR, GPA, HARTREE, KBAR, KCAL_PER_MOL, KJ_PER_MOL, RYDBERG

MAX_STRAIN, MAX_MOVE = 0.12, 0.6  # the largest strain component, and displacement in Å, of a pair
MAX_PAIRS = 3000
MIN_PAIRS = 8
TOLERANCE = 0.3  # how far a slope may be from 1, or relatively from a known factor, to be called so
MIN_SIGNIFICANCE = 6.0  # slope over its standard error
MIN_EXPLAINED = 0.3  # share of the variance that a term must explain to be tested
CERTAIN = 0.6  # and to be called wrong

FORCE_FACTORS = {
    "the forces have the wrong sign (they are the gradient of the energy)": -1.0,
    "the forces are in Hartree/Bohr": HARTREE / BOHR,
    "the forces are in Hartree/Å": HARTREE,
    "the forces are in Rydberg/Bohr": RYDBERG / BOHR,
    "the forces are in eV/Bohr, or the positions in Bohr": 1 / BOHR,
    "the forces are in kcal/mol/Å": KCAL_PER_MOL,
    "the forces are in kJ/mol/Å": KJ_PER_MOL,
    "the energies are in kcal/mol and the forces in eV/Å": 1 / KCAL_PER_MOL,
    "the energies are in Hartree and the forces in eV/Å": 1 / HARTREE,
}
STRESS_FACTORS = {
    "the stress has the wrong sign (compression positive); ASE and adiabat take tension positive": -1.0,
    "the stress is in GPa": GPA,
    "the stress is in GPa with the wrong sign (compression positive)": -GPA,
    "the stress is in kbar": KBAR,
    "the stress is in kbar with the wrong sign (compression positive, as VASP prints it)": -KBAR,
    "the stress is in bar": KBAR / 1000,
    "the stress is in bar with the wrong sign (compression positive)": -KBAR / 1000,
    "the stress is in Hartree/Bohr³": HARTREE / BOHR**3,
    "the stress is in Rydberg/Bohr³": RYDBERG / BOHR**3,
}


@dataclass(frozen=True)
class Slope:
    """Slope of one term of the regression.

    Attributes:
        value: the slope; NaN if the term is absent or does no work.
        error: its standard error.
        explained: share of the variance left by the other term that this one explains.
        pairs: number of pairs that effectively decide it.
        volume: mean cell volume, Å³.
    """

    value: float = np.nan
    error: float = np.nan
    explained: float = 0.0
    pairs: float = 0.0
    volume: float = 0.0

    def allows(self, factor: float) -> bool:
        """Whether the slope may be `factor`. Errors of the work shrink a slope by the explained share, so the truth
        lies between the slope and the slope over that share."""
        low, high = sorted((self.value / factor, self.value / factor / max(self.explained, 1e-3)))
        return low < 1 + TOLERANCE and high > 1 - TOLERANCE


def consistency(facts: Facts) -> list[Finding]:
    """Signs and units of forces and stress, as far as pairs of frames can tell."""
    force, stress = measure(facts)
    out = []
    if facts.labels["forces"].any():
        out.append(_judge("forces", force, FORCE_FACTORS))
    if facts.labels["stress"].any():
        factors = dict(STRESS_FACTORS)
        if stress.volume > 0:
            factors["the stress is a virial, not divided by the volume"] = 1 / stress.volume
            factors["the stress is a virial of opposite sign, not divided by the volume"] = -1 / stress.volume
        out.append(_judge("stress", stress, factors))
    return out


def _judge(name: str, slope: Slope, factors: dict[str, float]) -> Finding:
    code = f"{name}_consistency"
    untested = f"{name}: not testable"
    if not np.isfinite(slope.value) or slope.pairs < MIN_PAIRS:
        why = "are close enough" if name == "forces" else "differ by a small strain"
        text = f"sign and unit of the {name} are not testable: too few pairs of frames with energies {why}."
        return Finding("info", code, untested, text)
    evidence = (
        f"over about {slope.pairs:.0f} pairs of like frames, energy differences are {slope.value:.4g} ±"
        f" {slope.error:.1g} times the work of the {name} ({slope.explained:.0%} of the variance)"
    )
    if slope.explained < MIN_EXPLAINED or abs(slope.value) < MIN_SIGNIFICANCE * slope.error:
        text = f"sign and unit of the {name} are not testable: {evidence}, which is too little evidence."
        return Finding("info", code, untested, text)
    if slope.allows(1.0):
        return Finding("info", code, f"{name}: sign and unit are right", f"{evidence}; 1 is right.")
    fitting = [reason for reason, factor in factors.items() if slope.allows(factor)]
    if fitting and slope.explained > CERTAIN:
        nearest = min(fitting, key=lambda r: abs(np.log(abs(slope.value / factors[r]))))
        text = f"{nearest}: {evidence}, where right data give 1 and this fault gives {factors[nearest]:.4g}."
        return Finding("error", code, f"{name}: wrong sign or unit", text)
    text = f"{evidence}, where right data give 1: sign, unit or origin of the {name} are in doubt."
    return Finding("warning", code, f"{name}: do not agree with the energies", text)


def measure(facts: Facts) -> tuple[Slope, Slope]:
    """Regression of energy differences on the work of forces and of stress over pairs of like frames."""
    rows = [row for i, j in candidate_pairs(facts) if (row := _work(facts.dataset[i], facts.dataset[j])) is not None]
    if len(rows) < MIN_PAIRS:
        return Slope(), Slope()
    table = np.array(rows)
    change, volume = table[:, 0], float(table[:, 5].mean())
    terms = 0.5 * (table[:, [1, 3]] + table[:, [2, 4]])
    # the two one-sided estimates of the work differ in second order: the smaller, the nearer the pair
    curvature = np.abs(table[:, [1, 3]] - table[:, [2, 4]])
    used = np.abs(terms).max(axis=0) > 1e-8
    out = [Slope(volume=volume), Slope(volume=volume)]
    if np.abs(change).max() < 1e-9 or not used.any():
        return out[0], out[1]
    fitted = _fit(change, terms[:, used], curvature[:, used])
    for column, (value, error, explained, pairs) in zip(np.flatnonzero(used).tolist(), fitted, strict=True):
        out[column] = Slope(value, error, explained, pairs, volume)
    return out[0], out[1]


def _fit(change: np.ndarray, terms: np.ndarray, curvature: np.ndarray) -> list[tuple[float, float, float, float]]:
    """For each term: slope through the origin, standard error, explained share, effective number of pairs.

    Near pairs weigh more, pairs of large misfit less (Huber).
    """
    size = np.sqrt(np.square(terms).mean(axis=0))
    scaled = terms / size
    reach = (curvature / size).sum(axis=1) + 0.1 * np.abs(scaled).sum(axis=1)
    base = 1 / (reach + 0.3 * np.median(reach) + 1e-12)
    weights = base
    for _ in range(30):
        slope = np.linalg.lstsq(scaled * weights[:, None], change * weights, rcond=1e-10)[0]
        misfit = np.abs(change - scaled @ slope) * base
        limit = 2 * np.median(misfit) + 1e-12
        weights = base * np.sqrt(np.minimum(1.0, limit / np.maximum(misfit, 1e-300)))
    x, y = scaled * weights[:, None], change * weights
    rest = float(np.square(y - x @ slope).sum())
    inverse = np.linalg.pinv(x.T @ x)
    out = []
    for k in range(len(slope)):
        others = np.delete(x, k, axis=1)
        without = y - others @ np.linalg.lstsq(others, y, rcond=1e-10)[0] if others.shape[1] else y
        own = x[:, k] - others @ np.linalg.lstsq(others, x[:, k], rcond=1e-10)[0] if others.shape[1] else x[:, k]
        leverage = np.square(own)
        pairs = float(leverage.sum() ** 2 / max(np.square(leverage).sum(), 1e-300))
        noise = rest / max(len(y) - len(slope), 1)
        error = float(np.sqrt(max(inverse[k, k], 0.0) * noise)) * np.sqrt(max(1.0, len(y) / max(pairs, 1.0)))
        explained = 1 - rest / max(float(without @ without), 1e-300)
        out.append((float(slope[k] / size[k]), error / float(size[k]), explained, pairs))
    return out


def candidate_pairs(facts: Facts) -> list[tuple[int, int]]:
    """Pairs of frames of one composition that may be close: neighbors in the file, in volume and in fingerprint."""
    found: set[tuple[int, int]] = set()
    usable = np.isfinite(facts.energy) & (facts.labels["forces"] | facts.labels["stress"])
    usable &= np.isfinite(facts.points).all(axis=1)
    for members in facts.kinds():
        members = members[usable[members]]
        if len(members) < 2:
            continue
        for order in (members, members[np.argsort(facts.volume[members], kind="stable")]):
            for step in (1, 2):
                found.update(zip(order[:-step].tolist(), order[step:].tolist(), strict=True))
        sample = members[:: max(1, len(members) // 200)]
        points = facts.points[members]
        for index in sample.tolist():
            apart = np.square(points - facts.points[index]).sum(axis=1)
            for k in np.argsort(apart, kind="stable")[1:4].tolist():
                found.add((index, int(members[k])))
    pairs = sorted({(min(p), max(p)) for p in found if p[0] != p[1]})
    if len(pairs) > MAX_PAIRS:
        chosen = np.random.default_rng(0).choice(len(pairs), MAX_PAIRS, replace=False)
        pairs = [pairs[k] for k in np.sort(chosen)]
    return pairs


def _work(first: Frame, second: Frame) -> tuple[float, ...] | None:
    """Energy difference, work of the forces of each end, work of the stress of each end (eV), mean volume (Å³)."""
    a, b = first.system, second.system
    if a.atoms != b.atoms or not bool((a.numbers == b.numbers).all()):
        return None
    if bool(a.pbc.all()) and bool(b.pbc.all()):
        moved = _periodic_change(first, second)
    elif not bool(a.pbc.any()) and not bool(b.pbc.any()):
        moved = _free_change(first, second)
    else:
        return None
    if moved is None:
        return None
    displacement, strain, turn = moved
    largest_move, largest_strain = np.abs(displacement).max(), np.abs(strain).max()
    if largest_move > MAX_MOVE or largest_strain > MAX_STRAIN:
        return None
    pair = (first, second)
    by_force, by_stress = [0.0, 0.0], [0.0, 0.0]
    if largest_move > 1e-6:
        if not all("forces" in f.labels for f in pair):
            return None
        forces = [f.labels["forces"].numpy() for f in pair]
        by_force = [-float((f * displacement).sum()) for f in (forces[0], forces[1] @ turn)]
    if largest_strain > 1e-6:
        if not all("stress" in f.labels for f in pair):
            return None
        by_stress = [float(f.system.volume) * float((f.labels["stress"].numpy() * strain).sum()) for f in pair]
    change = float(second.labels["energy"] - first.labels["energy"])
    return change, *by_force, *by_stress, float(a.volume + b.volume) / 2


# Both return the displacements [atoms, 3] (Å), the strain [3, 3] and the rotation that takes the second frame's
# vectors (rows) into the first frame's orientation.


def _periodic_change(first: Frame, second: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    cells = [f.system.cell[0].numpy() for f in (first, second)]
    deformation = np.linalg.solve(cells[0], cells[1])  # rows: cell₂ = cell₁ · deformation
    if np.abs(deformation - deformation.T).max() > 0.02 or np.abs(deformation - np.eye(3)).max() > 2 * MAX_STRAIN:
        return None
    values, vectors = np.linalg.eigh(deformation.T @ deformation)
    strain = (vectors * (0.5 * np.log(values))) @ vectors.T
    fractional = [f.system.positions.numpy() @ np.linalg.inv(c) for f, c in zip((first, second), cells, strict=True)]
    step = fractional[1] - fractional[0]
    step -= np.round(step)
    displacement = step @ (0.5 * (cells[0] + cells[1]))
    displacement -= displacement.mean(axis=0)
    return displacement, strain, np.eye(3)


def _free_change(first: Frame, second: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Displacements after the second frame is turned onto the first (Kabsch), forces turned along."""
    x, y = (f.system.positions.numpy() - f.system.positions.numpy().mean(axis=0) for f in (first, second))
    u, _, vt = np.linalg.svd(y.T @ x)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = u @ flip @ vt
    return y @ rotation - x, np.zeros((3, 3)), rotation
