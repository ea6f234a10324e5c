"""One head of a mace-torch model that has several (doi:10.48550/arXiv.2401.00096, Methods: levels of theory).

All heads share the features. Each has readouts, a scale, a shift and reference energies of its own, and the program
keeps them side by side in one tensor, with zeros in place of the other heads' hidden nodes. Its linear maps divide by
the root of all inputs, those of the other heads included, hence the factors below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from adiabat.errors import CheckpointError

DEFAULT = "default"  # in any case; what the program takes where nothing is chosen


def choose(heads: Sequence[str], wanted: str | None) -> int:
    """The place of a head: the wanted one, else the only one, else the one that is called default.

    Raises:
        CheckpointError: there is no such head, or several and none is called default.
    """
    if wanted is None:
        found = [place for place, name in enumerate(heads) if len(heads) == 1 or name.lower() == DEFAULT]
        problem = f"the model has {len(heads)} heads, {', '.join(heads)}, and none is chosen"
    else:
        found = [place for place, name in enumerate(heads) if name == wanted]
        problem = f"the model has no head '{wanted}', but {', '.join(heads)}"
    if not found:
        raise CheckpointError(f"{problem}: give one with --head.")
    return found[0]


def one_head(weights: Mapping[str, Tensor], count: int, head: int, width: int) -> dict[str, Tensor]:
    """The weights of a model with this head alone.

    Args:
        weights: the program's tensors, of `count` heads.
        count: number of heads.
        head: place of the one to keep.
        width: hidden nodes of the last readout for one head.
    """
    found = dict(weights)
    for name, value in weights.items():
        if name == "atomic_energies_fn.atomic_energies":
            found[name] = value.reshape(count, -1)[head]
        elif name in ("scale_shift.scale", "scale_shift.shift") and value.numel() > 1:
            found[name] = value.reshape(-1)[head]
        elif name.startswith("readouts.") and value.numel():
            found[name] = _of_readout(name.split(".", 2)[2], value, count, head, width)
    return found


def _of_readout(name: str, value: Tensor, count: int, head: int, width: int) -> Tensor:
    """The head's part of a readout's tensor, flat; hidden nodes are ordered by head."""
    if name == "linear.weight":
        return value.reshape(-1, count)[:, head]
    if name == "linear_1.weight":
        return value.reshape(-1, count, width)[:, head].flatten()
    if name == "linear_mid.weight":
        return value.reshape(count, width, count, width)[head, :, head].flatten() / count**0.5
    if name == "linear_2.weight":
        return value.reshape(count, width, count)[head, :, head] / count**0.5
    if name in ("linear_mid.bias", "linear_2.bias"):
        return value.reshape(count, -1)[head]
    return value
