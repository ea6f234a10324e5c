"""Matrices between the atoms of a structure: numbers by hand, invariances, slopes, DScribe's numbers."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk
from small_models import structure

from adiabat.descriptors.structures import STRUCTURES, represent, structure_config
from adiabat.elements import symbols
from adiabat.errors import CapabilityError, ConfigError, GeometryError
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

CRYSTALS = ["sine_matrix", "ewald_matrix", "neighbor_cells_matrix"]
MATRICES = ["coulomb_matrix", *CRYSTALS]
SPLITS = [
    {"rule": "plain", "precision": 1e-14},
    {"rule": "kolafa-perram", "precision": 1e-13},
    {"rule": "jackson-catlow", "precision": 1e-15},
]


def made(kind, atoms=6, permutation="none", elements=(1, 8), **options):
    config = {"kind": kind, "atoms": atoms, "permutation": permutation} | options
    return structure_config(config).build(elements).double()


def system_for(kind, atoms=5, seed=0):
    return structure(atoms, 4.0, seed, pbc=kind != "coulomb_matrix")


def row(descriptor, system):
    return descriptor(descriptor.graph(system))[0]


def moved(system, turn, shift, order):
    return System.from_arrays(
        (system.positions @ turn + shift)[order],
        system.numbers[order],
        (system.cell[0] @ turn) if system.pbc.any() else None,
        system.pbc[0],
    )


def test_parity_of_dscribe(shared):
    report = parity(Kit(shared / "golden" / "dscribe-matrices"))
    assert report.status == "equal", report
    assert len(report.deviations) == 9
    assert all(d.relative < (1e-8 if "ewald" in d.quantity else 1e-14) for d in report.deviations)


def test_hydrogen_by_hand():
    molecule = ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])
    rows = represent([molecule], {"kind": "coulomb_matrix", "atoms": 3, "permutation": "none"})
    expected = torch.tensor([[0.5, 1.25, 0.0], [1.25, 0.5, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(rows, expected.view(1, 9))
    rows = represent([molecule], {"kind": "coulomb_matrix", "atoms": 3, "permutation": "eigenspectrum"})
    torch.testing.assert_close(rows, torch.tensor([[1.75, -0.75, 0.0]]))


def test_water_is_sorted_by_hand():
    molecule = ase.Atoms("HOH", [[0, 0, 1.0], [0, 0, 0], [0, 2.0, 0]])
    rows = represent([molecule], {"kind": "coulomb_matrix", "atoms": 3}).view(3, 3)
    between = 5**-0.5
    expected = torch.tensor([[0.5 * 8**2.4, 8.0, 4.0], [8.0, 0.5, between], [4.0, between, 0.5]])
    torch.testing.assert_close(rows, expected)


def test_sine_by_hand():
    """Half a lattice vector apart: sin² is 1 along it, and the length is the lattice vector's."""
    crystal = ase.Atoms("OH", [[0.1, 0.2, 0.3], [2.1, 0.2, 0.3]], cell=np.diag([4.0, 5.0, 6.0]), pbc=True)
    rows = represent([crystal], {"kind": "sine_matrix", "atoms": 2, "permutation": "none"})
    torch.testing.assert_close(rows, torch.tensor([[0.5 * 8**2.4, 2.0, 2.0, 0.5]]))


def test_madelungs_constant():
    salt, a = bulk("NaCl", "rocksalt", a=5.6, cubic=True), 5.6
    z, q = salt.numbers.astype(float), np.where(salt.numbers == 11, 1.0, -1.0)
    matrix = represent([salt], {"kind": "ewald_matrix", "atoms": 8, "permutation": "none"}).view(8, 8).numpy()
    energy = float(np.triu(matrix * np.outer(q / z, q / z)).sum())
    assert energy == pytest.approx(-4 * 1.7475645946331822 / (a / 2), rel=1e-11)


def test_the_split_does_not_matter():
    system = system_for("ewald_matrix")
    rows = [row(made("ewald_matrix", split=split), system) for split in SPLITS]
    for other in rows[1:]:
        torch.testing.assert_close(other, rows[0], rtol=0, atol=1e-9 * float(rows[0].abs().max()))


@pytest.mark.parametrize("decay", ["exponential", "inverse"])
def test_cells_around_rock_salt(decay):
    """Against a loop over the atoms of 27 cells."""
    salt = bulk("NaCl", "rocksalt", a=5.6)
    options = {"decay": decay, "length": 1.5, "permutation": "eigenspectrum"}
    found = represent([salt], {"kind": "neighbor_cells_matrix", "atoms": 3, **options})[0].numpy()
    every = salt.repeat(3)
    expected = np.diag(0.5 * every.numbers**2.4)
    for i in range(54):
        for j in range(i):
            r = float(np.linalg.norm(every.positions[i] - every.positions[j]))
            phi = np.exp(-r / 1.5) if decay == "exponential" else 1.0 / r
            expected[i, j] = expected[j, i] = every.numbers[i] * every.numbers[j] * phi
    values = np.linalg.eigvalsh(expected)
    values = values[np.argsort(-np.abs(values), kind="stable")]
    assert found.shape == (81,)
    np.testing.assert_allclose(found[:54], values, rtol=1e-12)
    assert not found[54:].any()


