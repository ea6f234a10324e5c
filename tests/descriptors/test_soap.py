"""SOAP against QUIP's, DScribe's and featomic's numbers, values and derivatives."""

import re

import numpy as np
import pytest
import torch
from small_models import ELEMENTS, several_graphs

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.density_expansion import Weighting
from adiabat.descriptors.density_radial import TOLERANCE, radial_table
from adiabat.descriptors.soap import SOAPConfig
from adiabat.elements import number
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.density_power import NAME
from adiabat.pretrained.kit import Kit

CONVENTIONS = [
    {"convention": "quip"},
    {"convention": "quip", "normalize": False, "center_everywhere": True},
    {"convention": "dscribe", "compression": "mu1nu1", "weighting": Weighting()},
    {"convention": "dscribe", "basis": "polynomial", "compression": "crossover"},
    {"convention": "featomic"},
]

FEATOMIC = 2e-7  # its own tables are made to 1e-8, and their slopes to a few 1e-6


def small(**options):
    return SOAPConfig.parse({"cutoff": 3.0, "n_max": 3, "l_max": 2} | options)


def graph_of(atoms, cutoff, periodic=False):
    """As QUIP does, with a cell periodic in all directions if it is in any."""
    atoms = atoms.copy()
    if periodic and atoms.pbc.any():
        atoms.pbc = True
    return Graph.build(System.from_ase(atoms, torch.float64), cutoff)


def derivatives(descriptor, graph):
    """`[centers, moved atoms, 3, features]`."""
    slopes = descriptor.jacobian(graph)[1].transpose(1, 2)
    atoms = graph.system.atoms
    out = slopes.new_zeros((atoms * atoms, *slopes.shape[1:]))
    out = out.index_add(0, graph.centers * atoms + graph.neighbors, slopes)
    out = out.index_add(0, graph.centers * (atoms + 1), slopes, alpha=-1)
    return out.unflatten(0, (atoms, atoms)).numpy()


def averaged_derivatives(descriptor, graph):
    """`[moved atoms, 3, features]`."""

    def of_positions(positions):
        return descriptor.averaged(graph.replace(system=graph.system.replace(positions=positions)))[0]

    slopes = torch.autograd.functional.jacobian(of_positions, graph.system.positions, vectorize=True)
    return slopes.permute(1, 2, 0).numpy()


def summed(rows, centers, moved, atoms):
    """A program's derivatives `[rows, 3, features]` as ours."""
    out = np.zeros((atoms, atoms, *rows.shape[1:]))
    np.add.at(out, (centers, moved), rows)
    return out


def close(found, given, tolerance=1e-10):
    assert found.shape == given.shape
    size = np.abs(given).max(initial=0.0)
    assert np.abs(found - given).max(initial=0.0) <= tolerance * size + 1e-15


def quip_options(line):
    found = dict(re.findall(r"(\w+)=(\{[^}]*\}|\S+)", line))
    species = tuple(int(z) for z in found["species_Z"].strip("{}").split())
    return SOAPConfig(
        cutoff=found["cutoff"],
        n_max=found["n_max"],
        l_max=found["l_max"],
        sigma=found["atom_sigma"],
        width=found["cutoff_transition_width"],
        normalize=found.get("normalise", "T") == "T",
        species=species,
        center_everywhere=len(species) == 1,
    ), [int(z) for z in found["Z"].strip("{}").split()]


