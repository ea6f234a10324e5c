"""Chebyshev expansions and element networks on them: aenet's numbers and files, triplets one by one, battery."""

import struct

import numpy as np
import pytest
import torch
from small_models import ELEMENTS, MODELS, several_graphs

from adiabat.architectures.local.aenet import Aenet, AenetConfig
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.chebyshev import ChebyshevConfig, aenet_weights, legendre_of_chebyshev
from adiabat.errors import CheckpointError, ConfigError
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.aenet import _FORMS, _read, read_aenet, write_aenet
from adiabat.testing.battery import run_battery

SMALL = {"cutoff": 3.0, "radial_order": 5, "angular_cutoff": 2.5, "angular_order": 6}
# water's oxygen, by aenet 2.0.4: its first features, and those of a hydrogen
AENET = ([1.7300982538822289, -0.9014702260381180, -0.7906734939188170], [1.5524292875264831, -0.6188339312902109])


def test_numbers_of_aenet():
    system = System.from_arrays([[0, 0, 0.11779], [0, 0.75545, -0.47116], [0, -0.75545, -0.47116]], [8, 1, 1])
    options = ChebyshevConfig(cutoff=4.0, radial_order=10, angular_order=3, angular_cutoff=1.5)
    found = options.build([1, 8])(Graph.build(system, 4.0)).numpy()
    for row, wanted in zip(found, AENET, strict=False):
        np.testing.assert_allclose(row[: len(wanted)], wanted, rtol=1e-13)
    flipped = options.model_copy(update={"weights": {"O": -1.0, "H": 1.0}}).build([1, 8])(Graph.build(system, 4.0))
    np.testing.assert_allclose(flipped[:, :15], found[:, :15])
    np.testing.assert_allclose(flipped[:, 15:26], -found[:, 15:26])
    np.testing.assert_allclose(flipped[:, 26:], found[:, 26:])


def by_hand(vectors, weights, own, domain):
    """Features of one atom as the paper has them: polynomials by name, a loop over triplets."""
    low, high = {"cosine": (-1.0, 1.0), "pi": (0.0, np.pi)}[domain]
    rows = []
    for w in weights:
        radial, angular = np.zeros(own.radial_order + 1), np.zeros(own.angular_order + 1)
        for j, vector in enumerate(vectors):
            r = np.linalg.norm(vector)
            cut = 0.5 * (1.0 + np.cos(np.pi * r / own.cutoff)) * (r < own.cutoff)
            radial += w[j] * cut * np.cos(np.arange(len(radial)) * np.arccos(2.0 * r / own.cutoff - 1.0))
            for k in range(j):
                lengths = np.array([r, np.linalg.norm(vectors[k])])
                both = 0.5 * (1.0 + np.cos(np.pi * lengths / own.angular_cutoff)) * (lengths < own.angular_cutoff)
                cosine = vector @ vectors[k] / lengths.prod()
                x = (2.0 * cosine - low - high) / (high - low)
                values = [np.polynomial.Chebyshev.basis(n)(x) for n in range(len(angular))]
                angular += w[j] * w[k] * both.prod() * np.array(values)
        rows += [radial, angular]
    return np.concatenate(rows)


@pytest.mark.parametrize("domain", ["cosine", "pi"])
def test_sums_over_triplets_one_by_one(domain):
    own = ChebyshevConfig(domain=domain, weights={"H": -0.7, "O": 1.3}, **SMALL)
    descriptor = own.build(ELEMENTS)
    for graph in several_graphs():
        found, numbers = descriptor(graph).numpy(), graph.system.numbers[graph.neighbors].numpy()
        for atom in range(min(graph.system.atoms, 3)):
            near = (graph.centers == atom).numpy()
            weights = [np.ones(near.sum()), np.where(numbers[near] == 1, -0.7, 1.3)]
            wanted = by_hand(graph.vectors().numpy()[near], weights, own, domain)
            np.testing.assert_allclose(found[atom], wanted, atol=1e-11 * max(1.0, abs(wanted).max()))


