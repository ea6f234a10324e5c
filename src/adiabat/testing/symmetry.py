"""Checks of exact laws: INV, EXT, PBC, BATCH."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction
from adiabat.testing.checks import CheckResult, Measure, difference, judge, not_run, predict, wants
from adiabat.testing.reference import brute_force_graph, supercell

INV_ENERGY, INV_VECTORS = 1e-10, 1e-8
EXT, PBC, BATCH = 1e-9, 1e-9, 1e-10
GLOBAL = "a global model knows one molecule and no periodicity"


def check_inv(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """Energy stays (1e-10 relative) and forces, stress and dipole turn along (1e-8) under random motions.

    Each structure is translated, rotated, reflected, and its atoms are permuted. Differences are relative to the
    largest magnitude, at least 1 eV, eV/Å or eV/Å³. Atoms of a global model are not permuted: its order is fixed;
    models that say so (`mirrored`) are not reflected.
    """
    measures: list[Measure] = []
    notes = [] if potential.local else ["permutations left out: a global model's atoms have a fixed order"]
    notes += (
        [] if potential.mirrored else ["reflection left out: the model may tell mirror images apart, and says so"]
    )
    for name, system in structures.items():
        before = predict(potential, system, wants(potential, system))
        rotation = _rotation(seed=3)
        motions: dict[str, tuple[Tensor, Tensor | None]] = {
            "translation": (torch.eye(3, dtype=torch.float64), None),
            "rotation": (rotation, None),
        }
        if potential.mirrored:
            motions["reflection"] = (-rotation @ _rotation(seed=11), None)
        if potential.local:
            order = torch.randperm(system.atoms, generator=torch.Generator().manual_seed(5))
            motions["permutation"] = (torch.eye(3, dtype=torch.float64), order)
        for motion, (turn, order) in motions.items():
            after = predict(potential, _moved(system, turn, order), wants(potential, system))
            measures += _compare_turned(f"{name} under {motion}", before, after, turn, order)
    return judge("INV", measures, notes)


def check_ext(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """E(2×2×2) = 8 E(cell), two far fragments add up, and charges sum to the total charge (1e-9 relative)."""
    if not potential.local:
        return not_run("EXT", f"exempt: {GLOBAL}")
    measures, notes = [], []
    for name, system in structures.items():
        if bool(system.pbc.any()):
            repeats = tuple(2 if p else 1 for p in system.pbc[0].tolist())
            count = int(np.prod(repeats))
            once, many = (predict(potential, s, ("energy",)) for s in (system, supercell(system, repeats)))  # type: ignore[arg-type]
            measures.append(Measure("energy per cell", name, difference(many.energy / count, once.energy), EXT))
        else:
            whole = predict(potential, system, ("energy",))
            once = whole
            parts = _fragments(system, potential.cutoff)
            if len(parts) > 1:
                energy = sum((predict(potential, p, ("energy",)).energy for p in parts), torch.zeros(1))
                measures.append(Measure("energy of fragments", name, difference(whole.energy, energy), EXT))
        if once.charges is not None:
            total = system.sum_over_atoms(once.charges)
            measures.append(Measure("total charge", name, difference(total, system.charge), EXT))
    return judge("EXT", measures, notes)


def check_pbc(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """A small periodic cell equals a supercell twice as wide as the cutoff with pairs found by trying all images.

    In such a supercell no atom sees two images of another, so nothing of small-cell bookkeeping is left in it.
    Energy per cell, forces and stress, 1e-9 relative.
    """
    if not potential.local:
        return not_run("PBC", f"exempt: {GLOBAL}")
    measures = []
    for name, system in structures.items():
        if not bool(system.pbc.any()):
            continue
        small = predict(potential, system, ("energy", "forces", "stress"))
        heights = 1.0 / torch.linalg.inv(system.cell[0]).norm(dim=0)
        needed = torch.ceil(2.0 * potential.cutoff / heights).int().clamp(min=1)
        repeats = tuple(int(n) if p else 1 for n, p in zip(needed, system.pbc[0].tolist(), strict=True))
        large_system = supercell(system, repeats)  # type: ignore[arg-type]
        graph = brute_force_graph(large_system, potential.cutoff)
        large = evaluate(potential, graph, ("energy", "forces", "stress"))
        assert large.forces is not None
        count = int(np.prod(repeats))
        measures += [
            Measure("energy", name, difference(small.energy, large.energy / count), PBC),
            Measure("forces", name, difference(small.forces, large.forces[: system.atoms]), PBC),
            Measure("stress", name, difference(small.stress, large.stress), PBC),
        ]
    return judge("PBC", measures, () if measures else ["no periodic structure was given"])


def check_batch(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """All structures as one batch, in either order, give what each gives alone (1e-10 relative)."""
    measures = []
    systems = list(structures.values())
    periodic = potential.local and any(bool(s.pbc.any()) for s in systems)
    want = ("energy", "forces", "stress") if periodic else ("energy", "forces")
    alone = [predict(potential, s, wants(potential, s)) for s in systems]
    for label, order in (("batch", range(len(systems))), ("reversed batch", reversed(range(len(systems))))):
        places = list(order)
        graphs = [Graph.build(systems[k], potential.cutoff) for k in places]
        together = evaluate(potential, Graph.batch(graphs), want)
        assert together.forces is not None
        forces = together.forces.split([systems[k].atoms for k in places])
        for row, k in enumerate(places):
            where = f"{list(structures)[k]} in the {label}"
            energy = difference(together.energy[row : row + 1], alone[k].energy)
            measures.append(Measure("energy", where, energy, BATCH))
            measures.append(Measure("forces", where, difference(forces[row], alone[k].forces), BATCH))
            if alone[k].stress is not None and together.stress is not None:
                stress = difference(together.stress[row : row + 1], alone[k].stress)
                measures.append(Measure("stress", where, stress, BATCH))
    return judge("BATCH", measures)


def _rotation(seed: int) -> Tensor:
    matrix = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rotation, _ = torch.linalg.qr(matrix)
    return rotation * torch.linalg.det(rotation).sign()


def _moved(system: System, turn: Tensor, order: Tensor | None) -> System:
    """Turned about the origin and shifted; every vector v becomes turn · v. Atoms are reordered if asked."""
    shift = system.positions.new_tensor([0.7, -1.3, 2.1])
    moved = system.replace(positions=system.positions @ turn.T + shift, cell=system.cell @ turn.T)
    if order is None:
        return moved
    return moved.replace(positions=moved.positions[order], numbers=moved.numbers[order])


def _compare_turned(
    where: str, before: Prediction, after: Prediction, turn: Tensor, order: Tensor | None
) -> list[Measure]:
    assert before.forces is not None
    forces = before.forces @ turn.T
    if order is not None:
        forces = forces[order]
    measures = [
        Measure("energy", where, difference(after.energy, before.energy), INV_ENERGY),
        Measure("forces", where, difference(after.forces, forces), INV_VECTORS),
    ]
    if before.stress is not None:
        stress = turn @ before.stress @ turn.T
        measures.append(Measure("stress", where, difference(after.stress, stress), INV_VECTORS))
    if before.dipole is not None:
        measures.append(Measure("dipole", where, difference(after.dipole, before.dipole @ turn.T), INV_VECTORS))
    if before.polarizability is not None:
        turned = turn @ before.polarizability @ turn.T
        measures.append(Measure("polarizability", where, difference(after.polarizability, turned), INV_VECTORS))
    return measures


def _fragments(system: System, cutoff: float) -> list[System]:
    """Groups of atoms with no path of pairs between them."""
    near = torch.cdist(system.positions, system.positions) < max(cutoff, 1e-6)
    group = torch.arange(system.atoms)
    for _ in range(system.atoms):
        group = torch.where(near, group[None, :], system.atoms).amin(dim=1)
    rows = [(group == g).nonzero()[:, 0] for g in group.unique()]
    return [
        system.replace(positions=system.positions[r], numbers=system.numbers[r], system=system.system[r])
        for r in rows
    ]
