"""Low-rank updates of linear maps (LoRA), merged into plain weights when the fit is over.

Hu et al., arXiv:2106.09685 (doi:10.48550/arXiv.2106.09685): W' = W + (alpha / rank) A B.

| paper | here | shape |
|---|---|---|
| W₀ | the weight as it was, which is not trained | [..., a, b] |
| A, B | `left`, `right` | [..., a, rank], [..., rank, b] |
| α, r | `alpha`, `rank` | numbers |

An equivariant linear map has one matrix per irrep, and gets one update per irrep: components of an irrep are never
mixed, so the model stays exactly equivariant. Maps with weights for each element get an update for each element.

## Departures from the paper

A matrix smaller than `rank` on one side gets its full rank. `left` is drawn from N(0, 1/a), `right` is zero, so that
the model starts as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adiabat.errors import ConfigError, FitError, did_you_mean
from adiabat.nn.degrees import DegreeLinear
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.grouped_networks import GroupedNetworks
from adiabat.nn.normalized import DeepReadout, NormalizedMLP
from adiabat.nn.ntk import NTKNetwork
from adiabat.nn.so2 import SO2Linear
from adiabat.settings import Settings

# kinds of linear maps, and what holds their matrices: the module itself or one of its parts
_HOLDERS = {
    nn.Linear: "",
    EquivariantLinear: "weights",
    ElementLinear: "weights",
    NormalizedMLP: "layers",
    NTKNetwork: "weights",
    DeepReadout: "layers",
    GroupedNetworks: "weights",
    DegreeLinear: "",
    SO2Linear: "weights",
}


class LowRankConfig(Settings):
    """Options of low-rank updates."""

    rank: int = Field(default=8, ge=1)
    """Rank of each update."""
    alpha: float = Field(default=16.0, gt=0.0)
    """Scale: updates are multiplied by alpha / rank."""
    targets: tuple[str, ...] = ("*",)
    """Names of the matrices that are updated, with * for any text; every pattern must match one."""


class LowRankUpdate(nn.Module):
    """A weight `[..., a, b]` plus (alpha / rank) · left · right; `order` are its owner's parameters as they were."""

    def __init__(self, weight: Tensor, rank: int, alpha: float, order: Sequence[str] = ()):
        super().__init__()
        self.order = tuple(order)
        *lead, a, b = weight.shape
        rank = min(rank, a, b)
        self.factor = alpha / rank
        self.left = nn.Parameter(torch.randn((*lead, a, rank), dtype=weight.dtype).to(weight.device) * a**-0.5)
        self.right = nn.Parameter(weight.new_zeros((*lead, rank, b)))

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight."""
        return weight + self.factor * (self.left @ self.right)


def adaptable(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Name of every matrix of a linear map to its owner and its name there."""
    found: dict[str, tuple[nn.Module, str]] = {}
    for path, module in model.named_modules():
        holder = next((where for kind, where in _HOLDERS.items() if isinstance(module, kind)), None)
        if holder is None:
            continue
        owner = getattr(module, holder) if holder else module
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.dim() >= 2:
                found[".".join(part for part in (path, holder, name) if part)] = (owner, name)
    return found


def matching(names: Sequence[str], patterns: Sequence[str], option: str) -> list[str]:
    """The names that match at least one pattern, in their order.

    Raises ConfigError for a pattern that matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            hint = did_you_mean(pattern, names) if len(names) < 12 else _close(pattern, names)
            raise ConfigError(f"{option} names '{pattern}', which matches nothing in this model.{hint}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _close(pattern: str, names: Sequence[str]) -> str:
    """A suggestion from a long list: the nearest name, or else the first parts of all names."""
    near = did_you_mean(pattern, names)
    if near.startswith(" Did"):
        return near
    heads = list(dict.fromkeys(name.partition(".")[0] for name in names))
    return did_you_mean(pattern.partition(".")[0], heads) or near


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Excludes the parameters that match from training; returns their names.

    Raises ConfigError for a pattern that matches none, and if nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    chosen = matching(names, patterns, "finetune.freeze")
    if len(chosen) == len(names):
        raise ConfigError("finetune.freeze matches every parameter, so there is nothing to fit: freeze fewer.")
    for name, parameter in model.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    return chosen


def attach(model: nn.Module, config: LowRankConfig) -> list[str]:
    """Adds updates to the matrices that match, and excludes everything else from training; returns their names.

    Raises FitError if the model has no linear maps, ConfigError for a pattern that matches none.
    """
    found = adaptable(model)
    if not found:
        raise FitError(
            f"{type(model).__name__} has no linear maps for low-rank updates: use freeze, or train it all."
        )
    chosen = matching(list(found), config.targets, "finetune.lora.targets")
    orders = {name: tuple(own for own, _ in found[name][0].named_parameters(recurse=False)) for name in chosen}
    model.requires_grad_(False)
    for name in chosen:
        owner, own = found[name]
        update = LowRankUpdate(getattr(owner, own), config.rank, config.alpha, orders[name])
        parametrize.register_parametrization(owner, own, update)
    return chosen


def merge(model: nn.Module) -> None:
    """Turns updated weights into plain ones, for good; the model gives the same numbers and saves as usual."""
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module):
            continue
        held: nn.ModuleDict = module.parametrizations  # type: ignore[assignment]
        order = next(iter(held.values()))[0].order  # type: ignore[index]
        for name in list(held):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for name in order:  # whoever goes through the parameters finds them in their old order
            module._parameters[name] = module._parameters.pop(name)
