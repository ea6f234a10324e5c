"""Pairs, angles and coordination numbers against QUIP's numbers, and slopes of kernels against autograd."""

import ase
import numpy as np
import pytest
import torch
from small_models import ELEMENTS, several_graphs, small_gap

from adiabat.descriptors.kernel_terms import KernelTerm
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.quip_words import descriptor_options
from adiabat.pretrained.kit import Kit


def found_rows(term: KernelTerm, atoms: ase.Atoms):
    """Values, cutoff functions, and and the positions they depend on, of the instances that count."""
    graph = term.prepare(Graph.build(System.from_ase(atoms, torch.float64), term.cutoff))
    positions = graph.system.positions.clone().requires_grad_()
    moved = graph.replace(system=graph.system.replace(positions=positions))
    made = term.instances(moved.vectors(), moved)
    kept = made.weights.detach() > 0
    return made.values[kept], made.weights[kept], positions


@pytest.mark.parametrize("kind", ["distance-2b", "angle-3b", "coordination"])
def test_quip(shared, kind):
    kit = Kit(shared / "golden" / f"quippy-{kind}")
    given, structures = kit.outputs(), kit.structures()
    compared = 0
    for key in [k.removesuffix("/spec") for k in given if k.endswith("/spec")]:
        atoms = structures[key.split("/")[0]]
        if atoms.pbc.any():
            atoms.pbc = True
        rows, cut = given.get(f"{key}/descriptor"), given.get(f"{key}/covariance_cutoff")
        if rows is None or cut is None or not len(rows):
            continue
        term = descriptor_options(str(given[f"{key}/spec"]), "kit").build(sorted(set(atoms.numbers))).double()
        values, weights, positions = found_rows(term, atoms)
        times = 2 if kind == "angle-3b" else 1  # both orders of the neighbors are rows there
        rows = rows.reshape(len(cut), -1)
        assert int((cut > 0).sum()) == times * len(values)
        own = np.repeat(values.detach().numpy(), times, axis=0)
        assert np.allclose(np.sort(rows[cut > 0], axis=0), np.sort(own, axis=0), rtol=1e-10, atol=1e-10)
        # one number that depends on all values and cutoff functions, and its derivative by the chain rule
        mix = np.arange(1.0, 1.0 + rows.shape[1])
        total = (torch.sin(values @ torch.from_numpy(mix)) * weights).sum()
        assert float(total.detach()) == pytest.approx((np.sin(rows @ mix) * cut).sum(), rel=1e-9, abs=1e-9)
        slopes = given.get(f"{key}/grad_data")
        if slopes is None or not len(slopes):
            continue
        centers, moved = given[f"{key}/grad_index_0based"].T
        owner = np.arange(len(slopes)) // (len(slopes) // len(rows))
        owner = np.searchsorted(given[f"{key}/ci"], centers + 1) if kind == "coordination" else owner
        along = np.cos(rows[owner] @ mix)[:, None] * (slopes @ mix) * cut[owner][:, None]
        along = along + np.sin(rows[owner] @ mix)[:, None] * given[f"{key}/grad_covariance_cutoff"]
        expected = np.zeros((len(atoms), 3))
        np.add.at(expected, moved, along)
        (gradient,) = torch.autograd.grad(total, positions)
        assert np.abs(gradient.numpy() - expected).max() < 1e-9 * max(1.0, np.abs(expected).max())
        compared += 1
    assert compared


@pytest.mark.parametrize("place", range(6))
def test_slopes_are_autograd(place):
    terms = small_gap().terms.members
    term = terms[place % len(terms)]
    for graph in several_graphs()[:2]:
        graph = term.prepare(graph)
        values, slopes = term.jacobian(graph)
        expected, by_autograd = super(KernelTerm, term).jacobian(graph)
        assert torch.allclose(values, expected, atol=1e-12)
        assert torch.allclose(slopes, by_autograd, atol=1e-11)
    assert len(term.elements) == len(ELEMENTS)
