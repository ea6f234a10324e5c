"""Network heads: a trunk for the atoms of all elements, and committees of them."""

import torch
from small_models import ELEMENTS, several_graphs

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.evaluate import evaluate
from adiabat.nn.heads import NetworkHead

SMALL = {"kind": "acsf", "cutoff": 3.0, "recipe": {"centered": [1.0], "shifted": 2, "angular": [1.0], "zetas": [1.0]}}


def test_all_elements_go_through_one_trunk():
    torch.manual_seed(0)
    head = NetworkHead((5, 5), (4,), ("tanh",), members=2, trunk=(6, 3), activation="tanh").double()
    assert sum(p.numel() for p in head.trunks.parameters()) == 2 * (5 * 6 + 6 + 6 * 3 + 3)
    values, element = torch.randn(7, 5), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    expected = []
    for trunk, member in zip(head.trunks, head.members, strict=True):
        inner = torch.tanh(trunk(values))
        for layers, place in zip(member.layers, (0, 1), strict=True):
            own = layers[1](torch.tanh(layers[0](inner)))[:, 0]
            expected.append(torch.where(element == place, own, 0.0))
    assert torch.allclose(head(values, element), torch.stack(expected).sum(dim=0) / 2, atol=1e-12)


def test_a_model_with_a_trunk():
    """Frozen and from stored features it gives the same energies and forces."""
    torch.manual_seed(0)
    regressor = {"kind": "network", "hidden": [4], "trunk": [6], "members": 2}
    model = Local(LocalConfig.parse({"descriptor": SMALL, "regressor": regressor}), ELEMENTS)
    model.adapt(several_graphs())
    for graph in several_graphs()[:2]:
        expected = evaluate(model, graph)
        stored = model.predict_from(model.features(graph))
        frozen = evaluate(model.frozen(), graph)
        assert float(expected.forces.abs().max()) > 1e-3
        for found in (stored, frozen):
            assert torch.allclose(found.energy, expected.energy, atol=1e-9)
            assert torch.allclose(found.forces, expected.forces, atol=1e-9)
