"""RANN's fingerprints and element networks on them: sums one by one, slopes, LAMMPS's files, battery, a short fit."""

from math import exp

import numpy as np
import pytest
import torch
from descriptor_checks import turning_changes_nothing
from small_models import ELEMENTS, MODELS, several_graphs

from adiabat.architectures.local.rann import RANN, RANNConfig
from adiabat.descriptors.rann import RANNFingerprintsConfig
from adiabat.errors import CheckpointError, ConfigError
from adiabat.geometry import Graph, System
from adiabat.nn.activations import ACTIVATIONS
from adiabat.potential import Referenced
from adiabat.pretrained.importers.rann import read_rann, write_rann
from adiabat.testing.battery import run_battery
from adiabat.testing.learning import check_fit

SHARED = {"distance": 1.2, "cutoff": 2.8, "width": 1.4}
RADIAL = {"kind": "radial", "alphas": (2.0, 3.0, 4.0), "lowest": -1} | SHARED
BOND = {"kind": "bond", "alphas": (1.0, 2.5), "cosines": 5} | SHARED
# neighbors in either order, "all" beside an element, another cutoff, and not the same number for both elements
LISTED = (
    RADIAL | {"center": "O", "neighbors": ("H",), "screened": True},
    RADIAL | {"center": "O", "neighbors": ("O",), "cutoff": 3.0},
    BOND | {"center": "O", "neighbors": ("O", "H"), "screened": True},
    BOND | {"center": "O", "neighbors": ("H", "all")},
    BOND | {"center": "O", "neighbors": ("H", "H"), "screened": True},
    RADIAL | {"center": "H", "neighbors": ("all",), "screened": True},
    BOND | {"center": "H", "neighbors": ("all", "all"), "screened": True},
)
EVERY = RANNFingerprintsConfig.parse(
    {"fingerprints": LISTED, "limits": (0.5, 2.0), "screening": {"O_H_O": (0.9, 2.6), "H_O_H": (0.2, 1.1)}}
)


def step(x):
    return 1.0 if x >= 1.0 else (1.0 - (1.0 - x) ** 4) ** 2 if x > 0.0 else 0.0


def screening(vectors, names, center, k):
    """S of neighbor k as Baskes has it, of squared distances in units of its own."""
    found = 1.0
    for j, vector in enumerate(vectors):
        if j == k:
            continue
        own = vectors[k] @ vectors[k]
        near, across = vector @ vector / own, (vectors[k] - vector) @ (vectors[k] - vector) / own
        if near + 1.0 <= across or across + 1.0 <= near:
            continue
        ellipse = (2.0 * (near + across) - (near - across) ** 2 - 1.0) / (1.0 - (near - across) ** 2)
        low, high = EVERY.screening.get(f"{center}_{names[j]}_{names[k]}", EVERY.limits)
        found *= step((ellipse - low) / (high - low))
    return found


def by_hand(vectors, names, center):
    """The features of one atom, a loop over pairs of neighbors."""
    rows, factors = [], [screening(vectors, names, center, k) for k in range(len(vectors))]
    for f in (f for f in EVERY.fingerprints if f.center == center):
        r = [np.linalg.norm(v) for v in vectors]
        ends = [step((f.cutoff - x) / f.width) * (s if f.screened else 1.0) for x, s in zip(r, factors, strict=True)]
        ours = [[k for k in range(len(r)) if name in ("all", names[k])] for name in f.neighbors]
        if f.kind == "radial":
            for n, alpha in enumerate(f.alphas, f.lowest):
                rows.append(sum((r[k] / 1.2) ** n * exp(-alpha * r[k] / 1.2) * ends[k] for k in ours[0]))
            continue
        for decay in f.alphas:
            for m in range(f.cosines):
                total = 0.0
                for j in ours[0]:
                    for k in ours[1]:
                        cosine = vectors[j] @ vectors[k] / r[j] / r[k]
                        total += cosine**m * exp(-decay * (r[j] + r[k]) / 1.2) * ends[j] * ends[k]
                rows.append(total)
    return np.array(rows)


def test_sums_one_by_one():
    descriptor = EVERY.build(ELEMENTS)
    assert descriptor.sizes == (13, 36)
    partly = 0
    for graph in several_graphs():
        found, numbers = descriptor(graph).numpy(), graph.system.numbers
        for atom in range(min(graph.system.atoms, 4)):
            pairs = graph.centers == atom
            names = ["H" if z == 1 else "O" for z in numbers[graph.neighbors[pairs]].tolist()]
            vectors, center = graph.vectors()[pairs].numpy(), "H" if numbers[atom] == 1 else "O"
            wanted = by_hand(vectors, names, center)
            np.testing.assert_allclose(found[atom, : len(wanted)], wanted, rtol=1e-10, atol=1e-14)
            assert not found[atom, len(wanted) :].any()
            partly += sum(0.01 < screening(vectors, names, center, k) < 0.99 for k in range(len(vectors)))
    assert partly > 10