@pytest.mark.parametrize("name", ["quippy-soap", "quippy-soap-basic", "quippy-soap-average"])
def test_quip(shared, name):
    kit = Kit(shared / "golden" / name)
    given, structures = kit.outputs(), kit.structures()
    keys = [key.removesuffix("/spec") for key in given if key.endswith("/spec")]
    for key in keys:
        config, wanted = quip_options(str(given[f"{key}/spec"]))
        atoms = structures[key.split("/")[0]]
        descriptor = config.build(atoms.numbers)
        graph = graph_of(atoms, descriptor.cutoff, periodic=True)
        if name.endswith("average"):
            close(descriptor.averaged(graph).numpy(), given[f"{key}/descriptor"])
            if f"{key}/grad_data" in given:
                expected = summed(given[f"{key}/grad_data"], 0, given[f"{key}/grad_index_0based"][:, 1], len(atoms))
                close(averaged_derivatives(descriptor, graph), expected[0], 2e-9)
            continue
        rows = np.isin(atoms.numbers, wanted).nonzero()[0]
        close(descriptor(graph).numpy()[rows], given[f"{key}/descriptor"])
        slopes = given.get(f"{key}/grad_data")
        if slopes is None or not len(slopes):
            continue
        centers, moved = given[f"{key}/grad_index_0based"].T
        expected = summed(slopes, centers, moved, len(atoms))[rows]
        close(derivatives(descriptor, graph)[rows], expected, 2e-9)


def dscribe_options(given):
    options = {"convention": "dscribe", "basis": given["rbf"], "cutoff": given["r_cut"]}
    options |= {name: given[name] for name in ("n_max", "l_max", "sigma")}
    compression = given.get("compression", {})
    options["compression"] = compression.get("mode", "off")
    options["element_weights"] = compression.get("species_weighting") or {}
    weighting = given.get("weighting")
    if weighting:
        form = Weighting(form=weighting["function"], **{k: weighting[k] for k in "cdm" if k in weighting})
        form = form.model_copy(update={"r0": weighting["r0"]})
        options["weighting"] = form
        if "w0" in weighting:  # there it replaces the function at the center
            options["center_weight"] = weighting["w0"] / float(form(torch.zeros(1)))
    return SOAPConfig(**options)


def test_dscribe(shared):
    kit = Kit(shared / "golden" / "dscribe-soap")
    given, structures = kit.outputs(), kit.structures()
    for name, variant in kit.meta["variants"].items():
        options = variant["args"]
        config = dscribe_options(options)
        for case in [key.split("/")[0] for key in given if key.count("/") == 1 and key.endswith(f"/{name}")]:
            atoms = structures[case]
            named = options["species"] if options["species"] != "CASE" else atoms.symbols
            descriptor = config.build({number(str(s)) for s in named})
            graph = graph_of(atoms, descriptor.cutoff)
            average = options.get("average")
            found = descriptor.averaged(graph, average)[0] if average else descriptor(graph)
            close(found.numpy(), given[f"{case}/{name}"])
            slopes = given.get(f"{case}/{name}/derivative")
            if slopes is not None:  # that of mu2 is of finite differences
                close(derivatives(descriptor, graph), slopes, 1e-6 if "mu2" in name else 2e-9)


def test_featomic(shared):
    kit = Kit(shared / "golden" / "featomic-soap")
    given, structures = kit.outputs(), kit.structures()
    for name, options in kit.meta["hyperparameters"].items():
        density, basis, cutoff = options["density"], options["basis"], options["cutoff"]
        scaling = density["scaling"]
        config = SOAPConfig(
            convention="featomic",
            cutoff=cutoff["radius"],
            width=cutoff["smoothing"]["width"],
            n_max=basis["radial"]["max_radial"] + 1,
            l_max=basis.get("max_angular", 0),
            sigma=density["width"],
            center_weight=density["center_atom_weight"],
            weighting=scaling
            and Weighting(r0=scaling["scale"], c=scaling["rate"], d=scaling["rate"], m=scaling["exponent"]),
        )
        for case in [key.split("/")[0] for key in given if key.count("/") == 1 and key.endswith(f"/{name}")]:
            atoms = structures[case]
            descriptor = config.build(atoms.numbers)
            graph = graph_of(atoms, descriptor.cutoff)
            columns = slice(None)
            if "radial" in name:
                found = descriptor.coefficients(graph.vectors(), graph)[:, :, 0]
            else:
                found = descriptor(graph)
                # pairs of elements that no atom has near it are left out there
                listed = given[f"{case}/{name}/properties"][:, :2]
                kinds = descriptor.elements
                every = [(a, b) for k, a in enumerate(kinds) for b in kinds[k:]]
                size = found.shape[1] // len(every)
                columns = np.repeat([bool((listed == pair).all(axis=1).any()) for pair in every], size)
            close(found.numpy()[:, columns], given[f"{case}/{name}"], FEATOMIC)
            slopes = given.get(f"{case}/{name}/grad_positions")
            if slopes is not None:
                row, _, moved = given[f"{case}/{name}/grad_positions_samples"].T
                centers = given[f"{case}/{name}/grad_sample_rows"][row][:, 1]
                expected = summed(slopes, centers, moved, len(atoms))
                close(derivatives(descriptor, graph)[..., columns], expected, 20 * FEATOMIC)


