"""Weights of mace-torch give its numbers."""

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.pretrained.importers.mace import from_kit, read_mace
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

KITS = ["invariant", "equivariant-zbl", "agnesi-density", "nonlinear", "fullcg", "water-published"]


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / f"mace-{name}"))
    assert not report.failures
    assert {d.quantity for d in report.deviations} == {"energy", "atomic_energies", "forces", "stress"}
    # the published weights are float32 values, some of whose constants the program rounds as well
    assert report.worst < (1e-6 if name == "water-published" else 1e-11)


def _parts(shared, name):
    kit = Kit(shared / "golden" / name)
    weights = {k: v.double() for k, v in kit.weights().items() if v.is_floating_point()}
    return weights, dict(kit.buffers), dict(kit.meta["hyperparameters"])


def test_elements_in_any_order(shared):
    """A model whose elements are not listed in ascending order is the same model."""
    weights, buffers, options = _parts(shared, "mace-equivariant-zbl")
    reference = read_mace(weights, buffers, options)
    swapped = list(reversed(options["atomic_numbers"]))
    channels, count = 16, len(swapped)

    def flipped(name, tensor):
        if name == "node_embedding.linear.weight":
            return tensor.reshape(count, channels).flip(0).reshape(-1)
        if name == "atomic_energies_fn.atomic_energies" or ".symmetric_contractions." in name:
            return tensor.flip(0)
        if name.endswith("skip_tp.weight"):
            return tensor.reshape(channels, count, channels).flip(1).reshape(-1)
        return tensor

    other = read_mace({k: flipped(k, v) for k, v in weights.items()}, buffers, {**options, "atomic_numbers": swapped})
    for (name, a), b in zip(reference.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_own_couplings_are_the_programs(shared):
    """The full basis is mace-torch's tensor for tensor, up to rounding."""
    weights, buffers, options = _parts(shared, "mace-fullcg")
    contraction = read_mace(weights, buffers, options).model.products[0].contraction
    fresh = type(contraction)(
        *(type(contraction.irreps_in).parse(t) for t in ("8x0e+8x1o+8x2e", "8x0e+8x1o")), 3, 8, "full"
    )
    for name, buffer in contraction.named_buffers():
        assert np.abs((buffer - fresh.get_buffer(name)).numpy()).max() < 1e-12, name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"interaction_cls": "<class 'mace.OtherBlock'>"}, "OtherBlock is not known"),
        ({"radial_type": "gaussian"}, "only Bessel"),
        ({"distance_transform": "Soft"}, "Soft is not known"),
        ({"radial_MLP": [16, 16, 8]}, "hyperparameters belong"),
    ],
)
def test_unknown_parts_are_refused(shared, change, sentence):
    weights, buffers, options = _parts(shared, "mace-invariant")
    with pytest.raises(CheckpointError, match=sentence):
        read_mace(weights, buffers, {**options, **change})


def test_missing_couplings_are_refused(shared):
    weights, _, options = _parts(shared, "mace-invariant")
    with pytest.raises(CheckpointError, match="U_matrix"):
        read_mace(weights, {}, options)


def test_kit_in_float32_default(shared):
    """The type that is the default while importing does not matter."""
    kit = Kit(shared / "golden" / "mace-nonlinear")
    exact = from_kit(kit).potentials[""]
    torch.set_default_dtype(torch.float32)
    again = from_kit(kit).potentials[""]
    for (name, a), b in zip(exact.named_buffers(), dict(again.named_buffers()).values(), strict=True):
        assert torch.equal(a, b), name
