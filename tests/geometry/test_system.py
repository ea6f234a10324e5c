"""Systems: what is refused, from where they come, how they join, how strain acts on them."""

import ase
import numpy as np
import pytest
import torch

from adiabat.errors import GeometryError
from adiabat.evaluate import evaluate
from adiabat.geometry import Environment, Graph, System
from adiabat.testing.teacher import Teacher, TeacherConfig

SKEW = np.array([[3.1, 0.2, 0.0], [-1.1, 2.9, 0.3], [0.4, 1.2, 3.3]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "no atoms"),
        (([[0, 0, float("nan")]], [1]), "atom 0 .* not finite"),
        (([[0, 0, 0], [float("inf"), 0, 0]], [1, 1]), "atom 1 .* not finite"),
        (([[0, 0, 0], [1e7, 0, 0]], [1, 1]), "atom 1 .* beyond"),
        (([[0, 0, 0]], [0]), "atomic number 0"),
        (([[0, 0, 0]], [119]), "atomic number 119"),
        (([[0, 0, 0], [1, 0, 0]], [1]), "2 positions for 1"),
        (([[0, 0, 0]], [1], None, True), "singular"),
        (([[0, 0, 0]], [1], [[3, 0, 0], [0, 3, 0], [3, 3, 0]], True), "singular"),
        (([[0, 0, 0]], [1], [[3, 0, 0], [0, 3, 0], [3, 3, 1e-6]], True), "singular"),
        (([[0, 0, 0]], [1], np.full((3, 3), np.nan), True), "not finite"),
        (([[0, 0, 0]], [1], np.diag([3.0, 3.0, 0.0]), [True, False, True]), "singular"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_faults_are_named(arguments, message):
    with pytest.raises(GeometryError, match=message):
        System.from_arrays(*arguments)


def test_a_cell_is_only_needed_where_it_repeats():
    system = System.from_arrays([[0, 0, 0]], [1], np.diag([3.0, 3.0, 0.0]), [True, True, False])
    assert Graph.build(system, 3.5).pairs.shape[1] == 4


def test_unknown_elements_are_named():
    system = System.from_arrays([[0, 0, 0], [1, 0, 0]], [1, 17])
    with pytest.raises(GeometryError, match="does not know Cl. It knows: H, O"):
        system.check([1, 8])


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"charge": "one"}, "total charge 'one'"),
        ({"charge": float("nan")}, "total charge nan"),
        ({"charge": [1, 0]}, "total charge"),
        ({"multiplicity": 0}, "multiplicity 0"),
        ({"multiplicity": 1.5}, "multiplicity 1.5"),
        ({"spin_multiplicity": "2"}, "multiplicity '2'"),
        ({"multiplicity": None}, "multiplicity None"),
        ({"multiplicity": float("nan")}, "multiplicity nan"),
        ({"charge": None}, "total charge None"),
    ],
    ids=str,
)
def test_wrong_charges_are_named(info, message):
    atoms = ase.Atoms("H")
    atoms.info |= info
    with pytest.raises(GeometryError, match=message):
        System.from_ase(atoms)


def test_from_ase():
    atoms = ase.Atoms("OH", [[0, 0, 0], [0, 0, 1]], cell=SKEW, pbc=[True, True, False])
    system = System.from_ase(atoms)
    assert (float(system.charge), int(system.multiplicity)) == (0.0, 1)
    assert system.pbc.tolist() == [[True, True, False]]
    atoms.info |= {"charge": -1, "spin_multiplicity": 3}
    system = System.from_ase(atoms, torch.float32)
    assert (float(system.charge), int(system.multiplicity)) == (-1.0, 3)
    assert system.positions.dtype == torch.float32
    assert system.numbers.tolist() == [8, 1]


def test_batch():
    one = System.from_arrays([[0, 0, 0]], [1], charge=1.0)
    two = System.from_arrays([[0, 0, 0], [1, 0, 0]], [6, 8], SKEW, True)
    both = System.batch([one, two])
    assert len(both) == 2
    assert both.atom_counts.tolist() == [1, 2]
    assert both.system.tolist() == [0, 1, 1]
    assert both.charge.tolist() == [1.0, 0.0]
    torch.testing.assert_close(both.volume, torch.tensor([0.0, abs(np.linalg.det(SKEW))]))
    assert both.sum_over_atoms(torch.tensor([1.0, 2.0, 3.0])).tolist() == [1.0, 5.0]
    with pytest.raises(GeometryError, match="no systems"):
        System.batch([])
    field = one.replace(environment=Environment(field=torch.zeros(1, 3)))
    with pytest.raises(GeometryError, match="all or none"):
        System.batch([field, two])
    joined = System.batch([field, field])
    assert joined.environment.field.shape == (2, 3)


def test_volume_of_left_handed_cells_is_positive():
    assert float(System.from_arrays([[0, 0, 0]], [1], SKEW[[1, 0, 2]], True).volume) > 0


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2]], ids=["right", "left"])
def test_stress_is_the_strain_derivative_over_the_volume(order):
    system = System.from_arrays([[0, 0, 0], [1.6, 1.5, 1.7], [9.0, -4.0, 3.0]], [6, 8, 1], SKEW[order] * 1.2, True)
    teacher = Teacher(TeacherConfig(), [1, 6, 8])
    stress = evaluate(teacher, Graph.build(system, 4.0), ("stress",)).stress[0]
    step = 1e-5
    for a in range(3):
        for b in range(3):
            energies = []
            for sign in (1, -1):
                strain = torch.eye(3)
                strain[a, b] += 0.5 * sign * step
                strain[b, a] += 0.5 * sign * step
                moved = system.replace(positions=system.positions @ strain, cell=system.cell @ strain)
                energies.append(float(evaluate(teacher, Graph.build(moved, 4.0), ("energy",)).energy))
            expected = (energies[0] - energies[1]) / (2 * step) / float(system.volume)
            assert float(stress[a, b]) == pytest.approx(expected, abs=1e-8)


def test_wrapping_changes_nothing():
    system = System.from_arrays([[0, 0, 0], [1.6, 1.5, 1.7]], [6, 8], SKEW * 1.2, True)
    moved = system.replace(positions=system.positions + torch.tensor([[0.0] * 3, [3.0, -2.0, 5.0]]) @ system.cell[0])
    teacher = Teacher(TeacherConfig(), [6, 8])
    a, b = (evaluate(teacher, Graph.build(s, 4.0), ("energy", "forces", "stress")) for s in (system, moved))
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-10, atol=1e-10)
