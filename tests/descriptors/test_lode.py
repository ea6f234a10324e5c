"""LODE: featomic's numbers, slopes by far atoms and the cell, and interactions beyond every cutoff."""

import numpy as np
import pytest
import torch
from scipy.special import gammainc
from small_models import ELEMENTS, loosened, several_graphs, structure

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.descriptors.base import slopes_of
from adiabat.descriptors.density_radial import radial_functions
from adiabat.descriptors.lode import LODEConfig
from adiabat.descriptors.power_law import SmearedPowerLaw
from adiabat.errors import CapabilityError
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.soap import featomic_options
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity
from adiabat.testing.structures import structures
from adiabat.units import COULOMB

FEATOMIC = 2e-7  # its own tables are made to 1e-8, and their slopes to a few 1e-6


def small(**options):
    return LODEConfig.parse({"cutoff": 3.0, "n_max": 2, "l_max": 2} | options)


def graph_of(system, cutoff=3.0):
    return Graph.build(system, cutoff)


def model(regressor="quadratic", **options):
    descriptor = small(**options).model_dump()
    return loosened(Local(LocalConfig.parse({"descriptor": descriptor, "regressor": {"kind": regressor}}), ELEMENTS))


@pytest.mark.parametrize("name", ["featomic-lode", "featomic-spherical-expansion"])
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < FEATOMIC
    assert {d.quantity.split("/")[0] for d in report.deviations} == set(
        Kit(shared / "golden" / name).meta["hyperparameters"]
    )


def test_slopes_of_an_expansion(shared):
    kit = Kit(shared / "golden" / "featomic-spherical-expansion")
    given, atoms = kit.outputs(), kit.structures()["ethanol"]
    descriptor = featomic_options(kit.meta["hyperparameters"]["spherical_expansion"]).build(atoms.numbers)
    graph = graph_of(System.from_ase(atoms, torch.float64), descriptor.cutoff)

    vectors, atoms = graph.vectors().requires_grad_(), graph.system.atoms
    found = descriptor.coefficients(vectors, graph)
    along = slopes_of(found.flatten(1), vectors).unflatten(1, found.shape[1:]).permute(0, 3, 2, 1)
    slopes = along.new_zeros((atoms * atoms, *along.shape[1:]))  # center and moved atom, xyz, m, channel
    slopes.index_add_(0, graph.centers * atoms + graph.neighbors, along)
    slopes.index_add_(0, graph.centers * (atoms + 1), along, alpha=-1.0)
    slopes = slopes.unflatten(0, (atoms, atoms)).numpy()
    for l in range(5):
        key = f"ethanol/spherical_expansion/l{l}"
        row, _, moved = given[f"{key}/grad_positions_samples"].T
        expected = np.zeros((9, 9, 3, 2 * l + 1, slopes.shape[4]))
        np.add.at(expected, (given[f"{key}/grad_sample_rows"][row][:, 1], moved), given[f"{key}/grad_positions"])
        assert np.abs(slopes[:, :, :, l * l : (l + 1) ** 2] - expected).max() < 20 * FEATOMIC * np.abs(expected).max()


def test_products_are_those_of_featomic():
    """PowerSpectrum(SphericalExpansion, LodeSphericalExpansion) of featomic 0.6.7, run once for these atoms."""
    positions = [[0.1, 0.2, 0.3], [1.0, 0.4, 0.2], [1.3, 1.9, 2.2]]
    cell = [[4.0, 0.2, 0.0], [0.0, 3.8, 0.3], [0.1, 0.0, 4.2]]
    graph = graph_of(System.from_arrays(positions, [1, 8, 1], cell, True, dtype=torch.float64))
    values = [7.1048127252e-02, -6.1898320733e-02, 3.3236885271e-02, -2.8956532202e-02]
    values += [-6.3484646419e-02, 6.3082586048e-03, -2.0872994281e-04, -3.2208247993e-03]
    slopes = [-0.033102575, 0.0268117844, -0.0246353894, 0.0205141742]
    slopes += [0.0792972018, 0.0168149053, 0.0090492911, -0.0056162829]
    descriptor = small(l_max=1).build(ELEMENTS)
    found, jacobian = descriptor.jacobian(graph)
    centers, neighbors = descriptor.links(graph)[0]
    along = jacobian[(centers == 1) & (neighbors == 2)].sum(dim=0)[:8, 0]
    assert np.allclose(found[1, :8].numpy(), values, atol=1e-8)
    assert np.allclose(along.numpy(), slopes, atol=1e-8)


