"""Every descriptor with every regressor: fitted, saved, loaded and run, by kernels where there are some."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from small_models import SMALL_AEV, SMALL_ASLATM, SMALL_BISPECTRUM, SMALL_LODE, SMALL_NICE, SMALL_RANN, structure

from adiabat import load, train
from adiabat.compile import quickest
from adiabat.descriptors import DESCRIPTORS
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph
from adiabat.kernels.build import available

SMALL = {
    "ace": {"n_max": (3, 2), "l_max": (0, 1), "bond": {"count": 3}},
    "acsf": {"recipe": {"centered": [1.0], "shifted": 1, "angular": [1.0], "zetas": [1.0]}},
    "aev": SMALL_AEV.model_dump(),
    "wacsf": {"recipe": {"centered": [1.0], "shifted": 2, "angular": [1.0], "zetas": [1.0]}},
    "psf": {"shells": 3, "weights": ["one"]},
    "chebyshev": {"radial_order": 3, "angular_cutoff": 2.5, "angular_order": 2},
    "ptsd": {"powers": (1, 2), "shells": ((1, 1),), "triangles": (), "planes": (), "angles": ((1, 1, 2.0, 1),)},
    "rann": SMALL_RANN["structure"] | {"cosines": 2},
    "snap": {"twojmax": 2},
    "soap": {"n_max": 2, "l_max": 1},
    "soap_turbo": {"n_max": 2, "l_max": 1},
    "soap_bispectrum": SMALL_BISPECTRUM["descriptor"],
    "mtp": {"level": 6, "basis": 3, "inner": 0.5},
    "apip": {"degrees": (2, 1), "cutoffs": (3.0, 2.6)},
    "nice": SMALL_NICE["descriptor"] | {"n_max": 1, "invariants": 5},
    "spherical_bessel": {"n_max": 2},
    "lode": SMALL_LODE["descriptor"] | {"n_max": 1},
    "ead": {"waves": 3},
    "gaussian_moments": {"basis": 4, "radial": 2},
    "nep": {"angular_cutoff": 2.5, "channels": 2, "angular_channels": 2, "basis": 3, "angular_basis": 3, "l_max": 2},
    "se_e2_a": {"embedding": (2, 4), "axis": 2},
    "se_e2_r": {"embedding": (2, 4)},
    "se_e3": {"embedding": (2, 4)},
    "local_frame": {"full": 3, "radial": 2},
    "lmbtr": {"terms": [{"geometry": "cosine", "start": -1.0, "stop": 1.0, "points": 2, "width": 0.4}]},
    "aslatm": SMALL_ASLATM["descriptor"],
    "fchl19": {"radial": 3, "angular": 2, "angular_cutoff": 3.0},
}
REGRESSORS = {"linear": {}, "quadratic": {}, "gaussian_process": {"points": 3}, "network": {"hidden": [4]}}
FROZEN = {"ace", "acsf", "wacsf", "psf", "snap", "soap", "soap_turbo", "soap_bispectrum", "spherical_bessel", "mtp"}
FROZEN |= {"aev", "nep", "nice", "ead", "fchl19", "chebyshev", "gaussian_moments", "se_e2_a"}
TABULATED = {"ead": 1e-5, "se_e2_a": 1e-6}  # whose frozen form has tables, and how near it is
WANT = ("energy", "forces", "stress")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Crystals and a molecule with labels at random."""
    random, frames = np.random.default_rng(0), []
    for seed in range(10):
        system = structure(5, 3.6, seed, pbc=seed < 9)
        atoms = Atoms(system.numbers.numpy(), system.positions.numpy(), cell=system.cell[0].numpy(), pbc=seed < 9)
        atoms.info["energy"] = float(random.normal())
        atoms.arrays["forces"] = random.normal(size=(5, 3))
        frames.append(atoms)
    path = tmp_path_factory.mktemp("data") / "data.extxyz"
    ase.io.write(path, frames)
    return path


def same(found, expected, want, tolerance):
    for name in want:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert bool(theirs.isfinite().all())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max().clamp(min=1e-3)))


@pytest.mark.parametrize("regressor", REGRESSORS)
@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_fitted_saved_run_and_frozen(kind, regressor, data, tmp_path):
    options = {
        "data": {"file": str(data)},
        "model": {
            "method": "local",
            "descriptor": {"kind": kind, "cutoff": 3.0} | SMALL[kind],
            "regressor": {"kind": regressor} | REGRESSORS[regressor],
        },
        "output": str(tmp_path / "run"),
    }
    described = DESCRIPTORS[kind].config_class.parse(options["model"]["descriptor"])
    by_projection = described.trained and described.projected and regressor == "linear"
    if regressor == "network" or (described.trained and not by_projection):
        options["fit"] = {"epochs": 1}
    elif by_projection:
        options["fit"] = {"steps": 2}
    fitted = train(options, show=False)
    model = load(tmp_path / "run" / "model.adiabat")
    graphs = [Graph.build(structure(7, 4.0, 11, pbc=pbc), 3.0) for pbc in (True, False)]
    for graph in graphs:
        own = graph.to(dtype=model.potential.dtype)
        torch.testing.assert_close(
            evaluate(model.potential, own).forces, evaluate(fitted.potential, own).forces, rtol=0, atol=0
        )
    potential = model.to(dtype=torch.float64).potential
    quick = quickest(potential)
    if available() is None:
        assert (quick is not potential) == (kind in FROZEN)
    tolerance = TABULATED.get(kind, 1e-10)
    for graph, want in zip(graphs, (WANT, WANT[:2]), strict=True):
        expected = evaluate(potential, graph, want)
        same(evaluate(quick, quick.prepare(graph), want), expected, want, tolerance)
    crystal = ase.io.read(data, index=0)
    crystal.calc = model.calculator()
    graph = Graph.build(structure(5, 3.6, 0), 3.0)
    forces = evaluate(potential, graph).forces.numpy()
    np.testing.assert_allclose(crystal.get_forces(), forces, atol=1e-5 * np.abs(forces).max())
