"""Checks of structures: duplicates, contradictions, leaks between splits, atoms too close."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from adiabat.data.lint_facts import Facts, Finding
from adiabat.elements import symbol

NEAR = 2e-3  # distance of fingerprints; corresponds to displacements of about 0.001 Å
SAME_ENERGY = 1e-4  # eV/atom, for near duplicates
CONTRADICTION = 5e-3  # eV/atom between labels of one structure
CLOSE, OVERLAP = 0.5, 0.3  # of the sum of covalent radii


def duplicates(facts: Facts) -> list[Finding]:
    """Frames of exactly the same atoms in the same places."""
    first: dict[str, int] = {}
    copies, conflicts = [], []
    for index, digest in enumerate(facts.structure):
        origin = first.setdefault(digest, index)
        if origin == index:
            continue
        copies.append(index)
        if abs(facts.energy[index] - facts.energy[origin]) > CONTRADICTION * facts.atoms[index]:
            conflicts.append(index)
    out = []
    if copies:
        origin = first[facts.structure[copies[0]]]
        out.append(
            Finding(
                "warning",
                "duplicates",
                "the same structure more than once",
                f"{len(copies)} of {len(facts)} frames repeat an earlier one exactly (frame {copies[0]} is frame"
                f" {origin} again): they count double in a fit, and a random split may put the copies on both sides."
                " Keep one of each.",
                tuple(copies),
            )
        )
    if conflicts:
        index = conflicts[0]
        origin = first[facts.structure[index]]
        off = abs(facts.energy[index] - facts.energy[origin]) / facts.atoms[index]
        out.append(
            Finding(
                "error",
                "contradictions",
                "the same structure with different energies",
                f"{len(conflicts)} frames repeat an earlier structure with another energy (frames {origin} and"
                f" {index} differ by {off:.3g} eV/atom): no potential can fit both. Two levels of theory, two spin"
                " states or an unconverged calculation?",
                tuple(conflicts),
            )
        )
    return out


def near_pairs(facts: Facts) -> Iterator[tuple[int, int]]:
    """Pairs of frames of one composition whose fingerprints agree, and whose energies agree if both are known."""
    for members in facts.kinds():
        members = members[(facts.atoms[members] > 1) & np.isfinite(facts.closeness[members])]
        members = members[np.isfinite(facts.points[members]).all(axis=1)]
        if len(members) < 2:
            continue
        points = facts.points[members]
        # frames near each other are near in any one projection: sort by one, look only at neighbors there
        axis = np.random.default_rng(0).normal(size=points.shape[1])
        place = points @ (axis / np.linalg.norm(axis))
        order = np.argsort(place, kind="stable")
        place, points, members = place[order], points[order], members[order]
        ends = np.searchsorted(place, place + NEAR, side="right")
        for a, end in enumerate(ends.tolist()):
            if end - a < 2:
                continue
            apart = np.square(points[a + 1 : end] - points[a]).sum(axis=1)
            for b in (np.flatnonzero(apart < NEAR**2) + a + 1).tolist():
                i, j = sorted((int(members[a]), int(members[b])))
                if not abs(facts.energy[i] - facts.energy[j]) > SAME_ENERGY * facts.atoms[i]:
                    yield i, j


def near_duplicates(facts: Facts, pairs: Sequence[tuple[int, int]]) -> list[Finding]:
    """Frames equal up to rotation, translation, order of atoms or a tiny displacement."""
    found = [(i, j) for i, j in pairs if facts.structure[i] != facts.structure[j]]
    if not found:
        return []
    later = sorted({j for _, j in found})
    i, j = found[0]
    return [
        Finding(
            "warning",
            "near_duplicates",
            "structures that hardly differ",
            f"{len(later)} of {len(facts)} frames equal another one up to rotation, order of atoms or displacements"
            f" of about 0.001 Å, with the same energy (such as frames {i} and {j}): they add weight, not knowledge.",
            tuple(later),
        )
    ]


def leaks(facts: Facts, parts: Mapping[str, Sequence[int]], pairs: Sequence[tuple[int, int]]) -> list[Finding]:
    """Frames of one part that also occur in another: exactly, nearly, or by their energy alone.

    Args:
        facts: of all parts together.
        parts: part to its frame indices in `facts`, the training part first.
        pairs: from `near_pairs`.
    """
    owner = {index: name for name, indices in parts.items() for index in indices}
    rank = {name: k for k, name in enumerate(parts)}
    leaked: dict[tuple[str, str], dict[int, dict[int, str]]] = {}  # frame to those it is like, and how

    def note(i: int, j: int, how: str) -> None:
        if i in owner and j in owner and owner[i] != owner[j]:
            a, b = sorted((i, j), key=lambda k: rank[owner[k]])
            leaked.setdefault((owner[a], owner[b]), {}).setdefault(b, {}).setdefault(a, how)

    for group in _groups(facts.structure):
        for position, i in enumerate(group):
            for j in group[position + 1 :]:
                note(i, j, "same structure")
    for i, j in pairs:
        note(i, j, "nearly the same structure")
    for i, j in _same_energies(facts):
        note(i, j, "same energy to 1e-7 eV/atom")
    out = []
    for (first, second), frames in leaked.items():
        hows = [next(iter(like.values())) for like in frames.values()]
        listing = ", ".join(f"{hows.count(h)} by {h}" for h in dict.fromkeys(hows))
        equal = sum(any(_same_energy(facts, a, b) for a in like) for b, like in frames.items())
        b = min(frames)
        a = min(frames[b])
        out.append(
            Finding(
                "error",
                "leaks",
                f"{second} frames that are in {first}",
                f"{len(frames)} of {len(parts[second])} {second} frames are also in {first} ({listing}; {equal} with"
                f" the same energy; such as frame {_local(parts, second, b)} of {second} and frame"
                f" {_local(parts, first, a)} of {first}): the score on {second} is too good."
                " Take them out of one part.",
                tuple(sorted(frames)),
            )
        )
    return out


def _same_energy(facts: Facts, a: int, b: int) -> bool:
    return bool(abs(facts.energy[a] - facts.energy[b]) < 1e-7 * facts.atoms[b])


def _local(parts: Mapping[str, Sequence[int]], name: str, index: int) -> int:
    return list(parts[name]).index(index)


def _groups(digests: Sequence[str]) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for index, digest in enumerate(digests):
        found.setdefault(digest, []).append(index)
    return [group for group in found.values() if len(group) > 1]


def _same_energies(facts: Facts) -> Iterator[tuple[int, int]]:
    """Pairs of one composition with equal energies, if energies are told apart so finely that chance is excluded."""
    for members in facts.kinds():
        members = members[np.isfinite(facts.energy[members])]
        energies = facts.energy[members] / facts.atoms[members]
        order = np.argsort(energies, kind="stable")
        gaps = np.diff(energies[order])
        tolerance = 1e-7
        width = float(np.subtract(*np.percentile(energies, [90, 10]))) if len(members) > 1 else 0.0
        # expected number of chance pairs of n uniform values: n² · tolerance / width
        if len(members) < 2 or width == 0 or len(members) ** 2 * tolerance / width > 0.1:
            continue
        rounded = np.abs(energies * facts.atoms[members] * 1e4 % 1)
        if (np.minimum(rounded, 1 - rounded) < 1e-3).all():
            continue  # energies with four decimals or fewer agree by chance
        for k in np.flatnonzero(gaps < tolerance).tolist():
            yield int(members[order[k]]), int(members[order[k + 1]])


def close_atoms(facts: Facts) -> list[Finding]:
    """Atoms closer than half the sum of their covalent radii."""
    bad = np.flatnonzero(facts.closeness < CLOSE)
    if not len(bad):
        return []
    bad = bad[np.argsort(facts.closeness[bad], kind="stable")]
    worst = int(bad[0])
    distance, i, j = facts.closest[worst]
    overlapping = int((facts.closeness < OVERLAP).sum())
    who = "atoms on top of each other"
    if np.isfinite(i):
        numbers = facts.dataset[worst].system.numbers
        who = f"{symbol(int(numbers[int(i)]))} and {symbol(int(numbers[int(j)]))} {distance:.3f} Å apart"
    return [
        Finding(
            "error" if overlapping else "warning",
            "close_atoms",
            "atoms too close",
            f"{len(bad)} frames have atoms closer than {CLOSE} of the sum of their covalent radii, {overlapping} of"
            f" them below {OVERLAP}; the worst is frame {worst} with {who}. A wrong length unit, a wrong cell, or"
            " structures far outside chemistry?",
            tuple(bad.tolist()),
        )
    ]