def test_a_molecule_has_no_cells_around():
    molecule = system_for("coulomb_matrix")
    inverse = row(made("neighbor_cells_matrix", cells=1, decay="inverse", permutation="sorted_l2"), molecule)
    plain = row(made("coulomb_matrix", permutation="sorted_l2"), molecule)
    torch.testing.assert_close(inverse.view(162, 162)[:6, :6].reshape(-1), plain)
    assert int((inverse != 0.0).sum()) == 25


@pytest.mark.parametrize("permutation", ["sorted_l2", "eigenspectrum", "random"])
@pytest.mark.parametrize("kind", MATRICES)
def test_turning_shifting_and_renaming_change_nothing(kind, permutation):
    descriptor, system = made(kind, permutation=permutation), system_for(kind)
    turn = -torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(1)))[0]
    before = row(descriptor, system)
    after = row(descriptor, moved(system, turn, torch.tensor([0.3, -1.0, 2.0]), torch.tensor([3, 0, 4, 1, 2])))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-10 * float(before.abs().max()))


@pytest.mark.parametrize("kind", ["sine_matrix", "ewald_matrix"])
def test_images_are_the_same_atom(kind):
    descriptor, system = made(kind), system_for(kind)
    steps = torch.tensor([[0, 0, 0], [1, 0, 0], [0, -2, 1], [3, 1, 0], [0, 0, -1.0]])
    other = system.replace(positions=system.positions + steps @ system.cell[0])
    before = row(descriptor, system)
    torch.testing.assert_close(row(descriptor, other), before, rtol=0, atol=1e-10 * float(before.abs().max()))


@pytest.mark.parametrize("permutation", ["none", "eigenspectrum"])
@pytest.mark.parametrize("kind", MATRICES)
def test_slopes_are_differences(kind, permutation):
    descriptor, system = made(kind, 3, permutation), system_for(kind, 3)
    graph = descriptor.graph(system)
    weights = torch.randn(descriptor.size, generator=torch.Generator().manual_seed(2))

    def total(positions, cell):
        changed = graph.replace(system=system.replace(positions=positions, cell=cell))
        return descriptor(changed)[0] @ weights

    inputs = (system.positions.clone().requires_grad_(), system.cell.clone().requires_grad_())
    assert torch.autograd.gradcheck(total, inputs, eps=1e-5, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("permutation", ["none", "sorted_l2", "eigenspectrum"])
@pytest.mark.parametrize("kind", MATRICES)
def test_batches_equal_one_by_one(kind, permutation):
    descriptor = made(kind, permutation=permutation)
    systems = [system_for(kind, atoms, seed) for atoms, seed in ((5, 0), (1, 1), (3, 2))]
    together = descriptor(descriptor.graph(System.batch(systems)))
    assert together.shape == (3, descriptor.size)
    for found, system in zip(together, systems, strict=True):
        alone = row(descriptor, system)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-11 * float(alone.abs().max()))


def test_random_sorting():
    system = system_for("coulomb_matrix")
    rows = {
        seed: row(made("coulomb_matrix", permutation="random", sigma=20.0, seed=seed), system) for seed in range(4)
    }
    plain = row(made("coulomb_matrix", permutation="sorted_l2"), system)
    assert len({tuple(r.tolist()) for r in rows.values()}) > 1
    for found in rows.values():
        torch.testing.assert_close(found.sort()[0], plain.sort()[0])
        assert not found.view(6, 6)[5].any()
    torch.testing.assert_close(row(made("coulomb_matrix", permutation="random", sigma=0.0), system), plain)


def test_what_has_no_row_is_refused():
    crystal, molecule = system_for("sine_matrix"), system_for("coulomb_matrix")
    slab = crystal.replace(pbc=torch.tensor([[True, True, False]]))
    with pytest.raises(CapabilityError, match="knows no images"):
        made("coulomb_matrix").graph(crystal)
    for kind in ("sine_matrix", "ewald_matrix"):
        for system in (slab, molecule):
            with pytest.raises(CapabilityError, match="is of crystals"):
                made(kind).graph(system)
    with pytest.raises(CapabilityError, match="5 atoms and matrices have room for 4"):
        row(made("coulomb_matrix", 4), molecule)
    with pytest.raises(GeometryError, match="does not know O"):
        made("coulomb_matrix", elements=(1,)).graph(molecule)


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match="'sine_matrx' is not a descriptor. Did you mean 'sine_matrix'"):
        structure_config({"kind": "sine_matrx"})
    with pytest.raises(ConfigError, match="choose of coulomb_matrix"):
        structure_config({"atoms": 3})
    assert represent([], {"kind": "sine_matrix", "atoms": 2}).shape == (0, 4)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_every_page_makes_rows(kind):
    crystal = structure(5, 4.0)
    atoms = ase.Atoms(
        symbols(crystal.numbers.tolist()), crystal.positions.numpy(), cell=crystal.cell[0].numpy(), pbc=True
    )
    atoms.pbc = kind not in ("coulomb_matrix", "bag_of_bonds")
    config = structure_config({"kind": kind})
    rows = represent([atoms, atoms], config)
    assert rows.shape == (2, config.build([1, 8]).size)
    assert torch.equal(rows[0], rows[1])
    assert rows.isfinite().all()
    assert float(rows.abs().max()) > 0.01


def test_graphs_need_no_pairs():
    graph = made("coulomb_matrix").graph(system_for("coulomb_matrix"))
    assert isinstance(graph, Graph)
    assert graph.pairs.shape == (2, 0)
