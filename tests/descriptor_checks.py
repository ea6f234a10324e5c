"""What every descriptor's tests check in the same way."""

import torch

from adiabat.descriptors.base import Descriptor


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


def tangents_are_derivatives(descriptor, graph, step=1e-6):
    """Derivatives by the first and the last parameter of each tensor and element, without kernels."""
    kinds = len(descriptor.elements)
    weights = torch.randn((kinds, descriptor.size), generator=torch.Generator().manual_seed(1))
    values, slopes = Descriptor.tangents(descriptor, graph, weights)
    element, begin = descriptor.element[graph.system.numbers], 0
    for parameter in descriptor.parameters():
        flat = parameter.data.view(kinds, -1)
        for place in range(kinds):
            for column in (0, flat.shape[1] - 1):
                found = []
                for change in (step, -2 * step):
                    flat[place, column] += change
                    found.append(Descriptor.weighted(descriptor, graph, weights))
                flat[place, column] += step
                wanted = [(above - below) / (2 * step) for above, below in zip(*found, strict=True)]
                own = values[:, begin + column] * (element == place)
                torch.testing.assert_close(wanted[0], own, rtol=1e-6, atol=1e-7)
                own = slopes[:, begin + column] * (element[graph.centers] == place)[:, None]
                torch.testing.assert_close(wanted[1], own, rtol=1e-6, atol=1e-7)
        begin += flat.shape[1]
    assert begin == values.shape[1]
