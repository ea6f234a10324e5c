"""Sums over neighbors of features times filters, differentiable any number of times: for training.

A sum is the derivative of a multilinear form by one of its arguments, and so are its own derivatives of any order:

| form | arguments |
|---|---|
| filtered: Σ_p Σ_dc g_idc x_jdc w_hc | g, x `[atoms, d, channels]`, w `[halves, channels]` |
| directed: Σ_p Σ_dc g_idc a_jc w_hc u_pd | g `[atoms, 3, channels]`, a `[atoms, channels]`, w, u `[pairs, 3]` |

over the pairs p = (i, j) of a list that has every pair both ways, with the half h that p belongs to. A kernel for the
derivative by each argument is then enough, and none makes a tensor of pairs × channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adiabat.geometry import Graph
from adiabat.kernels.build import available, call, same_type

_LIBRARY = torch.library.Library("adiabat", "FRAGMENT")
_LIBRARY.define("pair_form(int slot, Tensor[] arguments, Tensor[] index) -> Tensor")


@dataclass(frozen=True)
class HalfIndex:
    """Pairs and halves as these kernels walk them.

    Attributes:
        tensors: centers, neighbors, the first pair of each center and the number of pairs `[atoms + 1]`, the half of
            each pair, and the two pairs of each half.
    """

    tensors: tuple[Tensor, ...]

    @classmethod
    def of(cls, graph: Graph) -> HalfIndex | None:
        """None if the graph has no halves, is not on the CPU, or no compiler is there: sum in torch then."""
        if graph.halves is None or graph.pairs.device.type != "cpu" or available("pair_forms") is not None:
            return None
        centers, neighbors = graph.pairs.contiguous()
        atoms = torch.arange(graph.system.atoms + 1, device=centers.device)
        both = graph.halves.both.contiguous()
        return cls((centers, neighbors, torch.searchsorted(centers, atoms), graph.halves.half_of, *both))

    def filtered(self, features: Tensor, filters: Tensor) -> Tensor:
        """Σ_j x_jdc w_hc: `features [atoms, d, channels]`, `filters [halves, channels]` to sums like x."""
        return _Derivative.apply(0, self.tensors, features, filters)

    def directed(self, features: Tensor, filters: Tensor, directions: Tensor) -> Tensor:
        """Σ_j a_jc w_hc u_pd `[atoms, 3, channels]`.

        Args:
            features: a, `[atoms, channels]`.
            filters: w, `[halves, channels]`.
            directions: u, `[pairs, 3]`.
        """
        return _Derivative.apply(0, self.tensors, features, filters, directions)


class _Derivative(torch.autograd.Function):
    """The derivative of a form by the argument at `slot`, at the others, which come in their order."""

    @staticmethod
    def forward(ctx: Any, slot: int, index: Sequence[Tensor], *others: Tensor) -> Tensor:
        ctx.slot, ctx.index = slot, index
        ctx.save_for_backward(*others)  # as they came in: a copy would have no history to differentiate again
        return torch.ops.adiabat.pair_form.default(slot, [t.contiguous() for t in others], list(index))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        arguments = list(ctx.saved_tensors)
        arguments.insert(ctx.slot, gradient)
        slots = [slot for slot in range(len(arguments)) if slot != ctx.slot]
        found = [
            _Derivative.apply(slot, ctx.index, *arguments[:slot], *arguments[slot + 1 :]) if needed else None
            for slot, needed in zip(slots, ctx.needs_input_grad[2:], strict=True)
        ]
        return None, None, *found


def _empty(slot: int, others: Sequence[Tensor], index: Sequence[Tensor]) -> Tensor:
    """What a derivative fills."""
    (atoms, *_, channels), (*_, half_of, first, _) = others[0].shape, index
    if slot == 2:
        return others[0].new_empty((first.shape[0], channels))
    if len(others) == 2:  # filtered
        return torch.empty_like(others[0])
    shapes = {0: (atoms, 3, channels), 1: (atoms, channels), 3: (half_of.shape[0], 3)}
    return others[0].new_empty(shapes[slot])


def _run(slot: int, others: Sequence[Tensor], index: Sequence[Tensor]) -> Tensor:
    made = _empty(slot, others, index)
    (atoms, *parts, channels), (i, j, begins, half_of, first, second) = others[0].shape, index
    halves, pairs, width = first.shape[0], half_of.shape[0], math.prod(parts)
    filtered = (
        ("filtered_sum", atoms, width, channels, begins, j, half_of),
        ("filtered_sum", atoms, width, channels, begins, j, half_of),
        ("filtered_weights", halves, width, channels, first, i, j),
    )
    directed = (
        ("directed_sum", atoms, channels, begins, j, half_of),
        ("directed_back", atoms, channels, begins, j, half_of, first, second),
        ("directed_weights", halves, channels, first, second, i, j),
        ("directed_slopes", pairs, channels, half_of, i, j),
    )
    name, *rest = (filtered if len(others) == 2 else directed)[slot]
    call("pair_forms", name, same_type(*others), *rest, *others, made)
    return made


_LIBRARY.impl("pair_form", _run, "CPU")
torch.library.register_fake("adiabat::pair_form", _empty)
