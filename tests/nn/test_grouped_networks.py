"""Networks of many kinds in tiles: the same as one network after the other."""

import pytest
import torch

from adiabat.errors import ConfigError
from adiabat.nn.grouped_networks import ROWS, GroupedNetworks


def _one_by_one(networks, values, kind):
    """Layer by layer in plain torch, row by row."""
    found = []
    for row, k in zip(values, kind.tolist(), strict=True):
        x = row
        for depth, (weight, bias) in enumerate(zip(networks.weights, networks.biases, strict=True)):
            y = x @ weight[k] + bias[k]
            if depth < networks.depth:
                y = torch.tanh(y)
                if str(depth) in networks.steps:
                    y = y * networks.steps[str(depth)][k]
                if len(y) == len(x):
                    y = y + x
                elif len(y) == 2 * len(x):
                    y = y + torch.cat((x, x))
            x = y
        found.append(x)
    return torch.stack(found)


@pytest.mark.parametrize("rows", [1, ROWS, 3 * ROWS + 5])
@pytest.mark.parametrize("kinds", [1, 4])
def test_rows_go_through_their_own_network(rows, kinds):
    torch.manual_seed(rows)
    networks = GroupedNetworks(kinds, (3, 6, 6, 5), steps=True, outputs=2)
    values, kind = torch.randn(rows, 3, requires_grad=True), torch.randint(0, kinds, (rows,))
    kind[kind == 2] = 1  # a kind without rows
    found, wanted = networks(values, kind), _one_by_one(networks, values, kind)
    torch.testing.assert_close(found, wanted)
    inputs = [values, *networks.parameters()]
    given = torch.randn_like(found)
    for own, plain in zip(*(torch.autograd.grad((x * given).sum(), inputs) for x in (found, wanted)), strict=True):
        torch.testing.assert_close(own, plain)


def test_no_rows():
    networks = GroupedNetworks(3, (2, 4))
    assert networks(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)).shape == (0, 4)


def test_unknown_activation():
    with pytest.raises(ConfigError, match="Did you mean 'tanh'"):
        GroupedNetworks(1, (2, 4), "tanhh")
