"""Environments that are alike in all sets of two or of three neighbors: who must tell them apart, and who cannot."""

import runpy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "degenerate_environments.py"
FOURS = list(combinations(range(7), 4))


def test_twins_have_equal_angles_and_are_not_congruent():
    one, other = runpy.run_path(str(EXAMPLE))["twins"]()
    upper = np.triu_indices(4, 1)
    grams = [points @ points.T for points in (one, other)]
    assert np.allclose(*(np.sort(g[upper]) for g in grams), atol=1e-9)
    # a congruent pair would have equal sums over each point's angles too
    assert not np.allclose(*(np.sort((g**2).sum(axis=1)) for g in grams), atol=1e-3)


def test_who_tells_them_apart(tmp_path):
    differences = runpy.run_path(str(EXAMPLE))["main"](str(tmp_path / "picture.svg"))
    for name, (of_three, of_four) in differences.items():
        if "3 bodies" in name:
            assert of_three < 1e-12, name
        else:
            assert of_three > 1e-3, name
        if "5 bodies" in name:
            assert of_four > 1e-4, name
        else:
            assert of_four < 1e-12, name
    assert {"acsf (3 bodies)", "snap (4 bodies)", "nice, ν = 4 (5 bodies)"} <= differences.keys()
    assert (tmp_path / "picture.svg").stat().st_size > 5000


def test_capped_rings_are_not_congruent():
    """Every set of three neighbors is in both; sets of four are not."""
    one, other = runpy.run_path(str(EXAMPLE))["capped"]()
    triples = []
    for points in (one, other):
        gram = points @ points.T
        sets = [gram[np.ix_(t, t)] for t in combinations(range(7), 3)]
        triples.append(np.array(sorted(np.round(np.sort(np.linalg.eigvalsh(g)), 9).tolist() for g in sets)))
    assert np.allclose(*triples, atol=1e-8)
    fours = []
    for points in (one, other):
        lengths = [np.linalg.norm(points[list(t)][:, None] - points[list(t)], axis=2) for t in FOURS]
        fours.append(np.array(sorted(np.round(np.linalg.eigvalsh(g), 9).tolist() for g in lengths)))
    assert not np.allclose(*fours, atol=1e-3)


@pytest.mark.parametrize("seed", [1, 2])
def test_other_twins(seed):
    one, other = runpy.run_path(str(EXAMPLE))["twins"](seed)
    assert np.allclose(np.linalg.norm(one, axis=1), 1.0)
    assert np.allclose(np.linalg.norm(other, axis=1), 1.0, atol=1e-6)
