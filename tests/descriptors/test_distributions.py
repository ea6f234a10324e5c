"""Many-body tensor representations, of structures and of atoms, and Valle-Oganov fingerprints."""

from itertools import combinations
from math import erf, sqrt

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk
from descriptor_checks import slopes_are_numeric, turning_changes_nothing
from small_models import ELEMENTS, several_graphs, structure

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.distributions import Falloff, Term
from adiabat.descriptors.lmbtr import LMBTRConfig
from adiabat.descriptors.mbtr import MBTRConfig
from adiabat.descriptors.structures import represent
from adiabat.descriptors.valle_oganov import ValleOganovConfig
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.model import load
from adiabat.pretrained.importers.dscribe_terms import structure_options
from adiabat.pretrained.kit import Kit
from adiabat.quickstart import shipped
from adiabat.testing.parity import parity
from adiabat.training import train

EXP = {"form": "exp", "threshold": 0.01}
TERMS = (
    {"geometry": "atomic_number", "start": 0.0, "stop": 10.0, "points": 6, "width": 1.0},
    {"geometry": "inverse_distance", "start": 0.2, "stop": 1.4, "points": 7, "width": 0.1},
    {
        "geometry": "distance",
        "start": 0.5,
        "stop": 3.0,
        "points": 5,
        "width": 0.3,
        "weight": {"form": "inverse_square"},
    },
    {"geometry": "angle", "start": 0.0, "stop": 180.0, "points": 6, "width": 20.0, "weight": EXP},
    {
        "geometry": "cosine",
        "start": -1.0,
        "stop": 1.0,
        "points": 4,
        "width": 0.3,
        "weight": {"form": "smooth_cutoff"},
    },
)


def mbtr(terms=TERMS, normalization="none", elements=ELEMENTS, cutoff=3.0):
    return (
        MBTRConfig.parse({"terms": terms, "normalization": normalization, "cutoff": cutoff}).build(elements).double()
    )


def lmbtr(terms=TERMS[1:], normalization="none", cutoff=3.0):
    options = {"terms": terms, "normalization": normalization, "cutoff": cutoff}
    return LMBTRConfig.parse(options).build(ELEMENTS).double()


def row(descriptor, system):
    return descriptor(descriptor.graph(system))[0]


def bins(value, weight, term):
    """Means over bins of one Gaussian, from the error function of the standard library."""
    step = (term["stop"] - term["start"]) / (term["points"] - 1)
    ends = [term["start"] + step * (k - 0.5) for k in range(term["points"] + 1)]
    below = [0.5 * erf((x - value) / (sqrt(2.0) * term["width"])) for x in ends]
    return weight * np.diff(below) / step


@pytest.mark.parametrize(("name", "variants"), [("mbtr", 7), ("lmbtr", 3), ("valle-oganov", 2)])
def test_parity_of_dscribe(shared, name, variants):
    report = parity(Kit(shared / "golden" / f"dscribe-{name}"))
    assert report.status == "equal", report
    assert len(report.deviations) == variants
    assert report.worst < 1e-12


def test_a_molecule_by_hand():
    """Water: one pair of hydrogen atoms, two of hydrogen and oxygen, and three angles."""
    h, o, far = (0.9, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.2, 0.0)
    across = sqrt(0.9**2 + 1.2**2)
    sharp = {"form": "unity", "cutoff": 4.0, "ending": "sharp"}
    distances = TERMS[2] | {"weight": {"form": "inverse_square", "cutoff": 4.0, "ending": "sharp"}}
    angles = TERMS[3] | {"weight": sharp}
    water = System.from_arrays([h, o, far], [1, 8, 1])
    found = row(mbtr([TERMS[0], distances, angles]), water).numpy()
    atoms = [2 * bins(1.0, 1.0, TERMS[0]), bins(8.0, 1.0, TERMS[0])]
    pairs = [bins(across, across**-2, distances), bins(0.9, 0.9**-2, distances) + bins(1.2, 1.2**-2, distances)]
    pairs.append(np.zeros(5))
    beside = [bins(np.degrees(np.arctan2(*legs)), 1.0, angles) for legs in ((1.2, 0.9), (0.9, 1.2))]
    none = np.zeros(6)
    triplets = [
        none,
        sum(beside),
        none,
        bins(90.0, 1.0, angles),
        none,
        none,
    ]  # ends HH, HO, OO of middle H, then of O
    np.testing.assert_allclose(found, np.concatenate([*atoms, *pairs, *triplets]), rtol=1e-12, atol=1e-14)


