"""Reference energies, scales and summaries."""

import numpy as np
import pytest
import torch

from adiabat.data import Frame, MemoryDataset
from adiabat.data.statistics import (
    average_neighbors,
    data_info,
    elements,
    reference_energies,
    residuals,
    scale,
    summarize,
)
from adiabat.errors import ConfigError, DataError
from adiabat.geometry import System

TRUE = {1: -13.5, 6: -1030.0, 8: -2040.0}


def molecule(numbers, extra=0.0, labels=True):
    positions = np.arange(3.0 * len(numbers)).reshape(-1, 3)
    energy = torch.tensor(sum(TRUE[z] for z in numbers) + extra, dtype=torch.float64)
    return Frame(System.from_arrays(positions, numbers), {"energy": energy} if labels else {})


@pytest.fixture
def molecules():
    return MemoryDataset([molecule(z) for z in ([8, 1, 1], [6, 1, 1, 1, 1], [6, 8], [6, 8, 8], [1, 1])])


def test_least_squares_recover_exact_references(molecules):
    found = reference_energies(molecules)
    assert found.source == "least squares"
    assert found.remarks == []
    assert found.energies == pytest.approx(TRUE, abs=1e-8)
    assert np.abs(residuals(molecules, found.energies)).max() < 1e-9


def test_isolated_atoms_are_preferred_if_complete(molecules):
    atoms = [molecule([z], extra=0.25) for z in TRUE]
    found = reference_energies(MemoryDataset([*molecules, *atoms]))
    assert found.source == "isolated atoms"
    assert found.energies == pytest.approx({z: e + 0.25 for z, e in TRUE.items()})
    part = reference_energies(MemoryDataset([*molecules, *atoms[:2]]))
    assert part.source == "least squares"
    assert "no isolated atom of O" in part.remarks[0]
    with pytest.raises(DataError, match="no reference energy of O"):
        reference_energies(MemoryDataset([*molecules, *atoms[:2]]), "isolated atoms")


def test_given_and_none(molecules):
    given = reference_energies(molecules, given={"H": -1, "C": -2, 8: -3})
    assert (given.energies, given.source) == ({1: -1.0, 6: -2.0, 8: -3.0}, "given")
    with pytest.raises(DataError, match="no reference energy of C, O was given"):
        reference_energies(molecules, given={"H": -1})
    assert reference_energies(molecules, "none").energies == dict.fromkeys(TRUE, 0.0)
    with pytest.raises(ConfigError, match="not a source"):
        reference_energies(molecules, "mean")


def test_undetermined_references_are_said_so():
    data = MemoryDataset([molecule([8, 1, 1], extra=0.1 * k) for k in range(3)])
    found = reference_energies(data)
    assert "determine only 1 of 2" in found.remarks[0]
    assert found.energies[8] == pytest.approx(found.energies[1], abs=1e-6)  # nearest to the mean per atom
    assert np.abs(residuals(data, found.energies).mean()) < 1e-9
    with pytest.raises(DataError, match="no frame has an energy"):
        reference_energies(MemoryDataset([molecule([1, 1], labels=False)]))


def test_scale(copper, molecules):
    components = np.concatenate([f.labels["forces"].numpy().ravel() for f in copper])
    assert scale(copper) == pytest.approx(np.sqrt(np.square(components).mean()))
    energies = residuals(molecules, dict.fromkeys(TRUE, 0.0))
    assert scale(molecules) == pytest.approx(energies.std())
    assert scale(MemoryDataset([molecule([1, 1])])) == 1.0


def test_summary(copper):
    found = summarize(copper)
    assert (found.frames, found.periodic) == (40, 40)
    assert found.atoms == (7, 8, 40 * 8 - 4)
    assert found.elements == {29: 316}
    assert found.labels == {"energy": 40, "forces": 40, "stress": 40}
    each = [float(f.labels["energy"]) / f.system.atoms for f in copper]
    assert found.energy_per_atom == (min(each), max(each))
    assert found.force_rms[29] == pytest.approx(scale(copper))


def test_average_neighbors():
    """An fcc crystal has 12 nearest neighbors and 18 within the second shell."""
    a = 3.6
    cell = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    data = MemoryDataset([Frame(System.from_arrays([[0, 0, 0]], [29], cell=cell, pbc=True))])
    assert average_neighbors(data, 0.9 * a) == 12
    assert average_neighbors(data, 1.1 * a) == 18


def test_data_info(copper):
    references = reference_energies(copper)
    info = data_info(copper, {"train": copper}, references, source="EMT")
    assert info.elements == elements(copper) == (29,)
    assert info.reference_energies == references.energies
    assert info.frames == {"train": 40}
    assert (info.source, info.reference_source) == ("EMT", "least squares")
