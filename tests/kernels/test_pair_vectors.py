"""Vectors of pairs in C++ against those in torch, and the pairs of each atom."""

import numpy as np
import pytest
import torch

from adiabat.architectures.classical.lennard_jones import LennardJones, LennardJonesConfig
from adiabat.errors import ConfigError
from adiabat.evaluate import derive
from adiabat.geometry import Graph, System
from adiabat.geometry.neighborhood import PairList
from adiabat.kernels import pairs as place
from adiabat.kernels.pairs import PairIndex


def graph(dtype=torch.float64):
    """Three systems: a crystal whose cell is smaller than the cutoff, a molecule, and one atom alone."""
    rng = np.random.default_rng(0)
    cell = np.eye(3) * 3.3 + 0.3 * rng.normal(size=(3, 3))
    crystal = System.from_arrays(rng.uniform(0, 3.3, (4, 3)), [29] * 4, cell, [True, True, False])
    molecule = System.from_arrays(1.5 * rng.normal(size=(6, 3)), [29] * 6)
    alone = System.from_arrays([[0.0, 0, 0]], [29])
    return Graph.build(System.batch([crystal, molecule, alone]), 4.0).to(dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_and_gradients(dtype):
    listed = graph(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    assert int(listed.shifts.abs().max()) > 0
    weights = torch.randn(listed.pairs.shape[1], 3, dtype=dtype, generator=torch.Generator().manual_seed(1))
    found = []
    for layout in (PairIndex.of_graph(listed), PairList(listed.pairs, listed.system.atoms)):
        positions, cell = listed.system.positions.clone(), listed.system.cell.clone()
        moved = listed.system.replace(positions=positions.requires_grad_(), cell=cell.requires_grad_())
        vectors = listed.replace(system=moved, layout=layout).vectors()
        found.append((vectors.detach(), *torch.autograd.grad((weights * vectors).sum(), (positions, cell))))
    for ours, expected in zip(*found, strict=True):
        assert float((ours - expected).abs().max()) <= tolerance * float(expected.abs().max())


def test_forces_alone_need_no_gradient_of_the_cell():
    listed = graph()
    potential = LennardJones(LennardJonesConfig(sigma=2.2, cutoff=4.0, ending="linear"), [29])
    for want in (("energy", "forces"), ("energy", "forces", "stress")):
        ours, expected = (
            derive(potential, one, want) for one in (listed.replace(layout=PairIndex.of_graph(listed)), listed)
        )
        torch.testing.assert_close(ours.forces, expected.forces, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.stress, expected.stress, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_the_index_is_that_of_torch(monkeypatch):
    rng = np.random.default_rng(2)
    for atoms, count in ((1, 0), (3, 0), (9, 400)):
        pairs = torch.from_numpy(rng.integers(0, atoms, (2, count)))
        pairs[0] = pairs[0].sort().values
        found = PairIndex.of(pairs, atoms)
        with monkeypatch.context() as without:
            without.setattr(place, "available", lambda name: "no compiler in this test")
            expected = PairIndex.of(pairs, atoms)
        for ours, theirs in zip(found.tensors, expected.tensors, strict=True):
            assert torch.equal(ours, theirs)


def test_types_must_agree():
    listed = graph()
    mixed = listed.replace(
        layout=PairIndex.of_graph(listed), system=listed.system.replace(cell=listed.system.cell.float())
    )
    with pytest.raises(ConfigError, match="one type"):
        mixed.vectors()