def test_slopes_are_differences():
    descriptor, graph = EVERY.build(ELEMENTS), several_graphs()[1]
    values, slopes = descriptor.jacobian(graph)
    vectors = graph.vectors()
    torch.testing.assert_close(values, descriptor(graph))
    for pair in (0, 7, 20):
        for axis in range(3):
            shift = torch.zeros_like(vectors)
            shift[pair, axis] = 1e-5
            ahead, behind = (descriptor.from_vectors(vectors + sign * shift, graph) for sign in (1, -1))
            wanted = (ahead - behind)[graph.centers[pair]] / 2e-5
            torch.testing.assert_close(slopes[pair, :, axis], wanted, rtol=1e-6, atol=1e-8)


def test_turning_changes_nothing_and_the_end_is_smooth():
    descriptor, graph = EVERY.build(ELEMENTS), several_graphs()[0]
    turning_changes_nothing(descriptor, graph)
    rows = []
    for far in (2.999, 3.001):
        system = System.from_arrays([[0.0, 0, 0], [1, 0, 0], [0, 1.2, 0.4], [0.1, 0.2, far]], [8, 1, 1, 8])
        rows.append(descriptor(Graph.build(system, 4.0))[0])
    torch.testing.assert_close(rows[0], rows[1], rtol=0, atol=1e-7)


def test_an_atom_in_between_screens():
    """In the middle of a bond all of it, far from it nothing; slopes stay finite where S is 0."""
    options = RANNFingerprintsConfig(cutoff=4.0, distance=1.5, width=2.0, decays=(1.0,), cosines=2)
    open_options = options.model_copy(update={"screened": False})
    for height, screened in ((0.0, True), (2.6, False)):
        system = System.from_arrays([[0.0, 0, 0], [3.0, 0, 0], [1.5, height, 0]], [8, 8, 1])
        graph = Graph.build(system, 4.0)
        found, slopes = options.build(ELEMENTS).jacobian(graph)
        free = open_options.build(ELEMENTS)(graph)
        assert bool(slopes.isfinite().all())
        oxygen = slice(5, 10)  # its radial features of oxygen neighbors
        if screened:
            assert float(found[0, oxygen].abs().max()) < 1e-20 < float(free[0, oxygen].min())
        else:
            torch.testing.assert_close(found[0], free[0])


def test_files(tmp_path):
    torch.manual_seed(0)
    graphs = several_graphs()
    for config in (RANNConfig(structure=EVERY, hidden=(5, 4)), MODELS["rann"]().config):
        model = RANN(config, ELEMENTS).double()
        model.adapt(graphs[:2])
        whole = Referenced(model, {1: -3.0, 8: -7.5}, 2.0)
        again = read_rann(write_rann(whole, tmp_path / "OH.nn"))
        for graph in graphs:
            torch.testing.assert_close(again(graph).energy, whole(graph).energy, rtol=1e-9, atol=1e-9)
        third = read_rann(write_rann(again, tmp_path / "again.nn"))
        torch.testing.assert_close(third(graphs[0]).energy, again(graphs[0]).energy, rtol=0, atol=0)


