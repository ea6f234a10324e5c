"""Sums over angles without triplets equal the sums over triplets."""

import numpy as np
import torch
from scipy.special import eval_legendre
from small_models import structure

from adiabat.geometry import Graph
from adiabat.nn.angular_sums import LegendreSum


def by_triplets(graph, values, degrees):
    vectors = graph.vectors().numpy()
    directions = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    same = graph.centers[:, None] == graph.centers[None, :]
    same = same.numpy() & ~np.eye(len(vectors), dtype=bool)
    cosines = directions @ directions.T
    out = np.zeros(values.shape)
    for l in range(degrees):
        angular = np.sqrt((2 * l + 1) / (4 * np.pi)) * eval_legendre(l, cosines)
        out[:, l] = (angular * same) @ values[:, l].numpy()
    return out


def test_equals_the_sum_over_triplets():
    for pbc in (True, False):
        graph = Graph.build(structure(6, 4.0, pbc=pbc), 3.0)
        sums = LegendreSum(4, 3)
        vectors = graph.vectors()
        values = torch.randn(graph.pairs.shape[1], 4, 3)
        harmonics = sums.harmonics(vectors / vectors.norm(dim=1)[:, None])
        found = sums(graph, harmonics, values.flatten(1)).unflatten(1, (4, 3))
        np.testing.assert_allclose(found.numpy(), by_triplets(graph, values, 4), atol=1e-12)


def test_one_neighbor_or_none_gives_zero():
    for length in (1.0, 50.0):
        graph = Graph.build(structure(2, length, pbc=False), 3.0)
        sums = LegendreSum(3, 2)
        vectors = graph.vectors()
        harmonics = sums.harmonics(vectors / vectors.norm(dim=1)[:, None])
        found = sums(graph, harmonics, torch.randn(graph.pairs.shape[1], 6))
        assert found.shape == (graph.pairs.shape[1], 6)
        assert float(found.abs().sum()) < 1e-13