def test_weights_by_hand():
    r, cutoff = 1.3, 3.0
    pair = System.from_arrays([[0, 0, 0], [0, 0, r]], [8, 8])
    u, cosine = r / cutoff, 0.5 + 0.5 * np.cos(np.pi * r / cutoff)
    cases = (
        ({"form": "exp", "threshold": 0.01}, 0.01**u * cosine),
        ({"form": "exp", "scale": 0.7, "ending": "sharp"}, np.exp(-0.7 * r)),
        ({"form": "smooth_cutoff", "sharpness": 3.0}, 1 + 3 * u**4 - 4 * u**3),
        ({"form": "unity"}, cosine),
    )
    for weight, expected in cases:
        found = row(mbtr([TERMS[2] | {"weight": weight}], elements=[8]), pair).numpy()
        np.testing.assert_allclose(found, bins(r, expected, TERMS[2]), rtol=1e-12)


def test_heights_of_gaussians():
    wide = {"geometry": "distance", "start": 0.0, "stop": 3.0, "points": 3001, "width": 0.2, "area": False}
    pair = System.from_arrays([[0, 0, 0], [0, 0, 1.5]], [8, 8])
    found = row(mbtr([wide | {"weight": {"form": "unity", "ending": "sharp"}}], elements=[8]), pair)
    assert float(found.max()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("pbc", [True, False])
def test_turning_shifting_and_renaming_change_nothing(pbc):
    descriptor, system = mbtr(), structure(5, 4.0, pbc=pbc)
    turn = -torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(1)))[0]
    order = torch.tensor([3, 0, 4, 1, 2])
    places = (system.positions @ turn + torch.tensor([0.3, -1.0, 2.0]))[order]
    moved = System.from_arrays(places, system.numbers[order], system.cell[0] @ turn if pbc else None, pbc)
    before = row(descriptor, system)
    assert float(before.abs().max()) > 0.1
    torch.testing.assert_close(row(descriptor, moved), before, rtol=0, atol=1e-10)


def test_images_and_supercells():
    system, steps = structure(4, 3.0), torch.tensor([[0, 0, 0], [1, 0, 0], [0, -2, 1], [3, 1, 0.0]])
    other = system.replace(positions=system.positions + steps @ system.cell[0])
    cell = system.cell[0]
    double = System.from_arrays(
        torch.cat([system.positions, system.positions + cell[1]]),
        system.numbers.repeat(2),
        torch.stack([cell[0], 2 * cell[1], cell[2]]),
        True,
    )
    plain, each = mbtr(), mbtr(normalization="n_atoms")
    torch.testing.assert_close(row(plain, other), row(plain, system), rtol=0, atol=1e-10)
    torch.testing.assert_close(row(plain, double), 2 * row(plain, system), rtol=0, atol=1e-10)
    torch.testing.assert_close(row(each, double), row(each, system), rtol=0, atol=1e-10)
    for quantity, ratio in (("distance", 1.0), ("angle", 0.5)):  # angles as in DScribe, which divides once too often
        options = {"quantity": quantity, "cutoff": 3.0, "points": 20, "width": 2.0}
        fingerprint = ValleOganovConfig.parse(options).build(ELEMENTS)
        torch.testing.assert_close(row(fingerprint, double), ratio * row(fingerprint, system), rtol=0, atol=1e-10)


