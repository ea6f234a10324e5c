"""Two heads on one body: replayed frames have their own copy of some parameters and their own reference energies."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from adiabat.data.dataset import Dataset
from adiabat.data.frame import PER_ATOM, Frame
from adiabat.errors import CapabilityError, ConfigError
from adiabat.fit.low_rank import matching
from adiabat.geometry import Graph
from adiabat.potential import Potential, Prediction, Referenced, Wrapped

_BY_ATOM = PER_ATOM | {"atomic_energies"}


class TwoHeads(Wrapped):
    """A model that answers systems of `head` 1 with a second copy of some of its parameters.

    Any architecture can be fitted so: both heads are evaluated for all systems, which doubles a step's cost, and
    each system takes its own. Afterwards `first` and `second` are ordinary potentials.

    Args:
        model: whose parameters are the first head's and the body's.
        patterns: names of parameters, with * for any text, that the second head has for itself.
        second_reference: reference energies of the second head, `[elements]`; None: those of the model.

    Raises ConfigError for a pattern that matches nothing and if all copies are frozen.
    """

    def __init__(self, model: Potential, patterns: Sequence[str], second_reference: Tensor | None = None):
        super().__init__(model)
        if model.precompute:
            raise CapabilityError(
                f"{model.config.method} steps from stored features and cannot have two heads:"  # type: ignore[attr-defined]
                " leave finetune.replay.heads out."
            )
        prefix = "model." if isinstance(model, Referenced) else ""
        parameters = {name.removeprefix(prefix): p for name, p in model.named_parameters()}
        own = matching(list(parameters), patterns, "finetune.replay.heads")
        if not any(parameters[name].requires_grad for name in own):
            raise ConfigError("finetune.replay.heads names only frozen parameters, so both heads would be the same.")
        self.names = [prefix + name for name in own]
        self.copies = nn.ParameterList(_copied(parameters[name]) for name in own)
        self.register_buffer("second_reference", second_reference)

    second_reference: Tensor | None

    def forward(self, graph: Graph) -> Prediction:
        first, second = self.model(graph), functional_call(self.model, self._second(), (graph,))
        chosen = graph.system.head == 1
        changes: dict[str, Any] = {}
        for name, value in vars(first).items():
            other = getattr(second, name)
            if isinstance(value, Tensor) and other is not None:
                rows = chosen[graph.system.system] if name in _BY_ATOM else chosen
                changes[name] = torch.where(rows.reshape(-1, *[1] * (value.dim() - 1)), other, value)
        return first.replace(**changes)

    def _second(self) -> dict[str, Tensor]:
        own: dict[str, Tensor] = dict(zip(self.names, self.copies, strict=True))
        return own if self.second_reference is None else own | {"reference": self.second_reference}

    def first(self) -> Potential:
        """The model with the first head."""
        return self.model

    def second(self) -> Potential:
        """A copy of the model with the second head."""
        model = copy.deepcopy(self.model)
        values = {name: value.detach().clone() for name, value in self._second().items()}
        model.load_state_dict(values, strict=False)
        return model


def _copied(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)


class OfHead:
    """A data set whose frames ask for one head."""

    def __init__(self, base: Dataset, head: int):
        self.base = base
        self.head = head

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> Frame:
        frame = self.base[index]
        system = frame.system.replace(head=torch.full_like(frame.system.head, self.head))
        return Frame(system, frame.labels, frame.info)

    def __iter__(self):
        return (self[k] for k in range(len(self)))
