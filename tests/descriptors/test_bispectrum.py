"""The bispectrum against LAMMPS's compute sna/atom and snad/atom, and its kernel against torch."""

import ase.build
import numpy as np
import pytest
import torch

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.snap import SNAPDescriptorConfig, component_labels
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.bispectrum import NAME
from adiabat.kernels.build import available
from adiabat.nn.su2 import clebsch_gordan
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

OPTIONS = {
    "one density": {"twojmax": 4},
    "by element": {"twojmax": 3, "by_element": True, "normalized": True},
    "all themselves": {"twojmax": 3, "by_element": True, "self_in_all": True, "subtract": True},
    "inner switch": {"twojmax": 3, "inner": {"Cu": (2.4, 0.5)}, "rmin0": 0.3},
    "no switch": {"twojmax": 2, "switch": False},
    "lowest": {"twojmax": 0},
}


def test_equals_lammps(shared):
    report = parity(Kit(shared / "golden" / "snap-bispectrum"), tolerance=1e-12)
    assert report.status == "equal", report
    found = {deviation.quantity for deviation in report.deviations}
    assert {"lin_tj8_bzero/descriptor", "quad_tj4/descriptor", "switchinner_tj4/descriptor"} <= found
    assert {"lin_tj6/snad", "chem_tj4/snad"} <= found
    assert len(found) == 10


def _graph(dtype=torch.float64):
    crystal = ase.build.bulk("Cu", cubic=True) * (2, 1, 1)
    crystal.rattle(0.1, seed=1)
    crystal.numbers[2:5] = 13
    lonely = ase.Atoms("Al", cell=[9.0] * 3, pbc=True)
    return Graph.batch([Graph.build(System.from_ase(atoms, dtype), 4.4) for atoms in (crystal, lonely)])


def _descriptor(options):
    radii, weights = {"Al": 0.45}, {"Al": 0.7}
    return SNAPDescriptorConfig(cutoff=4.2, radii=radii, weights=weights, **options).build([13, 29])


@pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernel_equals_torch(options, dtype):
    descriptor, graph = _descriptor(options).to(dtype), _graph(dtype)
    close = {"rtol": 0.0, "atol": 1e-12 if dtype == torch.float64 else 2e-5}
    values, slopes = descriptor.jacobian(graph)
    in_torch, slopes_in_torch = Descriptor.jacobian(descriptor, graph)
    size = float(in_torch.abs().max()), max(float(slopes_in_torch.abs().max()), 1e-9)
    torch.testing.assert_close(values / size[0], in_torch / size[0], **close)
    torch.testing.assert_close(slopes / size[1], slopes_in_torch / size[1], **close)

    torch.manual_seed(0)
    weights, constants = torch.randn((2, descriptor.size), dtype=dtype), torch.randn(2, dtype=dtype)
    _, kinds, index = descriptor.given(graph)
    vectors = graph.vectors().requires_grad_()
    energies = descriptor.linear(weights, constants)(vectors, kinds, index)
    wanted = (in_torch * weights[kinds]).sum(dim=1) + constants[kinds]
    torch.testing.assert_close(energies / size[0], wanted / size[0], **close)
    factors = torch.randn(len(kinds), dtype=dtype)
    (found,) = torch.autograd.grad((energies * factors).sum(), vectors)
    (other,) = torch.autograd.grad(
        (descriptor.kernel()(vectors, kinds, index) * weights[kinds] * factors[:, None]).sum(), vectors
    )
    wanted = (slopes_in_torch * (weights[kinds] * factors[:, None])[graph.centers][:, :, None]).sum(dim=1)
    torch.testing.assert_close(found / size[1], wanted / size[1], **close)
    torch.testing.assert_close(other / size[1], wanted / size[1], **close)


def test_no_pairs_and_the_components_of_a_lone_atom():
    graph = Graph.build(System.from_ase(ase.Atoms("Cu2", [[0, 0, 0], [9, 0, 0]])), 4.2)
    descriptor = _descriptor({"twojmax": 3})
    expected = torch.tensor([j + 1.0 for _, _, j in component_labels(3)]).expand(2, -1)
    torch.testing.assert_close(descriptor(graph), expected)
    values, slopes = descriptor.jacobian(graph)
    torch.testing.assert_close(values, expected)
    assert slopes.shape == (0, descriptor.size, 3)
    torch.testing.assert_close(_descriptor({"twojmax": 3, "subtract": True})(graph), torch.zeros_like(expected))


@pytest.mark.parametrize("levels", [(1, 1, 0), (2, 1, 1), (4, 3, 5), (8, 8, 8)])
def test_coupling_coefficients_are_orthonormal(levels):
    j1, j2, j = levels
    table = clebsch_gordan(j1, j2, j)
    np.testing.assert_allclose((table**2).sum(axis=1), 1.0, rtol=1e-13)
    if levels == (1, 1, 0):  # the singlet
        np.testing.assert_allclose(np.abs(table), np.sqrt(0.5))
        assert table[0, 0] == -table[0, 1]


def test_radii_must_leave_room():
    with pytest.raises(ConfigError, match="must exceed rmin0"):
        SNAPDescriptorConfig(cutoff=4.0, radii={"Cu": 0.1}, rmin0=1.0).build([29])
