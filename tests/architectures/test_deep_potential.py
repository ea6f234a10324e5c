"""Deep Potential through the battery, and what its options do."""

import ase
import pytest
import torch

from adiabat.architectures import build, method
from adiabat.architectures.local.deep_potential import DeepPotential, DeepPotentialConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.engines.ase import AdiabatCalculator
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.geometry import Graph, System
from adiabat.geometry.system import Environment
from adiabat.nn.switched_repulsion import SwitchedRepulsion
from adiabat.potential import Referenced
from adiabat.testing.battery import run_battery
from adiabat.testing.structures import structures

ELEMENTS = [1, 6, 8]
TWO = {"kind": "se_e2_a", "cutoff": 4.0, "onset": 1.0, "embedding": [4, 8], "axis": 3}
DISTANCES = {"kind": "se_e2_r", "cutoff": 4.0, "onset": 1.0, "embedding": [4, 8]}
ANGLES = {"kind": "se_e3", "cutoff": 3.0, "onset": 1.0, "embedding": [4, 8]}
TYPED = {"kind": "se_atten", "cutoff": 4.0, "onset": 1.0, "embedding": [4, 8], "axis": 3, "types": 3}
ATTENTIVE = TYPED | {"attention": {"layers": 2, "hidden": 6}}
STRIPPED = ATTENTIVE | {"mixing": "strip", "centered": True, "one_side": True, "marked": False}
TYPED_ANGLES = ANGLES | {"kind": "se_e3_tebd", "types": 3, "mixing": "strip"}
HYBRID = {"kind": "hybrid", "parts": [TWO, DISTANCES | {"cutoff": 3.5}, ANGLES, TYPED_ANGLES]}


def _graphs(model):
    return [Graph.build(system, model.cutoff) for system in structures(model.elements, model.cutoff).values()]


def _model(descriptor, seed=1, elements=ELEMENTS, **changes):
    """A model with statistics of the battery's structures, so that means and deviations are not 0 and 1."""
    torch.manual_seed(seed)
    model = DeepPotential(DeepPotentialConfig.parse({"descriptor": descriptor, "hidden": [8, 8]} | changes), elements)
    model.adapt(_graphs(model))
    return model


def _energy(model, system):
    return float(evaluate(model, Graph.build(system, model.cutoff), ("energy",)).energy.sum())


def test_battery(shared):
    kits = [shared / "golden" / "dp-se-e2-a"]
    report = run_battery(_model(TWO), kits=kits, skip=("NVE",))
    assert report.passed, report.text()
    assert report["REF"].passed
    assert report["RT"].passed