@pytest.mark.parametrize("exponent", [1, 2, 3, 6])
def test_power_laws_of_gaussians(exponent):
    law, r = SmearedPowerLaw(exponent, 0.7), torch.logspace(-2, 3, 50)
    expected = gammainc(0.5 * exponent, (0.5 * (r / 0.7) ** 2).numpy()) / r.numpy() ** exponent
    assert np.allclose(law(r).numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("exponent", [0, 1, 6])
def test_real_space_is_the_projection_of_the_potential(exponent):
    """f_nl(r) by quadrature over a sphere around the atom."""
    config = small(exponent=exponent)
    expansion, law = config.expansion(ELEMENTS), SmearedPowerLaw(exponent, config.smearing)
    r = torch.tensor([0.9, 3.0, 11.0])
    found = expansion.of_distances(r[:, None] * torch.tensor([0.0, 0.0, 1.0]))
    x, weight = np.polynomial.legendre.leggauss(120)
    x, weight = 12.0 * (x + 1.0), 12.0 * weight
    t, area = np.polynomial.legendre.leggauss(120)
    functions = radial_functions(x, "powers", 2, 0, 3.0)[:, :, 0] * (weight * x**2)[:, None]
    apart = np.sqrt(
        np.maximum(x[:, None] ** 2 + r.numpy()[:, None, None] ** 2 - 2 * x[:, None] * r.numpy()[:, None, None] * t, 0)
    )
    values = law(torch.from_numpy(apart)).numpy()
    for l, place in ((0, 0), (1, 2), (2, 6)):
        legendre = np.polynomial.legendre.Legendre.basis(l)(t) * np.sqrt((2 * l + 1) / (4 * np.pi)) * 2 * np.pi
        expected = np.einsum("rxt,t,xn->rn", values, area * legendre, functions)
        assert np.allclose(found[:, :, place].numpy(), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_molecules_are_crystals_of_long_period():
    system = structure(6, 4.0, pbc=False)
    alone = small(exponent=6).build(ELEMENTS)(graph_of(system))
    boxed = System.from_arrays(system.positions.numpy() + 9.0, system.numbers.numpy(), np.eye(3) * 24.0, True)
    found = small(exponent=6, reach=6.0).build(ELEMENTS)(graph_of(boxed.to(dtype=torch.float64)))
    assert torch.allclose(alone, found, atol=3e-5 * float(alone.abs().max()))


def test_the_weight_of_the_center_is_the_same_with_and_without_periodicity():
    for system in (structure(5, 4.0), structure(5, 4.0, pbc=False)):
        graph = graph_of(system)
        full, none, half = (small(center_weight=w).expansion(ELEMENTS)(graph) for w in (1.0, 0.0, 0.5))
        assert torch.allclose(half, 0.5 * (full + none))
        own = (full - none)[:, :, 0]
        assert torch.allclose(own.abs().amax(dim=1), own.abs().max())
        assert not (full - none)[:, :, 1:].any()


@pytest.mark.parametrize("products", ["multiscale", "potential"])
@pytest.mark.parametrize("exponent", [1, 6])
def test_stored_slopes_are_derivatives(products, exponent):
    made = model(products=products, exponent=exponent)
    free = structure(7, 5.0, pbc=False)
    graphs = [*several_graphs(), graph_of(free), graph_of(System.batch([free, structure(4, 5.0)]))]
    for graph in graphs:
        want = ("energy", "forces", "stress") if bool(graph.system.pbc.any()) else ("energy", "forces")
        direct, stored = evaluate(made, graph, want), made.predict_from(made.features(graph), want)
        for name in want:
            one, other = getattr(direct, name), getattr(stored, name)
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10, equal_nan=True)


def test_features_of_a_model_in_float32_are_made_in_float64():
    graph = several_graphs()[0]
    expected = small().build(ELEMENTS).jacobian(graph)
    torch.testing.assert_close(small().build(ELEMENTS).float().jacobian(graph), expected, rtol=1e-12, atol=1e-12)
    made = model().float()
    single = evaluate(made, graph.to(dtype=torch.float32), ("forces",)).forces
    stored = made.predict_from(made.features(graph.to(dtype=torch.float32)), ("forces",)).forces.detach()
    torch.testing.assert_close(single, stored, rtol=1e-3, atol=1e-4 * float(stored.abs().max()))


def test_forces_and_stress_are_finite_differences():
    torch.manual_seed(0)
    made = model("linear")
    system = structure(5, 4.0)
    found = evaluate(made, graph_of(system), ("energy", "forces", "stress"))
    step = 1e-4

    def energy(positions, cell):
        return float(evaluate(made, graph_of(system.replace(positions=positions, cell=cell)), ("energy",)).energy)

    def slope(change):
        ahead, behind = (energy(*change(sign * step)) for sign in (1.0, -1.0))
        return (ahead - behind) / (2.0 * step)

    for atom, axis in ((0, 0), (3, 2)):

        def moved(size, atom=atom, axis=axis):
            positions = system.positions.clone()
            positions[atom, axis] += size
            return positions, system.cell

        assert slope(moved) == pytest.approx(-float(found.forces[atom, axis]), rel=1e-6, abs=1e-8)
    for a, b in ((0, 0), (1, 2)):

        def strained(size, a=a, b=b):
            strain = torch.eye(3)
            strain[a, b] += 0.5 * size
            strain[b, a] += 0.5 * size
            return system.positions @ strain, system.cell @ strain

        stress = float(found.stress[0, a, b]) * float(system.volume)
        assert slope(strained) == pytest.approx(stress, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("products", ["multiscale", "potential"])
def test_turning_shifting_and_doubling_change_nothing(products):
    descriptor = small(products=products).build(ELEMENTS)
    for pbc in (True, False):
        system = structure(6, 4.0, pbc=pbc)
        expected = descriptor(graph_of(system))
        assert expected.shape == (6, descriptor.size)
        turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
        turned = system.replace(positions=system.positions @ turn + 0.3, cell=system.cell @ turn)
        torch.testing.assert_close(descriptor(graph_of(turned)), expected, rtol=1e-8, atol=1e-10)
        together = descriptor(graph_of(System.batch([structure(3, 5.0), system])))
        torch.testing.assert_close(together[3:], expected, rtol=1e-10, atol=1e-12)
    system = structure(6, 4.0)
    cell = system.cell.clone()
    cell[:, 1] *= 2.0
    both = torch.cat((system.positions, system.positions + system.cell[0, 1]))
    doubled = System.from_arrays(both.numpy(), system.numbers.repeat(2).numpy(), cell[0].numpy(), True)
    found = descriptor(graph_of(doubled.to(dtype=torch.float64)))
    torch.testing.assert_close(found, descriptor(graph_of(system)).repeat(2, 1), rtol=1e-8, atol=1e-10)


def test_battery():
    """All but what a sum over all space is not: energies of far fragments do not add up."""
    elements = (1, 6, 8)
    config = LocalConfig.parse({"descriptor": small(l_max=1).model_dump(), "regressor": {"kind": "linear"}})
    given = structures(elements, 3.0)
    kept = {name: s for name, s in given.items() if bool(s.pbc.all()) or not bool(s.pbc.any())}
    report = run_battery(loosened(Local(config, elements)), kept, skip=("EXT", "PBC", "FIT", "REF", "NVE", "RT"))
    assert report.passed, report


def test_refuses_what_it_cannot_sum():
    made = model()
    slab = structure(4, 4.0, pbc=(True, True, False))
    with pytest.raises(CapabilityError, match="long period"):
        evaluate(made, graph_of(slab))
    graph = graph_of(structure(4, 4.0))
    with pytest.raises(CapabilityError, match="single domain"):
        evaluate(made, graph.replace(owned=torch.ones(4, dtype=torch.bool)))


def dimers(count, seed=0):
    """Two ion pairs of bond length 2 Å, 8 to 25 Å apart and turned at random, with their Coulomb forces."""
    random, frames, charges = np.random.default_rng(seed), [], np.array([1.0, -1.0, 1.0, -1.0])
    for _ in range(count):
        axes = random.normal(size=(3, 3))
        axes /= np.linalg.norm(axes, axis=1)[:, None]
        center = axes[2] * random.uniform(8.0, 25.0)
        positions = np.stack([axes[0], -axes[0], center + axes[1], center - axes[1]])
        apart = positions[:2, None] - positions[2:]
        lengths = np.linalg.norm(apart, axis=2)
        products = COULOMB * charges[:2, None] * charges[2:]
        pulls = (products / lengths**3)[..., None] * apart
        forces = torch.from_numpy(np.concatenate((pulls.sum(axis=1), -pulls.sum(axis=0))))
        system = System.from_arrays(positions, [1, 8, 1, 8], None, False, dtype=torch.float64)
        frames.append(Frame(system, {"energy": torch.tensor((products / lengths).sum()), "forces": forces}, {}))
    return MemoryDataset(frames)


def test_learns_ions_that_are_beyond_the_cutoff():
    frames, others = dimers(30), dimers(10, seed=1)
    errors = {}
    for name, descriptor in {
        "lode": {"kind": "lode", "cutoff": 3.0, "n_max": 3, "l_max": 1, "smearing": 0.6},
        "soap": {"kind": "soap", "convention": "featomic", "cutoff": 3.0, "n_max": 3, "l_max": 1},
    }.items():
        made = Local(LocalConfig.parse({"descriptor": descriptor, "regressor": {"kind": "linear"}}), ELEMENTS)
        fit = LinearFitter(made, frames, others, LinearConfig())
        errors[name] = fit.fit().best["valid_forces_rmse"]
    size = float(torch.cat([others[k].labels["forces"] for k in range(10)]).square().mean().sqrt())
    assert errors["soap"] > 0.9 * size
    assert errors["lode"] < 1e-5 * size
