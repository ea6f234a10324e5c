"""Several potentials as one: what they give is added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph
from adiabat.potential import Potential, Prediction


class Sum(Potential):
    """Several potentials added up; a term may read the properties that earlier terms returned.

    The first term is the model, whose configuration and kind are the sum's; terms that do not feel pairs beyond their
    cutoff (`masked`) share its list of pairs.
    """

    def __init__(self, terms: Sequence[Potential]):
        if not terms:
            raise ConfigError("a Sum needs at least one term.")
        if any(t.local for t in terms) and not all(t.local for t in terms):
            raise ConfigError("a global model has no list of pairs, so it cannot be added to one that needs them.")
        elements = set(terms[0].elements).intersection(*(t.elements for t in terms))
        super().__init__(terms[0].config, elements, max(t.cutoff for t in terms))
        self.terms = nn.ModuleList(terms)

    @property
    def conservative(self) -> bool:  # type: ignore[override]
        return all(t.conservative for t in self.terms)  # type: ignore[union-attr]

    @property
    def local(self) -> bool:  # type: ignore[override]
        return all(t.local for t in self.terms)  # type: ignore[union-attr]

    @property
    def mirrored(self) -> bool:  # type: ignore[override]
        return all(t.mirrored for t in self.terms)  # type: ignore[union-attr]

    @property
    def gives_energy(self) -> bool:  # type: ignore[override]
        return all(t.gives_energy for t in self.terms)  # type: ignore[union-attr]

    def adapt(self, graphs: Sequence[Graph]) -> None:
        for term in self.terms:
            term.adapt(graphs)  # type: ignore[operator]

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        for k, term in enumerate(self.terms):
            start = f"terms.{k}."
            own = {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
            term.load_arrays(own)  # type: ignore[operator]

    def freeze(self) -> None:
        self._check_pairs(self.cutoff)
        for term in self.terms:
            term.freeze()  # type: ignore[operator]

    def check(self, graph: Graph) -> None:
        super().check(graph)
        for term in self.terms:
            term.check(graph)  # type: ignore[operator]

    def prepare(self, graph: Graph) -> Graph:
        self._check_pairs(graph.cutoff)
        if self.is_frozen:
            return super().prepare(graph)
        made: dict[str, Any] = {}
        for term in self.terms:
            graph = term.prepare(graph.replace(triplets=None, bonds=None))  # type: ignore[operator]
            own = {name: getattr(graph, name) for name in ("triplets", "bonds")}
            own = {name: value for name, value in own.items() if value is not None}
            if made.keys() & own.keys():
                raise CapabilityError(
                    f"two terms of a Sum have {' and '.join(made.keys() & own.keys())} of their own."
                )
            made |= own
        return graph.replace(**made)

    def _check_pairs(self, cutoff: float) -> None:
        """Raises CapabilityError if some term cannot take the pairs within `cutoff`, Å."""
        if any(term.cutoff < cutoff and not term.masked for term in self.terms):  # type: ignore[operator]
            raise CapabilityError("the terms of a Sum have different cutoffs, each with its own list of pairs.")

    def forward(self, graph: Graph) -> Prediction:
        total: Prediction | None = None
        for term in self.terms:
            part = term(graph if term.masked else graph.within(term.cutoff))  # type: ignore[arg-type]
            total = part if total is None else _add(total, part)
        assert total is not None
        return total


def _add(a: Prediction, b: Prediction) -> Prediction:
    changes: dict[str, Any] = {"properties": {**a.properties, **b.properties}}
    for name in ("energy", "atomic_energies", "forces", "stress"):
        left, right = getattr(a, name), getattr(b, name)
        # a part without the quantity makes the sum lack it: a partial sum would be a wrong number
        changes[name] = left + right if left is not None and right is not None else None
    for name in ("charges", "dipole", "polarizability", "magnetic_moments", "property", "uncertainty"):
        changes[name] = getattr(a, name) if getattr(a, name) is not None else getattr(b, name)
    return Prediction(**changes)