@pytest.mark.parametrize(
    "descriptor",
    [TWO | {"one_side": True, "steps": True}, DISTANCES, TYPED, ATTENTIVE, STRIPPED, HYBRID],
    ids=["one-sided", "se_e2_r", "se_atten", "attention", "strip", "hybrid"],
)
def test_battery_of_the_other_descriptors(descriptor):
    report = run_battery(_model(descriptor), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_registered_with_the_papers_defaults():
    model = build(DeepPotentialConfig(), [1, 8])
    assert isinstance(model, DeepPotential)
    assert model.descriptor.size == 100 * 4
    assert model.networks.weights[0].shape == (2, 400, 240)
    assert method("deep_potential").paper == "10.1103/PhysRevLett.120.143001"


def test_statistics_make_rows_of_mean_zero_and_deviation_one():
    """Over all slots of an element's atoms, the empty ones included."""
    model = _model(TWO)
    descriptor = model.descriptor
    for k in range(len(ELEMENTS)):
        values, slots = [], 0
        for graph in _graphs(model):
            center, _ = descriptor.ends(graph)
            rows = descriptor.environment(graph.vectors(), center)
            values.append(rows[center == k])
            slots += int((descriptor.element[graph.system.numbers] == k).sum()) * int(descriptor.slots.sum())
        rows = torch.cat(values)
        empty = (slots - len(rows)) * descriptor.environment.empty()[k]
        assert float(rows[:, 0].sum() + empty) == pytest.approx(0.0, abs=1e-8 * slots)
        square = rows[:, 0].square().sum() + (slots - len(rows)) * descriptor.environment.empty()[k] ** 2
        assert float(square / slots) == pytest.approx(1.0)
        assert float(rows[:, 1:].square().sum() / (3 * slots)) == pytest.approx(1.0)


def test_statistics_without_a_mean_and_with_slots_given():
    neighbors = {"H": 30, "C": 20, "O": 10}
    model = _model(TWO | {"centered": False, "neighbors": neighbors})
    assert not model.descriptor.environment.mean.any()
    assert model.descriptor.slots.tolist() == [30.0, 20.0, 10.0]


def test_excluded_pairs_do_not_see_each_other():
    model = _model(TWO | {"exclude": [["H", "O"]]})
    apart, near = (System.from_arrays([[0, 0, 0], [0, 0, d]], [1, 8]) for d in (9.0, 1.0))
    other = System.from_arrays([[0, 0, 0], [0, 0, 1.0]], [1, 6])
    assert _energy(model, near) == pytest.approx(_energy(model, apart), abs=1e-12)
    assert _energy(model, other) != pytest.approx(_energy(model, System.from_arrays([[0, 0, 0]], [1])), abs=1e-6)
    blank = _model(TWO | {"blank": [["H", "O"]]})
    assert _energy(blank, near) != pytest.approx(_energy(blank, apart), abs=1e-9)


def test_vacuum_leaves_nothing_without_features():
    bare = _model(DISTANCES | {"centered": False}, vacuum=True)
    for bias in bare.descriptor.embedding.biases:
        torch.nn.init.zeros_(bias)  # no neighbors: no features
    lonely = System.from_arrays([[0, 0, 0]], [8])
    assert _energy(bare, lonely) == pytest.approx(0.0, abs=1e-12)


def test_silent_elements_have_no_energy():
    model = _model(TWO, silent=["H"])
    graph = Graph.build(System.from_arrays([[0, 0, 0], [0, 0, 1.0]], [1, 8]), model.cutoff)
    energies = evaluate(model, graph, ("atomic_energies",)).atomic_energies
    assert float(energies[0]) == 0.0
    assert float(energies[1]) != 0.0


def test_parameters_of_frames_and_atoms():
    model = _model(TWO, frame_parameters=1, atom_parameters=1)
    system = System.from_arrays([[0, 0, 0], [0, 0, 1.0]], [1, 8])
    energies = []
    for frame, atom in (((0.0,), (0.0,)), ((0.5,), (0.0,)), ((0.5,), (0.2,)), ((0.5,), [[0.2], [0.4]])):
        model.set_parameters(frame, atom)
        energies.append(_energy(model, system))
    assert len(set(energies)) == 4
    with pytest.raises(ConfigError, match="2 frame and 1 atom parameters"):
        model.set_parameters((1.0, 2.0), (1.0,))


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        (TWO | {"onset": 5.0}, "onset 5.0"),
        (TWO | {"axis": 9}, "axis 9"),
        (TWO | {"neighbors": {"H": 3}}, "neighbors is given for H"),
        (TWO | {"exclude": [["H", "Cu"]]}, "exclude names H and Cu"),
        (TWO | {"activation": "tan"}, "Did you mean 'tanh'"),
        ({"kind": "hybrid", "parts": [ANGLES, ANGLES | {"cutoff": 2.5}]}, "give them the same"),
        ({"kind": "se_a"}, "se_a"),
    ],
)
def test_options_that_do_not_fit(descriptor, message):
    with pytest.raises(ConfigError, match=message):
        _model(descriptor)


def test_silent_must_be_an_element_of_the_model():
    with pytest.raises(ConfigError, match="silent names Cu"):
        _model(TWO, silent=["Cu"])