def test_featomic_coefficients(shared):
    kit = Kit(shared / "golden" / "featomic-spherical-expansion")
    given, structures = kit.outputs(), kit.structures()
    config = SOAPConfig(convention="featomic", cutoff=4.5, n_max=5, l_max=4, sigma=0.3)
    name = "spherical_expansion"
    for case in sorted({key.split("/")[0] for key in given if key.endswith(f"/{name}/l0")}):
        atoms = structures[case]
        descriptor = config.build(atoms.numbers)
        graph = graph_of(atoms, descriptor.cutoff)
        found = descriptor.coefficients(graph.vectors(), graph).transpose(1, 2).numpy()
        close(found, np.concatenate([given[f"{case}/{name}/l{l}"] for l in range(5)], axis=1), FEATOMIC)


@pytest.mark.parametrize("options", CONVENTIONS)
def test_turning_changes_nothing(options):
    descriptor = small(**options).build(ELEMENTS)
    graph = several_graphs()[0]
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    vectors = graph.vectors()
    found = descriptor.from_vectors(vectors @ turn, graph)
    assert descriptor.size == found.shape[1]
    assert float(found.abs().max()) > 0.001
    torch.testing.assert_close(found, descriptor.from_vectors(vectors, graph), rtol=1e-9, atol=1e-10)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("options", CONVENTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_equal_torch(options, dtype):
    descriptor = small(**options).build(ELEMENTS).to(dtype)
    room = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    for graph in several_graphs():
        graph = graph.to(dtype=dtype)
        values, slopes = descriptor.jacobian(graph)
        expected, by_autograd = Descriptor.jacobian(descriptor, graph)
        size = float(by_autograd.abs().max()) if by_autograd.numel() else 1.0
        torch.testing.assert_close(values, expected, **room)
        torch.testing.assert_close(slopes / size, by_autograd / size, **room)
        torch.testing.assert_close(descriptor.values(graph), expected, **room)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("l_max", [0, 1, 5])
def test_frozen_gradients_equal_torch(l_max):
    config = small(l_max=l_max, compression="mu2", weighting=Weighting())
    descriptor, frozen = config.build(ELEMENTS), config.build(ELEMENTS)
    frozen.freeze()
    graph = several_graphs()[0]
    found = []
    for one in (descriptor, frozen):
        vectors = graph.vectors().requires_grad_()
        values = one.from_vectors(vectors, graph)
        weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
        found.append((values.detach(), torch.autograd.grad((values * weights).sum(), vectors)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("basis", ["gaussians", "gto", "polynomial", "powers"])
def test_tables_end_within_their_tolerance(basis):
    table = radial_table(basis, 5, 4, 0.3, 5.0, 5.5)
    assert table.error <= TOLERANCE


def test_refuses_what_does_not_go_together():
    with pytest.raises(ConfigError, match="basis 'gto' is not one of quip"):
        small(basis="gto").build(ELEMENTS)
    with pytest.raises(ConfigError, match="off or mu2"):
        small(compression="crossover").build(ELEMENTS)
    with pytest.raises(ConfigError, match="element_weights has no effect"):
        small(element_weights={"H": 2.0}).build(ELEMENTS)
    with pytest.raises(ConfigError, match="linearly dependent"):
        small(convention="dscribe", basis="polynomial", n_max=30).build(ELEMENTS)
