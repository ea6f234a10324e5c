"""ZBL repulsion and the Agnesi coordinate."""

import math

import pytest
import torch
from ase.data import covalent_radii

from adiabat.nn.distance_transforms import AgnesiTransform
from adiabat.nn.zbl import ZBLRepulsion

PAIRS = torch.tensor([[0, 1], [1, 0]])
NUMBERS = torch.tensor([6, 8])


def test_repulsion_by_hand():
    r = 0.6
    a = 0.4543 * 0.529 / (6**0.3 + 8**0.3)
    terms = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
    screening = sum(c * math.exp(-b * r / a) for c, b in terms)
    u = r / (covalent_radii[6] + covalent_radii[8])
    envelope = 1 - 21 * u**5 + 35 * u**6 - 15 * u**7
    found = ZBLRepulsion(5)(torch.tensor([r, r]), NUMBERS, PAIRS)
    assert float(found.sum()) == pytest.approx(14.3996 * 48 / r * screening * envelope)
    assert float(found[0]) == float(found[1])


def test_repulsion_ends_at_a_bond():
    reach = float(covalent_radii[6] + covalent_radii[8])
    for r, zero in ((reach - 0.2, False), (reach + 1e-6, True)):
        assert (float(ZBLRepulsion()(torch.tensor([r, r]), NUMBERS, PAIRS).abs().max()) == 0.0) is zero


def test_agnesi():
    r0 = 0.5 * float(covalent_radii[6] + covalent_radii[8])
    found = AgnesiTransform()(torch.tensor([r0, 3 * r0]), NUMBERS, PAIRS)
    assert float(found[0]) == pytest.approx(1 / (1 + 1.0805 / 2))
    x = 3.0
    assert float(found[1]) == pytest.approx(1 / (1 + 1.0805 * x**0.9183 / (1 + x ** (0.9183 - 4.5791))))
