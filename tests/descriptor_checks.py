"""What every descriptor's tests check in the same way."""

import torch


def turning_changes_nothing(descriptor, graph):
    """A rotation with a mirror leaves every number; returns the numbers."""
    turn = -torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0)))[0]
    found, plain = descriptor.from_vectors(graph.vectors() @ turn, graph), descriptor(graph)
    assert found.shape == (graph.system.atoms, descriptor.size)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-10)
    return plain


def slopes_are_numeric(descriptor, graph, step=1e-5):
    """Single slopes of a float64 descriptor equal finite differences."""
    slopes = descriptor.jacobian(graph)[1]
    for pair, axis in ((0, 0), (5, 2)):
        shift = torch.zeros((graph.pairs.shape[1], 3))
        shift[pair, axis] = step
        ahead, behind = (descriptor.from_vectors(graph.vectors() + s * shift, graph) for s in (1, -1))
        numeric = (ahead - behind)[graph.centers[pair]] / (2.0 * step)
        torch.testing.assert_close(slopes[pair, :, axis], numeric, rtol=1e-6, atol=1e-7)
