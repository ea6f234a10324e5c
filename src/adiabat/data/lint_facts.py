"""What lint knows of every frame after one pass, and the form of its findings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adiabat.data.dataset import Dataset
from adiabat.data.fingerprint import fingerprint, pair_distances
from adiabat.data.frame import LABELS, Frame
from adiabat.data.statistics import composition, elements, is_isolated_atom
from adiabat.elements import COVALENT_RADII
from adiabat.errors import GeometryError

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One thing that lint found.

    Attributes:
        severity: `error` where fitting would teach wrong physics or a score would be wrong, `warning` where somebody
            should look, `info` for what was tested and found right, or could not be tested.
        code: short name of the check.
        title: a few words.
        message: plain words with numbers.
        frames: indices of the frames concerned, the worst first where there is an order.
    """

    severity: str
    code: str
    title: str
    message: str
    frames: tuple[int, ...] = ()


@dataclass
class Facts:
    """Per-frame numbers of a data set; NaN where a frame lacks the label.

    Attributes:
        dataset: the frames themselves.
        present: atomic numbers present, ascending.
        counts: atoms of each element `[frames, elements]`.
        atoms: `[frames]`.
        energy: eV `[frames]`.
        isolated: frames that are one atom in vacuum `[frames]`, bool.
        labels: label to which frames have it `[frames]`, bool.
        net_force: largest component of the sum of forces, eV/Å `[frames]`.
        force_max: largest force component, eV/Å `[frames]`.
        closeness: smallest distance over the sum of covalent radii `[frames]`; infinite without neighbors.
        closest: that distance, Å, and its two atoms `[frames, 3]`.
        volume: Å³ `[frames]`, 0 without a three-dimensional cell.
        stress_max: largest stress component, eV/Å³ `[frames]`.
        structure: hash of numbers, positions, cell, charge and multiplicity.
        kind: number of the (composition, charge, multiplicity) a frame belongs to `[frames]`.
        points: fingerprints `[frames, features]`; NaN where atoms overlap.
    """

    dataset: Dataset
    present: tuple[int, ...]
    counts: np.ndarray
    atoms: np.ndarray
    energy: np.ndarray
    isolated: np.ndarray
    labels: dict[str, np.ndarray]
    net_force: np.ndarray
    force_max: np.ndarray
    closeness: np.ndarray
    closest: np.ndarray
    volume: np.ndarray
    stress_max: np.ndarray
    structure: list[str]
    kind: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.atoms)

    def kinds(self) -> Iterator[np.ndarray]:
        """Frame indices of each composition, charge and multiplicity."""
        order = np.argsort(self.kind, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(self.kind[order])) + 1)


def gather(dataset: Dataset) -> Facts:
    """Passes over the frames once for the labels and once for neighbors."""
    present = elements(dataset)
    counts, energy = composition(dataset, present)
    frames = len(dataset)
    labels = {name: np.zeros(frames, dtype=bool) for name in LABELS}
    net, largest, stress, volume = (np.full(frames, np.nan) for _ in range(4))
    closeness, closest = np.full(frames, np.inf), np.full((frames, 3), np.nan)
    isolated = np.zeros(frames, dtype=bool)
    structure: list[str] = []
    states: dict[tuple, int] = {}
    kind = np.zeros(frames, dtype=np.int64)
    points: list[np.ndarray] = []
    for index, frame in enumerate(dataset):
        for name in frame.labels:
            labels[name][index] = True
        if "forces" in frame.labels:
            forces = frame.labels["forces"].numpy()
            net[index], largest[index] = np.abs(forces.sum(axis=0)).max(), np.abs(forces).max()
        if "stress" in frame.labels:
            stress[index] = float(frame.labels["stress"].abs().max())
        system = frame.system
        volume[index] = float(system.volume) if bool(system.pbc.all()) else 0.0
        isolated[index] = is_isolated_atom(frame)
        structure.append(structure_hash(frame))
        state = (*counts[index].tolist(), float(system.charge), int(system.multiplicity), *system.pbc[0].tolist())
        kind[index] = states.setdefault(state, len(states))
        point, closeness[index], closest[index] = _neighborhood(frame, present)
        points.append(point)
    size = max(len(p) for p in points)
    table = np.stack([p if len(p) else np.full(size, np.nan) for p in points])
    return Facts(
        dataset, present, counts, counts.sum(axis=1), energy, isolated, labels, net, largest, closeness, closest,
        volume, stress, structure, kind, table,
    )  # fmt: skip


def _neighborhood(frame: Frame, present: tuple[int, ...]) -> tuple[np.ndarray, float, np.ndarray]:
    try:
        i, j, distances = pairs = pair_distances(frame)
    except GeometryError:  # atoms on top of each other
        return np.zeros(0), 0.0, np.array([0.0, np.nan, np.nan])
    if not len(i):
        return fingerprint(frame, present, pairs), np.inf, np.full(3, np.nan)
    radii = COVALENT_RADII[frame.system.numbers.numpy()]
    ratio = distances / (radii[i] + radii[j])
    worst = int(ratio.argmin())
    return fingerprint(frame, present, pairs), float(ratio[worst]), np.array([distances[worst], i[worst], j[worst]])


def structure_hash(frame: Frame) -> str:
    """SHA-256 of what the atoms are and where, without labels; positions and cell count to 1e-5 Å."""
    system = frame.system
    digest = hashlib.sha256(system.numbers.numpy().tobytes())
    for values in (system.positions, system.cell * system.pbc[:, :, None], system.charge):
        digest.update((values.double().round(decimals=5) + 0.0).numpy().tobytes())
    digest.update(system.multiplicity.numpy().tobytes())
    digest.update(system.pbc.numpy().tobytes())
    return digest.hexdigest()


def spread(values: np.ndarray) -> tuple[float, float]:
    """Median, and standard deviation as the median absolute deviation estimates it."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


def robust_residuals(facts: Facts) -> np.ndarray:
    """Energy per atom above reference energies `[frames]`, eV; the references are fitted so that outliers hardly
    pull (iterated least absolute deviations). NaN without an energy and for isolated atoms."""
    used = np.isfinite(facts.energy) & ~facts.isolated
    out = np.full(len(facts), np.nan)
    if not used.any():
        return out
    fractions = facts.counts[used] / facts.atoms[used, None]
    values = facts.energy[used] / facts.atoms[used]
    middle = float(np.median(values))
    weights = np.ones(len(values))
    for _ in range(30):
        root = np.sqrt(weights)
        shift = np.linalg.lstsq(fractions * root[:, None], (values - middle) * root, rcond=1e-8)[0]
        rest = values - middle - fractions @ shift
        weights = 1 / np.maximum(np.abs(rest), 1e-6 + 1e-3 * np.median(np.abs(rest)))
    out[used] = rest
    return out
