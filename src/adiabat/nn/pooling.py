"""From the members of a group to the group: atoms or pairs to their system."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def group_mean(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Means `[groups, ...]` of members' values `[members, ...]`; zero for a group without members.

    Args:
        values: one row a member.
        group: `[members]`, which group each belongs to.
        groups: how many there are.
    """
    sums = values.new_zeros((groups, *values.shape[1:])).index_add(0, group, values)
    counts = values.new_zeros(groups).index_add(0, group, values.new_ones(values.shape[0])).clamp(min=1.0)
    return sums / counts.view(-1, *(1,) * (values.dim() - 1))


class Set2Set(nn.Module):
    """A summary of a set that does not depend on its order (Vinyals, Bengio and Kudlur, arXiv:1511.06391, eqs. 3–7).

    A recurrent network asks a question q of the members x, takes their mean with weights softmax(x · q) as the
    answer, and asks again. The answer of an empty set is zero.

    Args:
        channels: of a member.
        steps: questions asked.
    """

    def __init__(self, channels: int, steps: int):
        super().__init__()
        self.steps = steps
        self.network = nn.LSTMCell(2 * channels, channels)

    def forward(self, values: Tensor, group: Tensor, groups: int) -> Tensor:
        """`[groups, 2 · channels]`, the last question and its answer, from members' `values [members, channels]`.

        Args:
            values: x.
            group: `[members]`, which group each belongs to.
            groups: how many there are.
        """
        channels = values.shape[1]
        asked = values.new_zeros((groups, 2 * channels))
        state = (values.new_zeros((groups, channels)), values.new_zeros((groups, channels)))
        for _ in range(self.steps):
            state = self.network(asked, state)
            question = state[0]
            answer = _attend(values, question, group, groups)
            asked = torch.cat([question, answer], dim=1)
        return asked


def _attend(values: Tensor, question: Tensor, group: Tensor, groups: int) -> Tensor:
    """Means of members with weights softmax(x · q) `[groups, channels]`."""
    match = (values * question.index_select(0, group)).sum(dim=1)
    # any shift gives the same weights; the largest keeps the exponentials below 1
    largest = match.detach().new_full((groups,), -torch.inf).scatter_reduce(0, group, match.detach(), "amax")
    weight = torch.exp(match - largest.index_select(0, group))
    total = match.new_zeros(groups).index_add(0, group, weight)
    weight = weight / total.index_select(0, group)
    return values.new_zeros((groups, values.shape[1])).index_add(0, group, values * weight[:, None])
