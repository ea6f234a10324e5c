"""Sums over neighbors of features times harmonics along paths, differentiable any number of times: for training.

The sum is the derivative by g of the form

    Σ g_inc L_smn x_jmc R_spc    over slots s = (i, j), paths p, their components m and n, and channels c,

and so are its own derivatives of any order by the other arguments (as in `adiabat.kernels.pair_forms`). Four kernels
are therefore enough, and none makes a tensor of slots × components × channels, in which plain operations spend most
of a training step.

| argument | shape |
|---|---|
| g | [atoms, components of all paths' outputs, channels] |
| L | [slots, Σ_p (2l_in+1)(2l_out+1)] |
| x | [atoms, components of all features, channels] |
| R | [slots, paths, channels] |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adiabat.kernels.build import available, call, same_type

_LIBRARY = torch.library.Library("adiabat", "FRAGMENT")
_LIBRARY.define("path_form(int slot, int[] paths, Tensor[] others, Tensor neighbors) -> Tensor")

_KERNELS = ("path_sum", "path_couplings", "path_features", "path_weights")
_FIELDS = 5  # of a path: first component in x, number, first component in g, number, first column of L
_BLOCK = 64  # bytes of channels that a kernel takes at once


def paths_of(sizes: Sequence[int], paths: Sequence[tuple[int, int]]) -> list[int]:
    """What `sums` takes as `paths`.

    Args:
        sizes: number of components of each feature, at most 7.
        paths: for each path the feature that it reads and the number of components that it makes.
    """
    begins = [sum(sizes[:k]) for k in range(len(sizes))]
    found, made, column = [], 0, 0
    for source, out in paths:
        found += [begins[source], sizes[source], made, out, column]
        made, column = made + out, column + sizes[source] * out
    return found


def usable(features: Tensor, paths: Sequence[int]) -> bool:
    """Whether `sums` can be used: on the CPU, with a compiler, whole blocks of channels and at most 7 components."""
    whole = features.shape[-1] * features.element_size() % _BLOCK == 0
    return whole and max(paths[1::_FIELDS]) <= 7 and features.device.type == "cpu" and available("path_form") is None


def sums(features: Tensor, couplings: Tensor, weights: Tensor, neighbors: Tensor, paths: list[int]) -> Tensor:
    """`[atoms, components, channels]`, path after path.

    Args:
        features: x.
        couplings: L.
        weights: R.
        neighbors: the neighbor in each slot `[atoms, width]`.
        paths: from `paths_of`.
    """
    return _Derivative.apply(0, paths, neighbors, couplings, features, weights)


class _Derivative(torch.autograd.Function):
    """The derivative of the form by the argument at `slot`, at the others, which come in their order."""

    @staticmethod
    def forward(ctx: Any, slot: int, paths: list[int], neighbors: Tensor, *others: Tensor) -> Tensor:
        ctx.slot, ctx.paths, ctx.neighbors = slot, paths, neighbors
        ctx.save_for_backward(*others)
        return torch.ops.adiabat.path_form.default(slot, paths, [t.contiguous() for t in others], neighbors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        arguments = list(ctx.saved_tensors)
        arguments.insert(ctx.slot, gradient)
        slots = [slot for slot in range(len(arguments)) if slot != ctx.slot]
        found = [
            _Derivative.apply(slot, ctx.paths, ctx.neighbors, *arguments[:slot], *arguments[slot + 1 :])
            if needed
            else None
            for slot, needed in zip(slots, ctx.needs_input_grad[3:], strict=True)
        ]
        return None, None, None, *found


def _parts(paths: Sequence[int]) -> tuple[int, int, int, int]:
    """Components of x and of g, columns of L, number of paths."""
    begin, size, made, out, column = (paths[k::_FIELDS] for k in range(_FIELDS))
    inner = max(b + s for b, s in zip(begin, size, strict=True))
    return inner, made[-1] + out[-1], column[-1] + size[-1] * out[-1], len(begin)


def _empty(slot: int, paths: Sequence[int], others: Sequence[Tensor], neighbors: Tensor) -> Tensor:
    """What a derivative fills."""
    (atoms, width), channels = neighbors.shape, others[-1].shape[-1]
    inner, outer, columns, count = _parts(paths)
    shapes = ((atoms, outer, channels), (atoms * width, columns), (atoms, inner, channels))
    return others[0].new_empty((*shapes, (atoms * width, count, channels))[slot])


def _run(slot: int, paths: Sequence[int], others: Sequence[Tensor], neighbors: Tensor) -> Tensor:
    made = _empty(slot, paths, others, neighbors)
    inner, outer, columns, count = _parts(paths)
    sizes = torch.tensor([*neighbors.shape, inner, outer, columns, count, others[-1].shape[-1]])
    call("path_form", _KERNELS[slot], same_type(*others), sizes, torch.tensor(list(paths)), neighbors, *others, made)
    return made


_LIBRARY.impl("path_form", _run, "CPU")
torch.library.register_fake("adiabat::path_form", _empty)
