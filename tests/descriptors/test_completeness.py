"""Environments with equal bonds and angles: three-body descriptors cannot tell them apart, others must."""

import runpy
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "degenerate_environments.py"


def test_twins_have_equal_angles_and_are_not_congruent():
    one, other = runpy.run_path(str(EXAMPLE))["twins"]()
    upper = np.triu_indices(4, 1)
    grams = [points @ points.T for points in (one, other)]
    assert np.allclose(*(np.sort(g[upper]) for g in grams), atol=1e-9)
    # a congruent pair would have equal sums over each point's angles too
    assert not np.allclose(*(np.sort((g**2).sum(axis=1)) for g in grams), atol=1e-3)


def test_who_tells_them_apart(tmp_path):
    differences = runpy.run_path(str(EXAMPLE))["main"](str(tmp_path / "picture.svg"))
    for name, difference in differences.items():
        if "3 bodies" in name:
            assert difference < 1e-12, name
        else:
            assert difference > 1e-3, name
    assert {"acsf (3 bodies)", "snap (4 bodies)"} <= differences.keys()
    assert (tmp_path / "picture.svg").stat().st_size > 5000


@pytest.mark.parametrize("seed", [1, 2])
def test_other_twins(seed):
    one, other = runpy.run_path(str(EXAMPLE))["twins"](seed)
    assert np.allclose(np.linalg.norm(one, axis=1), 1.0)
    assert np.allclose(np.linalg.norm(other, axis=1), 1.0, atol=1e-6)
