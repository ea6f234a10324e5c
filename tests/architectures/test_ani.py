"""ANI through the battery, its ensemble, and its kernels on published weights."""

import pytest
import torch

from adiabat.architectures import build, method
from adiabat.architectures.local.ani import ANI, ANIConfig
from adiabat.descriptors.aev import AEV, Terms
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.potential import Referenced
from adiabat.pretrained.importers.ani import from_kit
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import run_battery
from adiabat.testing.structures import structures

TERMS = Terms(
    cutoff=4.5,
    radial_eta=(4.0,),
    radial_shifts=(0.9, 1.8, 2.7, 3.6),
    angular_eta=(2.0,),
    zeta=(8.0,),
    angular_shifts=(0.9, 2.2),
    angles=(0.4, 1.2, 2.0, 2.8),
)
SMALL = ANIConfig(aev=TERMS, hidden={"H": (16, 8), "others": (12, 8)}, members=2)


def _graph(name):
    return Graph.build(structures([1, 6, 8], TERMS.cutoff)[name], TERMS.cutoff)


def test_battery(shared):
    torch.manual_seed(1)
    report = run_battery(ANI(SMALL, [1, 6, 8]), kits=[shared / "golden" / "ani-1x"], skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_battery_of_one_element():
    torch.manual_seed(1)
    config = SMALL.model_copy(update={"members": 1, "hidden": {"others": (12,)}})
    report = run_battery(ANI(config, [6]))
    assert report.passed, report.text()


def test_published_sizes():
    model = build(ANIConfig(members=8), [1, 6, 7, 8])
    assert isinstance(model, ANI)
    assert model.descriptor.size == 384
    assert [[layer.out_features for layer in layers] for layers in model.members[7].layers] == [
        [160, 128, 96, 1],
        [144, 112, 96, 1],
        [128, 112, 96, 1],
        [128, 112, 96, 1],
    ]
    assert method("ani").paper == "10.1039/C6SC05720A"


def test_energy_is_the_mean_and_uncertainty_the_spread():
    torch.manual_seed(2)
    model = ANI(SMALL.model_copy(update={"members": 3}), [1, 6, 8]).double()
    graph = Graph.batch([_graph("molecule"), _graph("atom")])
    totals = []
    for member in model.members:
        alone = ANI(SMALL.model_copy(update={"members": 1}), [1, 6, 8]).double()
        alone.members[0].load_state_dict(member.state_dict())
        found = evaluate(alone, graph)
        assert found.uncertainty is None
        totals.append(found.energy)
    found = evaluate(Referenced(model, {6: -3.0}, 2.0), graph)
    offset = torch.tensor([-6.0, 0.0])
    torch.testing.assert_close(found.energy, 2.0 * torch.stack(totals).mean(dim=0) + offset)
    torch.testing.assert_close(found.uncertainty, 2.0 * torch.stack(totals).std(dim=0))
    assert found.uncertainty[0] > 0


def test_one_radial_and_one_angular_function_by_hand():
    terms = Terms(
        cutoff=5.0, radial_eta=(2.0,), radial_shifts=(1.3,), angular_cutoff=3.0, angular_eta=(1.5,), zeta=(4.0,),
        angular_shifts=(1.1,), angles=(0.7,),
    )  # fmt: skip
    system = System.from_arrays([[0, 0, 0], [1.2, 0, 0], [0, 1.7, 0]], [8, 1, 1])
    row = AEV(terms, [1, 8])(Graph.build(system, 5.0))[0]
    pi = torch.tensor(torch.pi)
    r = torch.tensor([1.2, 1.7])
    radial = (0.25 * torch.exp(-2.0 * (r - 1.3) ** 2) * 0.5 * (torch.cos(pi * r / 5) + 1)).sum()
    angle = torch.acos(torch.tensor(0.0))
    cut = (0.5 * (torch.cos(pi * r / 3) + 1)).prod()
    angular = 2 ** (1 - 4.0) * (1 + torch.cos(angle - 0.7)) ** 4 * torch.exp(-1.5 * (r.mean() - 1.1) ** 2) * cut
    expected = torch.stack([radial, *torch.zeros(1), angular, *torch.zeros(2)])
    torch.testing.assert_close(row, expected)


def test_faults_are_named():
    with pytest.raises(ConfigError, match="'celuu'"):
        ANI(ANIConfig(activation="celuu"), [1])
    with pytest.raises(ConfigError, match="no layers for O"):
        ANI(ANIConfig(hidden={"H": (4,)}), [1, 8])
    with pytest.raises(ConfigError, match="different lengths"):
        ANI(ANIConfig(hidden={"H": (4,), "others": (4, 4)}), [1, 8])
    with pytest.raises(ConfigError, match=r"angular_cutoff 3\.5"):
        ANI(ANIConfig(aev=Terms(cutoff=3.0)), [1])


@pytest.mark.parametrize("name", ["ani-1x", "ani-2x-member0", "ani-8el-random"])
@pytest.mark.parametrize(("dtype", "room"), [(torch.float64, 1e-10), (torch.float32, 3e-5)])
def test_published_weights_frozen(shared, name, dtype, room):
    if available("element_networks") is not None:
        pytest.skip(available("element_networks"))
    kit = Kit(shared / "golden" / name)
    model = from_kit(kit).potentials[""]
    frozen, cases = model.to(dtype).frozen(), kit.structures()
    own = [case for case in cases if f"{case}/energy" in kit.outputs()]
    assert len(own) >= 6
    for case in own:
        graph = Graph.build(System.from_ase(cases[case]), model.cutoff)
        want = ("energy", "forces", "stress") if cases[case].pbc.any() else ("energy", "forces")
        exact = evaluate(model.double(), graph, want)
        found = evaluate(frozen, frozen.prepare(graph.to(dtype=dtype)), want)
        for quantity in want[1:]:
            wanted, made = getattr(exact, quantity), getattr(found, quantity).double()
            torch.testing.assert_close(made, wanted, rtol=0, atol=room * max(float(wanted.abs().max()), 1.0))
        torch.testing.assert_close(found.energy, exact.energy, rtol=1e-7, atol=room)
        if len(model.model.members) > 1:
            torch.testing.assert_close(found.uncertainty, exact.uncertainty, rtol=0, atol=1e-3)
