"""What a pickle asks for, recorded instead of made: names, calls, and the tensors of modules among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from adiabat.errors import CheckpointError


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names. Nothing is imported; it is two texts."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Inert:
    """An object that a pickle wanted made, with what it would have been made from.

    Attributes:
        of: the class or function that was to be called.
        args: the arguments.
        state: what was to become the object's attributes, usually a dictionary.
        items: what was to be appended to it.
        entries: key and value pairs that were to be stored in it.
    """

    of: Name | Inert
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: list[tuple[Any, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<inert {self.kind}>"

    @property
    def kind(self) -> str:
        """Name of the class, without its module: `ScaleShiftMACE`."""
        return self.of.name if isinstance(self.of, Name) else self.of.kind

    @property
    def module(self) -> str:
        """Module of the class."""
        return self.of.module

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The object's attributes by name; parameters, buffers and children of torch modules among them."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        found: dict[str, Any] = {}
        for part in parts:
            if isinstance(part, dict):
                found |= part
        for group in ("_parameters", "_buffers", "_modules"):
            if isinstance(found.get(group), dict):
                found |= found[group]
        return found

    def get(self, path: str, default: Any = None) -> Any:
        """The attribute at a dotted path such as `interactions.0.conv_tp`; lists and dictionaries are entered too."""
        value: Any = self
        for part in path.split("."):
            value = _step(value, part)
            if value is _MISSING:
                return default
        return value

    def __getitem__(self, path: str) -> Any:
        """As `get`, but a missing attribute is an error."""
        value = self.get(path, _MISSING)
        if value is _MISSING:
            raise CheckpointError(
                f"the stored {self.kind} has no '{path}': was it written by another version of its program?"
            )
        return value


_MISSING: Any = object()
_VISITS = 200_000  # objects that refer to each other could be walked in very many orders


def _step(value: Any, part: str) -> Any:
    if isinstance(value, Inert):
        return value.attributes.get(part, _MISSING)
    if isinstance(value, dict):
        return value.get(part, _MISSING)
    if isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return _MISSING


def tensors(module: Any, buffers: bool = True) -> dict[str, Tensor]:
    """Every tensor of a stored torch module or TorchScript object by dotted name, as its `state_dict` has them.

    Args:
        module: an `Inert`, or a dictionary of tensors, modules and dictionaries (a state dict).
        buffers: False leaves out what torch modules keep as buffers.
    """
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, Any, frozenset[int]]] = [("", module, frozenset())]
    visits = 0
    while waiting:
        name, value, above = waiting.pop()
        visits += 1
        if visits > _VISITS:
            raise CheckpointError(
                f"the stored modules have more than {_VISITS} parts: is the file what it should be?"
            )
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, Inert | dict) and id(value) not in above:
            children = [(f"{name}.{key}" if name else str(key), child) for key, child in _children(value, buffers)]
            waiting.extend((key, child, above | {id(value)}) for key, child in reversed(children))
    return found


def _children(value: Inert | dict[Any, Any], buffers: bool) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
        return
    state = value.attributes
    if "_parameters" not in state:  # TorchScript objects have all in one
        yield from state.items()
        return
    unsaved = state.get("_non_persistent_buffers_set") or ()
    for group in ("_parameters", "_buffers", "_modules") if buffers else ("_parameters", "_modules"):
        for key, child in (state.get(group) or {}).items():
            if group != "_buffers" or key not in unsaved:
                yield key, child