def test_a_file_as_programs_write_it(tmp_path):
    """Comments, tabs, the order of sections, powers from 0 where none is given, screening by default."""
    (tmp_path / "H.nn").write_text(
        "# made by hand\natomtypes:\nH \nmass:H:\n1.008\nfingerprintsperelement:H:\n2\n"
        "fingerprints:H_all:\nradialscreened_0\nfingerprints:H_H_H:\nbond_1\n"
        "fingerprintconstants:H_all:radialscreened_0:re:\n1.2\nfingerprintconstants:H_all:radialscreened_0:rc:\n2.8\n"
        "fingerprintconstants:H_all:radialscreened_0:alpha:\n2.0\t3.0\t9.0\n"
        "fingerprintconstants:H_all:radialscreened_0:dr:\n1.4\nfingerprintconstants:H_all:radialscreened_0:n:\n1\n"
        "fingerprintconstants:H_H_H:bond_1:re:\n1.2\nfingerprintconstants:H_H_H:bond_1:rc:\n2.8\n\n"
        "fingerprintconstants:H_H_H:bond_1:alphak:\n1.5 \nfingerprintconstants:H_H_H:bond_1:dr:\n1.4 # Å\n"
        "fingerprintconstants:H_H_H:bond_1:k:\n1\nfingerprintconstants:H_H_H:bond_1:m:\n2\n"
        "networklayers:H:\n3\nlayersize:H:0:\n4\nlayersize:H:1:\n2\nlayersize:H:2:\n1\n"
        "weight:H:0:\n1.0\t2.0\t-1.0\t0.5\t\n0.1 0.2 0.3 -0.4\nbias:H:0:\n0.3\n-0.2\nweight:H:1:\n2.0 -3.0\n"
        "bias:H:1:\n-1.5\nactivationfunctions:H:0:\nsigI\nactivationfunctions:H:1:\nlinear\n"
        "calibrationparameters:lambda:\n1.0\n"
    )
    model = read_rann(tmp_path / "H.nn")
    graph = Graph.build(System.from_arrays([[0.0, 0, 0], [1.1, 0, 0]], [1, 1]), model.cutoff)
    r, cut = 1.1 / 1.2, step(1.7 / 1.4)
    values = np.array([exp(-2 * r), r * exp(-3 * r), exp(-3 * r), exp(-3 * r)]) * cut
    inner = np.array([[1.0, 2.0, -1.0, 0.5], [0.1, 0.2, 0.3, -0.4]]) @ values + [0.3, -0.2]
    wanted = (0.1 * inner + 0.9 * np.log1p(np.exp(inner))) @ [2.0, -3.0] - 1.5
    np.testing.assert_allclose(model(graph).atomic_energies.detach(), [wanted, wanted], rtol=1e-12)
    assert model.config.structure.limits == (0.8, 2.8)
    far = torch.tensor([-50.0, 50.0])
    torch.testing.assert_close(ACTIVATIONS["sigi"](far), 0.1 * far + 0.9 * far.clamp(min=0.0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("radialscreened_0", "radialspin_0", "radialspin"),
        ("bias:H:0:", "bias:H:7:", "not complete"),
        ("sigI", "cubic", "cubic"),
        ("Cmax:\n2.8", "Cmax:\n0.1", "not below"),
        ("layersize:O:1:\n6", "layersize:O:1:\n5", "rows of weights"),
    ],
)
def test_files_that_are_refused(tmp_path, old, new, message):
    text = write_rann(MODELS["rann"](), tmp_path / "OH.nn").read_text()
    assert old in text
    (tmp_path / "OH.nn").write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=message):
        read_rann(tmp_path / "OH.nn")


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no file"):
        read_rann(tmp_path / "none.nn")
    with pytest.raises(CheckpointError, match="only the method rann"):
        write_rann(MODELS["aenet"](), tmp_path / "x.nn")
    with pytest.raises(CheckpointError, match="'tanh'"):
        write_rann(RANN(RANNConfig(activation="tanh"), ELEMENTS), tmp_path / "x.nn")
    with pytest.raises(ConfigError, match="no fingerprint"):
        RANNFingerprintsConfig.parse({"fingerprints": LISTED[:2]}).build(ELEMENTS)
    with pytest.raises(ConfigError, match="names N"):
        RANNFingerprintsConfig.parse({"fingerprints": [LISTED[0] | {"neighbors": ("N",)}]}).build(ELEMENTS)
    with pytest.raises(ConfigError, match="give 2"):
        RANNFingerprintsConfig.parse({"fingerprints": [BOND | {"center": "O", "neighbors": ("H",)}]})
    with pytest.raises(ConfigError, match="write it as"):
        RANNFingerprintsConfig(screening={"O_H": (0.1, 1.0)}).build(ELEMENTS)


def test_battery():
    structure = RANNFingerprintsConfig(cutoff=3.5, distance=1.2, width=2.0, cosines=3)
    report = run_battery(
        RANN(RANNConfig(structure=structure, hidden=(8,)), [1, 6, 8]), skip=("REF", "NVE", "RT", "FIT")
    )
    assert report.passed, report.text()


def test_fits_a_metal_with_its_screening():
    """In the battery's molecule, all but bonded neighbors are screened (S < 0.004), and no fit finds what they do."""
    structure = RANNFingerprintsConfig(cutoff=4.5, alphas=(5.5,) * 3, decays=(1.0, 6.0), cosines=4)
    cubic = 4.05 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    alloy = System.from_arrays(cubic, [13, 12, 13, 13], 4.05 * np.eye(3), pbc=True)
    torch.manual_seed(0)
    result = check_fit(RANN(RANNConfig(structure=structure, hidden=(8,)), [12, 13]).double(), alloy)
    assert result.passed, result.message


@pytest.mark.parametrize("method", ["local", "rann"])
def test_fits_and_loads(tmp_path, method):
    from adiabat import load, train
    from adiabat.quickstart import shipped

    options = {"kind": "rann", "cutoff": 3.5, "distance": 1.2, "width": 2.3, "cosines": 3, "decays": [1.0, 3.0]}
    model = {"descriptor": options, "regressor": {"kind": "linear"}} if method == "local" else {"structure": options}
    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":20"},
        "model": {"method": method} | model,
        "fit": {} if method == "local" else {"epochs": 40},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    assert result.metrics["forces_mae"] < (0.5 if method == "local" else 1.0)
    atoms = result.prepared.parts["test"][0].to_ase()
    again = load(tmp_path / "run" / "model.adiabat").predict(atoms)
    graph = Graph.build(System.from_ase(atoms), result.potential.cutoff)
    wanted = result.potential(graph.to(dtype=result.potential.dtype)).energy.detach()
    assert abs(again["energy"] - float(wanted)) < 1e-3
