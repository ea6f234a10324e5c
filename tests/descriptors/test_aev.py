"""Atomic environment vectors as a descriptor of `local`: defaults, invariance, slopes, constants."""

import pytest
import torch
from descriptor_checks import slopes_are_numeric, turning_changes_nothing
from small_models import ELEMENTS, SMALL_AEV, several_graphs

from adiabat.descriptors.aev import AEV, AEVConfig, Terms
from adiabat.errors import ConfigError
from adiabat.geometry import Graph


def test_defaults_are_those_of_the_method():
    config = AEVConfig()
    assert config.build([1, 6, 7, 8]).sizes == (384,) * 4
    assert {name: getattr(config, name) for name in Terms.model_fields} == Terms().model_dump()


def test_invariant_with_right_slopes():
    descriptor, graph = AEVConfig(**SMALL_AEV.model_dump()).build(ELEMENTS), Graph.batch(several_graphs())
    assert float(turning_changes_nothing(descriptor, graph).abs().max()) > 0.1
    slopes_are_numeric(descriptor, graph)


def test_same_numbers_after_a_change_of_type():
    graph, descriptor = Graph.batch(several_graphs()), AEV(SMALL_AEV, ELEMENTS)
    expected = descriptor(graph)
    assert torch.equal(descriptor.float().double()(graph), expected)


def test_refuses():
    with pytest.raises(ConfigError, match="angular_cutoff 3.5"):
        AEVConfig(cutoff=3.0).build([1])