def test_close_pairs_get_their_energy_from_the_table():
    short = {"inner": 0.5, "outer": 1.5}
    model, plain = (
        _model(TYPED, networks="shared", **more) for more in ({"short_range": short}, {"short_range": None})
    )
    report = run_battery(model, skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()
    repulsion = SwitchedRepulsion(model.elements, 1.0, 3.0)
    for distance in (0.3, 0.45):
        system = System.from_arrays([[0, 0, 0], [0, 0, distance]], [6, 8])
        pair = 2.0 * float(repulsion(torch.tensor([distance]), torch.tensor([5]))[0])
        assert _energy(model, system) == pytest.approx(pair, rel=1e-5)
    apart = System.from_arrays([[0, 0, 0], [0, 0, 1.6]], [6, 8])
    assert _energy(model, apart) == pytest.approx(_energy(plain, apart), rel=1e-12)
    with pytest.raises(ConfigError, match="short_range needs inner"):
        _model(TYPED, short_range={"inner": 2.0, "outer": 1.5})


def _turned(system, turn):
    return System.from_arrays(system.positions @ turn.T, system.numbers)


WATER = System.from_arrays([[0.0, 0.1, 0.0], [0.9, 0.5, 0.1], [-0.8, 0.7, -0.2]], [8, 1, 1])
TWO_PARTS = {"kind": "hybrid", "parts": [TWO, DISTANCES, ATTENTIVE]}


@pytest.mark.parametrize("descriptor", [TWO, ATTENTIVE, TWO_PARTS], ids=["se_e2_a", "attention", "hybrid"])
@pytest.mark.parametrize("matrix", ["diagonal", "full"])
def test_polarizabilities_turn_with_the_system(descriptor, matrix):
    model = _model(descriptor, fitting={"kind": "polarizability", "matrix": matrix})
    torch.nn.init.normal_(model.head.isotropic)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
    before, after = (
        evaluate(model, Graph.build(s, model.cutoff), ("polarizability",)) for s in (WATER, _turned(WATER, turn))
    )
    torch.testing.assert_close(after.polarizability[0], turn @ before.polarizability[0] @ turn.T)
    torch.testing.assert_close(before.polarizability, before.polarizability.transpose(1, 2))
    torch.testing.assert_close(before.properties["atomic_polarizability"].sum(dim=0), before.polarizability[0])
    assert float((before.polarizability[0] - before.polarizability[0].diagonal().diag()).abs().max()) > 1e-6


def test_means_and_sums_of_properties():
    found = {}
    for mean in (False, True):
        model = _model(TWO, fitting={"kind": "property", "size": 2, "mean": mean})
        both = Graph.build(System.batch([WATER, System.from_arrays([[0, 0, 0]], [8])]), model.cutoff)
        found[mean] = evaluate(model, both, ("property",)).property
        assert found[mean].shape == (2, 2)
    torch.testing.assert_close(found[False][0], 3.0 * found[True][0])
    torch.testing.assert_close(found[False][1], found[True][1])


def test_models_of_other_properties_give_no_energies():
    model = _model(TWO, fitting={"kind": "dipole"})
    graph = Graph.build(WATER, model.cutoff)
    with pytest.raises(CapabilityError, match="gives no energy: leave energy, forces out"):
        evaluate(model, graph)
    with pytest.raises(CapabilityError, match="for energies without spin only"):
        model.frozen()
    with pytest.raises(ConfigError, match="a dipole needs vectors"):
        _model(DISTANCES, fitting={"kind": "dipole"})
    with pytest.raises(ConfigError, match="short_range mixes energies"):
        _model(TWO, fitting={"kind": "dipole"}, short_range={})


def _charged(seed, want):
    """Molecules of two elements with the dipoles and polarizabilities of charges and bonds."""
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for _ in range(12):
        moved = WATER.positions + 0.1 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        dipole = torch.tensor([-0.8, 0.4, 0.4], dtype=torch.float64) @ moved
        bonds = moved[1:] - moved[0]
        labels = {"dipole": dipole, "polarizability": torch.eye(3, dtype=torch.float64) + bonds.T @ bonds}
        frames.append(Frame(WATER.replace(positions=moved), {want: labels[want]}))
    return MemoryDataset(frames)


@pytest.mark.parametrize("kind", ["dipole", "polarizability"])
def test_learns_dipoles_and_polarizabilities(kind):
    model = Referenced(_model(TWO | {"axis": 4}, fitting={"kind": kind}))
    loss = {"energy": 0.0, "forces": 0.0, kind: 1.0}
    options = {"epochs": 40, "batch_size": 6, "optimizer": {"rate": 0.01}, "loss": loss}
    result = GradientFitter(model, _charged(1, kind), _charged(2, kind), GradientConfig.parse(options)).fit()
    key = f"valid_{kind}_rmse"
    assert result.best[key] < 0.3 * result.history[0][key]


MAGNETIC = {"spin": {"O": 0.3}}
HELD = torch.tensor([[0.5, -1.0, 0.3], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)


def _held(moments, system=WATER):
    return system.replace(environment=Environment(moments=moments))


def test_magnetic_moments_are_felt():
    model = _model(TWO | {"protection": 0.01}, **MAGNETIC)
    graph = Graph.build(_held(HELD), model.cutoff)
    found = evaluate(model, graph, ("energy", "forces", "magnetic_forces"))
    assert not found.magnetic_forces[1:].any()  # hydrogen has no virtual atom
    for name in ("moments", "positions"):
        for k in range(3):
            shift = torch.zeros(3, 3).index_put((torch.tensor(0), torch.tensor(k)), torch.tensor(1e-4))
            ends = []
            for sign in (1.0, -1.0):
                moved = WATER.replace(positions=WATER.positions + sign * shift * (name == "positions"))
                ends.append(_energy(model, _held(HELD + sign * shift * (name == "moments"), moved)))
            slope = found.magnetic_forces if name == "moments" else found.forces
            assert float(slope[0, k]) == pytest.approx(-(ends[0] - ends[1]) / 2e-4, abs=1e-7)
    assert _energy(model, WATER) == pytest.approx(_energy(model, _held(torch.zeros(3, 3))), abs=1e-14)


def test_turning_atoms_and_moments_leaves_the_energy():
    model = _model(TWO | {"protection": 0.01}, **MAGNETIC)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
    before, atoms = _energy(model, _held(HELD)), _energy(model, _held(HELD, _turned(WATER, turn)))
    assert _energy(model, _held(HELD @ turn.T, _turned(WATER, turn))) == pytest.approx(before, abs=1e-12)
    assert atoms != pytest.approx(before, abs=1e-9)


def test_moments_in_batches_and_of_ase():
    model = _model(TWO | {"protection": 0.01}, **MAGNETIC)
    both = System.batch([_held(HELD), _held(-HELD)])
    found = evaluate(model, Graph.build(both, model.cutoff), ("energy",)).energy
    assert found.tolist() == pytest.approx([_energy(model, _held(m)) for m in (HELD, -HELD)], abs=1e-13)
    atoms = ase.Atoms("OHH", WATER.positions.numpy())
    atoms.arrays["held_moments"] = HELD.numpy()
    assert _energy(model, System.from_ase(atoms)) == pytest.approx(float(found[0]), abs=1e-13)
    atoms.calc = AdiabatCalculator(model)
    assert atoms.get_potential_energy() == pytest.approx(float(found[0]), abs=1e-13)
    atoms.arrays["held_moments"] = -HELD.numpy()
    assert atoms.get_potential_energy() == pytest.approx(float(found[1]), abs=1e-13)
    del atoms.arrays["held_moments"]
    assert atoms.get_potential_energy() == pytest.approx(_energy(model, WATER), abs=1e-13)


def test_moments_that_are_refused():
    model = _model(TWO | {"protection": 0.01}, **MAGNETIC)
    with pytest.raises(CapabilityError, match="more than spin_reach 1.5"):
        _energy(model, _held(10.0 * HELD))
    with pytest.raises(CapabilityError, match="cannot feel the environment's moments"):
        _energy(_model(TWO), _held(HELD))
    with pytest.raises(CapabilityError, match="feels no magnetic moments"):
        evaluate(_model(TWO), Graph.build(WATER, 4.0), ("magnetic_forces",))
    for descriptor, message in ((TWO, "protection"), (TYPED | {"protection": 0.01}, "se_e2_a or se_e2_r")):
        with pytest.raises(ConfigError, match=message):
            _model(descriptor, **MAGNETIC)


def test_battery_with_virtual_atoms():
    report = run_battery(_model(TWO | {"protection": 0.01}, **MAGNETIC), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()