@pytest.mark.parametrize("domain", ["cosine", "pi"])
def test_slopes(domain):
    descriptor = ChebyshevConfig(domain=domain, **SMALL).build(ELEMENTS)
    for graph in several_graphs():
        for found, wanted in zip(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("orders", [(5, 6), (0, 2), (12, 0)])
def test_frozen_gives_values_and_gradient(orders, dtype):
    options = SMALL | {"radial_order": orders[0], "angular_order": orders[1], "weights": {"H": -0.7, "O": 1.3}}
    descriptor, frozen = (ChebyshevConfig(**options).build(ELEMENTS).to(dtype) for _ in range(2))
    frozen.freeze()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    for graph in several_graphs():
        graph, found = graph.to(dtype=dtype), []
        weights = torch.randn((graph.system.atoms, descriptor.size), dtype=dtype)
        for made in (descriptor, frozen):
            positions = graph.system.positions.clone().requires_grad_()
            values = made(graph.replace(system=graph.system.replace(positions=positions)))
            found.append((values, torch.autograd.grad((values * weights).sum(), positions)[0]))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(
                ours, theirs, rtol=0, atol=tolerance * float(theirs.detach().abs().max().clamp(min=1))
            )


def test_turning_changes_nothing_and_the_end_is_smooth():
    descriptor, graph = ChebyshevConfig(**SMALL).build(ELEMENTS), several_graphs()[0]
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    vectors = graph.vectors()
    torch.testing.assert_close(
        descriptor.from_vectors(vectors @ turn, graph), descriptor.from_vectors(vectors, graph)
    )
    rows = []
    for far in (2.4999, 2.5001, 2.9999, 3.0001):
        system = System.from_arrays([[0.0, 0, 0], [1.0, 0, 0], [0.3, (far**2 - 0.09) ** 0.5, 0]], [8, 1, 1])
        rows.append(descriptor(Graph.build(system, 4.0))[0])
    torch.testing.assert_close(rows[0], rows[1], rtol=0, atol=2e-3)
    torch.testing.assert_close(rows[2], rows[3], rtol=0, atol=1e-6)


def test_length_and_weights():
    assert ChebyshevConfig().build([8]).sizes == (22,)
    assert set(ChebyshevConfig().build(range(1, 60)).sizes) == {44}
    assert [aenet_weights(n) for n in (2, 3, 4)] == [[-1, 1], [-1, 0, 1], [-2, -1, 1, 2]]
    np.testing.assert_allclose(legendre_of_chebyshev(2)[2], [-1 / 3, 0, 4 / 3], atol=1e-15)
    with pytest.raises(ConfigError, match="larger than cutoff"):
        ChebyshevConfig(cutoff=3.0).build([8])
    with pytest.raises(ConfigError, match="none for O"):
        ChebyshevConfig(weights={"H": 1.0}).build([1, 8])


def records(content, path):
    """Writes the program's own kind of file, records of Fortran."""
    with path.open("wb") as file:
        for name, kind, _ in _FORMS:
            values = content[name]
            if kind == "s":
                width = {"description": 1024, "type": 100, "file": 1024}.get(name, 2)
                data = b"".join(word.encode().ljust(width) for word in values)
            else:
                data = struct.pack(f"<{len(values)}{'d' if kind == 'd' else 'i'}", *values)
            file.write(struct.pack("<i", len(data)) + data + struct.pack("<i", len(data)))


def test_files_of_aenet(tmp_path):
    torch.manual_seed(0)
    model, graph = MODELS["aenet"](), several_graphs()[0]
    model.adapt(several_graphs()[:2])
    files = write_aenet(model, tmp_path)
    assert [file.name for file in files] == ["H.nn.ascii", "O.nn.ascii"]
    again = read_aenet(files)
    torch.testing.assert_close(again(graph).energy, model(graph).energy, rtol=1e-10, atol=1e-10)
    for file in files:
        content = _read(file) | {"scale": [0.5], "shift": [1.5], "atoms": [-3.0, -7.0]}
        records(content, file)
    scaled = read_aenet(files)
    atoms = graph.system.numbers
    wanted = 2.0 * model(graph).atomic_energies + 1.5 + torch.where(atoms == 1, -3.0, -7.0)
    torch.testing.assert_close(scaled(graph).atomic_energies, wanted, rtol=1e-10, atol=1e-10)


def test_files_that_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no file"):
        read_aenet([tmp_path / "H.nn"])
    (tmp_path / "H.nn").write_text("something else\n")
    with pytest.raises(CheckpointError, match="not a potential of aenet"):
        read_aenet([tmp_path / "H.nn"])
    files = write_aenet(MODELS["aenet"](), tmp_path)
    with pytest.raises(CheckpointError, match="one file for each"):
        read_aenet(files[:1])
    with pytest.raises(CheckpointError, match="weights of elements"):
        write_aenet(Aenet(AenetConfig(weights={"H": 3.0, "O": 1.0}), ELEMENTS), tmp_path)


def test_battery():
    config = AenetConfig(cutoff=4.0, radial_order=6, angular_cutoff=3.5, hidden=(8,))
    report = run_battery(Aenet(config, [1, 6, 8]), skip=("REF", "NVE", "RT", "FIT"))
    assert report.passed, report.text()


@pytest.mark.parametrize("method", ["local", "aenet"])
def test_fits_and_loads(tmp_path, method):
    from adiabat import load, train
    from adiabat.quickstart import shipped

    options = {"cutoff": 3.5, "angular_cutoff": 3.0}
    described = {"descriptor": {"kind": "chebyshev"} | options, "regressor": {"kind": "linear"}}
    result = train(
        {
            "data": {"file": str(shipped("ethanol")), "index": ":24"},
            "model": {"method": method} | (described if method == "local" else options),
            "fit": {} if method == "local" else {"epochs": 60, "batch_size": 2, "optimizer": {"rate": 0.02}},
            "output": str(tmp_path / "run"),
        },
        show=False,
    )
    # eV/Å; no forces at all would be 0.84 off
    assert result.metrics["forces_mae"] < (0.5 if method == "local" else 0.75)
    frame = result.prepared.parts["test"][0]
    again = load(tmp_path / "run" / "model.adiabat").predict(frame.to_ase())
    assert abs(again["energy"] - float(frame.labels["energy"])) < 1.0
