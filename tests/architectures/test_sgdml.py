"""sGDML through the battery, its guards, and the speed of its group theory."""

import numpy as np
import pytest
import torch
from ase.build import molecule

from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.data.dataset import MemoryDataset
from adiabat.data.frame import Frame
from adiabat.descriptors.inverse_distances import InverseDistances
from adiabat.descriptors.permutations import close, find_permutations
from adiabat.errors import CapabilityError, FitError, GeometryError
from adiabat.evaluate import evaluate
from adiabat.fit.kernel import KernelConfig, KernelFitter
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery


def _energy(positions: torch.Tensor) -> torch.Tensor:
    """A smooth made-up field of one molecule: Morse functions of all distances."""
    distances = torch.pdist(positions)
    return ((1 - torch.exp(-(distances - 1.5))) ** 2 / (1 + distances**2)).sum()


def frames(count: int, seed: int = 0, name: str = "CH3OH") -> MemoryDataset:
    atoms = molecule(name)
    random = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        positions = torch.as_tensor(atoms.positions) + 0.08 * torch.randn(len(atoms), 3, generator=random)
        positions = positions.double().requires_grad_()
        energy = _energy(positions)
        (slope,) = torch.autograd.grad(energy, positions)
        system = System.from_arrays(positions.detach().numpy(), atoms.numbers)
        made.append(Frame(system, {"energy": energy.detach(), "forces": -slope}))
    return MemoryDataset(made)


@pytest.fixture(scope="module")
def fitted() -> SGDML:
    potential = SGDML(SGDMLConfig(), [1, 6, 8])
    KernelFitter(potential, frames(25), frames(10, 1), KernelConfig(length_scales=(5, 10))).fit()
    return potential


def test_battery(fitted, shared):
    structures = {f"methanol {k}": f.system for k, f in enumerate(frames(3, 2))}
    kits = [shared / "golden" / "sgdml-ethanol-published", shared / "golden" / "sgdml-ethanol-trained"]
    report = run_battery(fitted, structures, kits=kits)
    assert report.passed, report.text()
    exempt = {r.code for r in report.results if r.passed is None}
    assert exempt == {"EXT", "PBC", "CUT"}


def test_overfits_twenty_configurations():
    """The battery's FIT for a kernel: the 20 training configurations come back within 1 meV/atom and 10 meV/Å."""
    data = frames(20)
    potential = SGDML(SGDMLConfig(), [1, 6, 8])
    row = KernelFitter(potential, data, data, KernelConfig(length_scales=(10,))).fit().best
    assert row["valid_forces_rmse"] < 0.01
    assert row["valid_energy_mae_per_atom"] < 0.001


def test_constraints_bring_energies_closer():
    data, test = frames(12), frames(40, 3)
    errors = []
    for constrained in (False, True):
        potential = SGDML(SGDMLConfig(energy_constraints=constrained), [1, 6, 8])
        errors.append(KernelFitter(potential, data, test, KernelConfig(length_scales=(10,))).fit().best)
    assert errors[1]["valid_energy_mae_per_atom"] < errors[0]["valid_energy_mae_per_atom"]


def test_kernel_matrix_is_the_models_own_linear_map(fitted):
    """Column k of K is the training forces of a model whose only coefficient is number k."""
    potential = SGDML(SGDMLConfig(energy_constraints=True), [1, 6, 8])
    data = frames(3)
    graphs = [Graph.build(f.system, float("inf")) for f in data]
    potential.set_points(graphs)
    matrix = potential.kernel_matrix(7.0)
    assert torch.allclose(matrix, matrix.T)
    assert float(torch.linalg.eigvalsh(matrix)[0]) > -1e-10
    for column in (0, 20, len(matrix) - 1):
        unit = torch.zeros(len(matrix)).index_fill(0, torch.tensor([column]), 1.0)
        potential.set_coefficients(unit, 7.0)
        found = evaluate(potential, Graph.batch(graphs))
        rows = torch.cat([found.forces.reshape(-1), found.energy])
        assert torch.allclose(rows, matrix[:, column], atol=1e-12)


def test_other_order_molecule_or_periodicity_is_refused(fitted):
    system = frames(1)[0].system
    with pytest.raises(GeometryError, match="in the order C O H"):
        evaluate(fitted, Graph.build(system.replace(numbers=system.numbers.flip(0)), float("inf")))
    boxed = system.replace(pbc=~system.pbc, cell=20 * torch.eye(3)[None])
    with pytest.raises(GeometryError, match="pbc off"):
        evaluate(fitted, Graph.build(boxed, float("inf")))
    with pytest.raises(CapabilityError, match="stress"):
        evaluate(fitted, Graph.build(system, float("inf")), ("stress",))


def test_stays_in_double_precision(fitted):
    before = fitted.weights.clone()
    fitted.to(torch.float32)
    assert fitted.dtype == torch.float64
    assert torch.equal(fitted.weights, before)


def test_memory_is_checked_before_the_solve():
    with pytest.raises(FitError, match="use about 3 frames"):
        KernelFitter(SGDML(SGDMLConfig(), [1, 6, 8]), frames(10), frames(2), KernelConfig(memory=1e-4)).fit()


def test_jacobian_and_its_transpose_agree():
    positions = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    descriptor = InverseDistances(5)
    values, separations = descriptor(positions)
    slopes = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    dense = torch.einsum("bp,bpk->bk", slopes, descriptor.jacobian(values, separations))
    assert torch.allclose(descriptor.pull_back(slopes, values, separations).flatten(1), dense)
    numeric = torch.autograd.functional.jacobian(lambda x: descriptor(x)[0], positions[:1])
    assert torch.allclose(descriptor.jacobian(values, separations)[0], numeric[0, :, 0].flatten(1))


def test_closure_makes_a_group():
    rotation, mirror = [1, 2, 0, 3], [1, 0, 2, 3]
    assert len(close(np.array([rotation]))) == 3
    assert len(close(np.array([rotation, mirror]))) == 6


def test_methyl_rotor_is_found():
    """Methanol whose methyl hydrogens were relabeled at random: the rotor's permutations must come out."""
    rng = np.random.default_rng(0)
    data = frames(30)
    positions = np.stack([f.system.positions.numpy() for f in data])
    numbers = data[0].system.numbers.numpy()
    oxygen, carbon = int(np.flatnonzero(numbers == 8)[0]), int(np.flatnonzero(numbers == 6)[0])
    hydrogens = np.flatnonzero(numbers == 1)
    reach = np.linalg.norm(positions[0, hydrogens] - positions[0, carbon], axis=1)
    methyl = hydrogens[np.argsort(reach)[:3]]
    for k in range(len(positions)):
        positions[k, methyl] = positions[k, rng.permutation(methyl)]
    group = find_permutations(positions, numbers)
    assert len(group) == 6
    assert (group[:, oxygen] == oxygen).all()