@pytest.mark.parametrize("normalization", ["none", "l2", "n_atoms", "valle_oganov"])
def test_batches_equal_one_by_one(normalization):
    descriptor = mbtr(normalization=normalization)
    systems = [structure(atoms, 4.0, seed) for seed, atoms in enumerate((5, 1, 3))]
    together = descriptor(descriptor.graph(System.batch(systems)))
    assert together.shape == (3, descriptor.size)
    for found, system in zip(together, systems, strict=True):
        torch.testing.assert_close(found, row(descriptor, system), rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalization", ["none", "l2", "valle_oganov"])
def test_slopes_are_differences(normalization):
    descriptor, system = mbtr(normalization=normalization), structure(4, 3.0)
    graph = descriptor.graph(system)
    weights = torch.randn(descriptor.size, generator=torch.Generator().manual_seed(2))

    def total(positions, cell):
        return descriptor(graph.replace(system=system.replace(positions=positions, cell=cell)))[0] @ weights

    inputs = (system.positions.clone().requires_grad_(), system.cell.clone().requires_grad_())
    assert torch.autograd.gradcheck(total, inputs, eps=1e-5, rtol=1e-6, atol=1e-6)


def test_slopes_stay_finite_in_line():
    row_of_atoms = System.from_arrays([[0, 0, 0], [0, 0, 1.0], [0, 0, 2.0]], [8, 8, 8])
    descriptor = mbtr([TERMS[3]])
    graph = descriptor.graph(row_of_atoms)
    places = row_of_atoms.positions.clone().requires_grad_()
    descriptor(graph.replace(system=row_of_atoms.replace(positions=places))).sum().backward()
    assert places.grad is not None
    assert places.grad.isfinite().all()


def test_length_one_and_nothing_to_divide():
    lonely, pair = structure(1, 9.0), structure(5, 4.0)
    descriptor = mbtr(TERMS[1:2], "l2")
    assert not row(descriptor, lonely).any()
    assert float(row(descriptor, pair).norm()) == pytest.approx(1.0)


def test_fingerprints_approach_those_of_a_gas():
    """The mean of F over a range far away is 1, of either pair of elements, and 0 if centered."""
    salt = bulk("NaCl", "rocksalt", a=5.6)
    options = {"kind": "valle_oganov", "cutoff": 20.0, "points": 201, "width": 0.6}
    rows = represent([salt], options).view(3, 201)
    torch.testing.assert_close(rows[:, 120:180].mean(dim=1), torch.ones(3), rtol=0, atol=0.02)
    assert float(rows[1, :5].max()) < 1e-3  # nothing within half an Å
    torch.testing.assert_close(represent([salt], options | {"centered": True}).view(3, 201), rows - 1.0)


def test_faults_are_named():
    molecule = structure(4, 4.0, pbc=False)
    with pytest.raises(CapabilityError, match="no volume to divide by"):
        ValleOganovConfig().build(ELEMENTS).graph(molecule)
    with pytest.raises(ConfigError, match="centered is of distances"):
        ValleOganovConfig(quantity="angle", centered=True).build(ELEMENTS)
    with pytest.raises(ConfigError, match="terms is empty"):
        MBTRConfig(terms=()).build(ELEMENTS)
    with pytest.raises(ConfigError, match="no atomic_number"):
        LMBTRConfig.parse({"terms": TERMS}).build(ELEMENTS)
    for change, words in (
        ({"stop": -1.0}, "starts or before"),
        ({"weight": {"form": "exp", "scale": 1.0, "cutoff": 3.0}}, "give one of them"),
        ({"geometry": "cosine", "weight": {"form": "inverse_square"}}, "is a weight of pairs"),
    ):
        with pytest.raises(ConfigError, match=words):
            Term.parse(dict(TERMS[1]) | change)


def test_options_of_dscribe():
    given = {
        "geometry": {"function": "angle"},
        "grid": {"min": 0, "max": 180, "sigma": 2, "n": 10},
        "weighting": {"function": "exp", "r_cut": 4.0, "threshold": 1e-2},
        "normalization": "l2",
    }
    options = structure_options("MBTR", given)
    weight = Falloff(form="exp", cutoff=4.0, threshold=1e-2, ending="sharp")
    assert options == MBTRConfig(
        terms=(Term(geometry="angle", start=0, stop=180, points=10, width=2, weight=weight),), normalization="l2"
    )


def test_atoms_add_up_to_the_structure():
    """Each pair and each angle of the structure is found at the atoms that take part in it."""
    system = structure(6, 3.5)
    pairs, angles = mbtr(TERMS[1:2]), mbtr(TERMS[3:4])
    local_pairs, local_angles = lmbtr(TERMS[1:2]), lmbtr(TERMS[3:4])
    kinds = (system.numbers == 8).long()
    graph = Graph.build(system, 3.0)
    whole = row(pairs, system).view(3, 7)
    at = local_pairs(graph).view(6, 2, 7)
    hydrogen, oxygen = (at[kinds == k].sum(dim=0) for k in (0, 1))
    expected = torch.stack([0.5 * hydrogen[0], 0.5 * (hydrogen[1] + oxygen[0]), 0.5 * oxygen[1]])
    torch.testing.assert_close(expected, whole)
    torch.testing.assert_close(hydrogen[1], oxygen[0])
    whole = row(angles, system).view(2, 3, 6)
    at = local_angles(graph).view(6, 7, 6)
    for middle in (0, 1):
        torch.testing.assert_close(at[kinds == middle, :3].sum(dim=0), whole[middle])
        ends = at[:, 3 + 2 * middle : 5 + 2 * middle]  # middle element, other end; the atom is the end itself
        torch.testing.assert_close(ends[kinds == 0, 0].sum(dim=0), 2 * whole[middle, 0])
        torch.testing.assert_close(ends[kinds == 0, 1].sum(dim=0), whole[middle, 1])
        torch.testing.assert_close(ends[kinds == 1, 1].sum(dim=0), 2 * whole[middle, 2])
    assert float(whole.abs().max()) > 1e-4


@pytest.mark.parametrize("normalization", ["none", "l2"])
def test_atoms_slopes_and_invariance(normalization):
    descriptor = lmbtr(normalization=normalization)
    for graph in several_graphs()[:2]:
        graph = descriptor.prepare(graph)
        slopes_are_numeric(descriptor, graph)
        assert float(turning_changes_nothing(descriptor, graph).abs().max()) > 0.1


def test_slopes_without_a_pass_for_each_feature():
    descriptor = lmbtr()
    for graph in several_graphs():
        for found, plain in zip(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
            assert not found.requires_grad


@pytest.mark.parametrize("normalization", ["none", "l2"])
def test_lonely_atoms_have_zeros(normalization):
    descriptor = lmbtr(normalization=normalization)
    values, slopes = descriptor.jacobian(several_graphs()[3])
    assert values.shape == (1, descriptor.size)
    assert not values.any()
    assert slopes.shape == (0, descriptor.size, 3)


def test_atoms_rows_end_smoothly():
    """Values and slopes of default weights vanish where a neighbor leaves; those of DScribe's jump."""
    smooth = lmbtr()
    jumping = lmbtr([TERMS[1] | {"weight": {"form": "exp", "ending": "sharp"}}])
    steps = {}
    for name, descriptor in (("smooth", smooth), ("jumping", jumping)):
        rows = []
        for far in (3.0 - 1e-5, 3.0 + 1e-5):
            places = np.array([[0.0, 0, 0], [1.0, 0, 0], [0.3, far, 0]])
            places[2] *= far / np.linalg.norm(places[2])
            rows.append(descriptor(Graph.build(System.from_arrays(places, [8, 1, 1]), 4.0))[0])
        steps[name] = float((rows[0] - rows[1]).abs().max())
    assert steps["smooth"] < 1e-8
    assert steps["jumping"] > 1e-4


def test_a_triplet_of_every_two_neighbors():
    """Four neighbors: six angles at the atom, and twelve at the neighbors."""
    term = {"geometry": "cosine", "start": -1.0, "stop": 1.0, "points": 201, "width": 0.01}
    descriptor = lmbtr([term | {"weight": {"form": "unity", "cutoff": 2.5, "ending": "sharp"}}])
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / sqrt(3.0)
    graph = Graph.build(System.from_arrays(np.vstack([np.zeros(3), corners]), [8, 1, 1, 1, 1]), 2.5)
    blocks = descriptor(graph)[0].view(-1, 201)
    sums = blocks.sum(dim=1) * 0.01
    torch.testing.assert_close(sums, torch.tensor([6.0, 0, 0, 12.0, 0, 0, 0]), rtol=1e-6, atol=1e-9)
    assert int(blocks[0].argmax()) == pytest.approx(100 - 100 / 3, abs=1)
    legs = list(combinations(corners, 2))
    beside = float(np.dot(legs[0][1] - legs[0][0], -legs[0][0]) / np.linalg.norm(legs[0][1] - legs[0][0]))
    assert int(blocks[3].argmax()) == pytest.approx(100 + 100 * beside, abs=1)


@pytest.mark.parametrize(("regressor", "error"), [("linear", 0.2), ("network", 0.7)])
def test_fits_are_saved(regressor, error, tmp_path):
    """Forces are 0.9 eV/Å in the mean."""
    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":40"},
        "model": {
            "method": "local",
            "descriptor": {"kind": "lmbtr", "cutoff": 4.0},
            "regressor": {"kind": regressor},
        },
        "fit": {} if regressor == "linear" else {"epochs": 12, "optimizer": {"rate": 0.02}},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    assert result.metrics["forces_mae"] < error
    atoms, potential = result.prepared.parts["test"][0].to_ase(), result.potential
    again = load(tmp_path / "run" / "model.adiabat").predict(atoms)["energy"]
    graph = Graph.build(System.from_ase(atoms, potential.dtype), potential.cutoff)
    assert again == float(evaluate(potential, graph, ("energy",)).energy)


def test_rows_of_structures_given_by_name():
    water = ase.Atoms("HOH", [[0.9, 0, 0], [0, 0, 0], [0, 1.2, 0]])
    rows = represent([water], {"kind": "mbtr", "terms": TERMS, "cutoff": 3.0})
    torch.testing.assert_close(rows[0], row(mbtr(), System.from_ase(water)))
