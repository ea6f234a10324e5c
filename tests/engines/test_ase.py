"""The ASE calculator: values, neighbor-list reuse, stress, and errors that name the cause."""

import copy

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.engines.ase import AdiabatCalculator
from adiabat.errors import CapabilityError, DynamicsError, GeometryError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System

SMALL = SchNetConfig(channels=8, layers=2, basis=8, cutoff=4.0)


@pytest.fixture
def schnet():
    torch.manual_seed(0)
    return SchNet(SMALL, [1, 6, 8, 14])


@pytest.mark.parametrize(("fast", "tolerance"), [(False, 1e-12), (True, 1e-5)])
def test_equals_evaluate_while_atoms_move(schnet, fast, tolerance):
    atoms = molecule("CH3CH2OH")
    calculator = atoms.calc = AdiabatCalculator(schnet, skin=0.6, fast=fast)
    random = np.random.default_rng(0)
    for _ in range(12):
        atoms.positions += random.normal(0, 0.03, atoms.positions.shape)
        fresh = evaluate(schnet, Graph.build(System.from_ase(atoms), 4.0))
        assert fresh.forces is not None
        assert atoms.get_potential_energy() == pytest.approx(float(fresh.energy), abs=tolerance)
        assert np.allclose(atoms.get_forces(), fresh.forces.numpy(), atol=tolerance)
    assert calculator.searches < 6  # the skin was used


def test_changed_weights_are_seen(schnet):
    model = copy.deepcopy(schnet)
    atoms = molecule("CH3OH")
    atoms.calc = AdiabatCalculator(model)
    before = atoms.get_potential_energy()
    with torch.no_grad():
        model.head.layers[-1].bias += 1.0
    atoms.rattle(1e-9, seed=0)
    assert atoms.get_potential_energy() == pytest.approx(before + len(atoms), abs=1e-5)


def test_stress_is_the_slope_of_the_energy(schnet):
    atoms = bulk("Si")
    atoms.rattle(0.05, seed=1)
    atoms.calc = AdiabatCalculator(schnet)
    stress = atoms.get_stress()
    step = 1e-5
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * step * np.diag([1, 0, 0])), scale_atoms=True)
        strained.calc = AdiabatCalculator(schnet)
        energies.append(strained.get_potential_energy())
    assert stress[0] == pytest.approx((energies[0] - energies[1]) / (2 * step) / atoms.get_volume(), rel=1e-5)


def test_float32_model(schnet):
    atoms = molecule("CH3OH")
    atoms.calc = AdiabatCalculator(schnet)
    double = atoms.get_forces()
    atoms.calc = AdiabatCalculator(schnet.float())
    assert np.allclose(atoms.get_forces(), double, atol=1e-4)
    assert atoms.get_forces().dtype == np.float64


def test_what_the_model_lacks_is_named(schnet):
    atoms = molecule("H2O")
    atoms.calc = AdiabatCalculator(schnet)
    with pytest.raises(CapabilityError, match="does not predict dipole"):
        atoms.get_dipole_moment()
    with pytest.raises(CapabilityError, match="periodic cell"):
        atoms.get_stress()


def test_unknown_elements_and_broken_structures(schnet):
    atoms = molecule("NH3")
    atoms.calc = AdiabatCalculator(schnet)
    with pytest.raises(GeometryError, match="does not know N"):
        atoms.get_potential_energy()
    water = molecule("H2O")
    water.calc = AdiabatCalculator(schnet)
    water.positions[0] = np.nan
    with pytest.raises(GeometryError, match="not finite"):
        water.get_forces()


def test_nan_from_the_model_is_not_passed_on(schnet):
    with torch.no_grad():
        next(schnet.parameters()).fill_(float("nan"))
    atoms = molecule("H2O")
    atoms.calc = AdiabatCalculator(schnet)
    with pytest.raises(DynamicsError, match="far outside"):
        atoms.get_potential_energy()


def test_every_change_is_seen(schnet):
    """Cell, periodicity, elements and the charge in `info`, which ASE's own comparison overlooks."""
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=0)
    atoms.calc = calculator = AdiabatCalculator(schnet, fast=False)

    def change(what):
        what(atoms)
        graph = Graph.build(System.from_ase(atoms), 4.0)
        assert atoms.get_potential_energy() == pytest.approx(float(evaluate(schnet, graph).energy), abs=1e-12)
        assert calculator.check_state(atoms) == []

    change(lambda a: a.set_cell(a.cell.array * 1.01, scale_atoms=True))
    change(lambda a: a.set_cell(a.cell.array * 1.01))
    change(lambda a: a.set_pbc([True, False, True]))
    change(lambda a: a.set_atomic_numbers([14, 8] * 4))
    change(lambda a: a.pop())
    searches = calculator.searches
    atoms.info["charge"] = 1
    assert calculator.check_state(atoms) == ["info"]
    assert float(calculator._graph(atoms).system.charge) == 0.0  # only a calculation takes the change over
    atoms.get_potential_energy()
    assert float(calculator._graph(atoms).system.charge) == 1.0
    assert calculator.searches == searches + 1


def test_a_failed_step_leaves_no_trace(schnet):
    atoms = molecule("H2O")
    atoms.calc = AdiabatCalculator(schnet, fast=False)
    energy = atoms.get_potential_energy()
    good = atoms.positions.copy()
    for _ in range(2):
        atoms.positions[0] = np.nan
        with pytest.raises(GeometryError, match="not finite"):
            atoms.get_forces()
    atoms.positions[:] = good
    assert atoms.get_potential_energy() == energy
    atoms.numbers[0] = 7
    for _ in range(2):
        with pytest.raises(GeometryError, match="does not know N"):
            atoms.get_potential_energy()
    atoms.numbers[0] = 8
    assert atoms.get_potential_energy() == energy


def test_stress_comes_with_the_forces_once_it_is_asked_for(schnet):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=0)
    atoms.calc = calculator = AdiabatCalculator(schnet, fast=False)
    atoms.get_forces()
    assert "stress" not in calculator.results
    atoms.get_stress()
    for expected in (True, False):  # nobody asks for it at these positions: kept for one step
        atoms.rattle(0.01, seed=1)
        atoms.get_forces()
        assert ("stress" in calculator.results) is expected


def test_a_breathing_cell_needs_few_searches(schnet):
    atoms = bulk("Si", cubic=True)
    atoms.calc = AdiabatCalculator(schnet, fast=False)
    random = np.random.default_rng(0)
    for step in range(20):
        atoms.set_cell(5.43 * np.eye(3) * (1 + 0.01 * np.sin(step)), scale_atoms=True)
        atoms.positions += random.normal(0, 0.003, (8, 3))
        graph = Graph.build(System.from_ase(atoms), 4.0)
        assert atoms.get_potential_energy() == pytest.approx(float(evaluate(schnet, graph).energy), abs=1e-12)
    assert atoms.calc.searches == 1


def test_the_model_may_change_its_type(schnet):
    atoms = molecule("CH3OH")
    atoms.calc = AdiabatCalculator(schnet, fast=False)
    double = atoms.get_potential_energy()
    schnet.float()
    atoms.rattle(1e-9, seed=0)
    assert atoms.get_potential_energy() == pytest.approx(double, abs=1e-4)
