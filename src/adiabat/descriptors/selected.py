"""A descriptor of which only some features are used; what nobody uses is not computed, where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.selection import Moments, SelectConfig, select
from adiabat.errors import ConfigError
from adiabat.geometry import Graph


def selected(descriptor: Descriptor, options: SelectConfig | None) -> Descriptor:
    """The descriptor itself without options, else with the features that training data choose."""
    return descriptor if options is None else Selected(descriptor, options)


class Selected(Descriptor):
    """Some features of another descriptor, chosen by `adapt` and saved with the model.

    Args:
        whole: the other one, without parameters.
        options: how many features, and which.

    Attributes:
        columns: `[elements, size]` places among the features of `whole`, ascending; −1 behind the last.
        used: a descriptor that computes these alone where there is one (see `Descriptor.restricted`), else None.
    """

    columns: Tensor

    def __init__(self, whole: Descriptor, options: SelectConfig):
        super().__init__(whole.elements, whole.cutoff)
        if whole.trained:
            raise ConfigError(
                "select needs fixed features; those of a descriptor with parameters change in the fit: leave it out."
            )
        self.whole, self.options = whole, options
        self.sizes = tuple(min(options.count, size) for size in whole.sizes)
        self.register_buffer("columns", self._padded([list(range(size)) for size in self.sizes]))
        self.used: Descriptor | None = None
        self._restrict()

    @property
    def evaluated(self) -> Descriptor:
        """What does the work: `used`, or `whole` where there is none."""
        return self.whole if self.used is None else self.used

    @property
    def mirrored(self) -> bool:  # type: ignore[override]
        return self.whole.mirrored

    def _padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([[*row, *[-1] * (self.size - len(row))] for row in rows])

    def _restrict(self) -> None:
        used = self.whole.restricted(self.columns)
        like = next((b for b in self.whole.buffers() if b.is_floating_point()), None)
        self.used = used if used is None or like is None else used.to(like.device, like.dtype)

    def _load_from_state_dict(self, *given: Any) -> None:
        super()._load_from_state_dict(*given)
        self._restrict()

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Chooses the features from training graphs; an element that none of them has keeps its first ones."""
        self.whole.adapt(graphs)
        moments = [Moments(self.whole.size) for _ in self.elements]
        with torch.no_grad():
            for graph in graphs:
                values, kinds = self.whole(graph), self.element[graph.system.numbers]
                for place in kinds.unique().tolist():
                    moments[place].add(values[kinds == place])
        rows = [select(self.options, own.covariance()) for own in moments]
        rows = [row or list(range(size)) for row, size in zip(rows, self.sizes, strict=True)]
        self.columns.copy_(self._padded(rows))
        self._restrict()

    def prepare(self, graph: Graph) -> Graph:
        return self.evaluated.prepare(graph)

    def check(self, graph: Graph) -> None:
        self.whole.check(graph)

    def freeze(self) -> None:
        self.evaluated.freeze()

    def links(self, graph: Graph) -> tuple[Tensor, Tensor]:
        return self.evaluated.links(graph)

    def forward(self, graph: Graph) -> Tensor:
        if self.used is not None:
            return self.used(graph)
        return self._taken(self.whole(graph), self.element[graph.system.numbers])

    def jacobian(self, graph: Graph) -> tuple[Tensor, Tensor]:
        if self.used is not None:
            return self.used.jacobian(graph)
        values, slopes = self.whole.jacobian(graph)
        kinds = self.element[graph.system.numbers]
        return self._taken(values, kinds), self._taken(slopes, kinds[self.links(graph)[0][0]])

    def _taken(self, values: Tensor, kinds: Tensor) -> Tensor:
        """The chosen columns of rows `[n, features, ...]` of centers of these elements; zeros where there is none."""
        columns = self.columns[kinds]
        places = torch.where(columns < 0, values.shape[1], columns)
        places = places.view(*places.shape, *[1] * (values.dim() - 2)).expand(-1, -1, *values.shape[2:])
        return torch.cat((values, torch.zeros_like(values[:, :1])), dim=1).gather(1, places)

    def restricted(self, columns: Tensor) -> Descriptor | None:
        return None if self.used is None else self.used.restricted(columns)

    def groups(self) -> Tensor:
        whole = self.whole.groups()
        return torch.where(self.columns < 0, -1, whole.gather(1, self.columns.clamp(min=0)))
