"""Reading pickles without executing anything.

A pickle is a program for a small stack machine, in which a few instructions import names and call them. `unpickle`
interprets the instructions itself: the standard library's `pickletools` only splits the bytes into instructions.
Names are recorded (`Name`), calls are recorded (`Inert`), and a short table of builders (`builders.py`) makes plain
values of the calls that data need: dictionaries, tensors, arrays. No name in a pickle is ever looked up, so no
pickle can run code, whatever it says. What is left to an attacker is size, which `Limits` bounds: of the program,
and of what it makes, counted as a program that follows every reference would count it.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals.inert import Inert, Name
from adiabat.pretrained.originals.size import Limits, check_size

Builder = Callable[[tuple[Any, ...]], Any]
NOT_BUILT: Any = object()
"""What a builder returns for arguments it does not take: the call stays inert."""


def unpickle(
    data: bytes | IO[bytes],
    builders: Mapping[str, Builder] | None = None,
    persistent: Callable[[Any], Any] | None = None,
    limits: Limits | None = None,
    name: str = "the pickle",
) -> Any:
    """The value a pickle describes, with inert records where it names or calls anything.

    Args:
        data: the bytes, or a stream that is read up to the pickle's end.
        builders: full name of a function to what makes a plain value of its arguments.
        persistent: gives the value of a persistent identifier (torch's storages); refused without.
        limits: bounds on size.
        name: what messages call the data.

    Raises:
        CheckpointError: the data are not a whole pickle, ask for more than the limits or for something refused.
    """
    machine = _Machine(builders or {}, persistent, limits or Limits(), name)
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        value = machine.run(stream)
    except CheckpointError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, RuntimeError) as error:
        raise CheckpointError(f"{name} is damaged: {type(error).__name__}: {str(error)[:120]}.") from None
    check_size(value, machine.limits, name)
    return value


class _Mark:
    """Start of a run of values on the stack."""


_MARK = _Mark()


class _Machine:
    """The stack machine: `run` reads instructions until STOP."""

    def __init__(
        self,
        builders: Mapping[str, Builder],
        persistent: Callable[[Any], Any] | None,
        limits: Limits,
        name: str,
    ):
        self.builders, self.persistent, self.limits, self.name = builders, persistent, limits, name
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.places: dict[int, int] = {}  # identity of an inert object -> where the memo has it

    def run(self, stream: IO[bytes]) -> Any:
        """The value on top of the stack at the end."""
        count = 0
        for instruction, argument, _ in pickletools.genops(stream):
            count += 1
            if count > self.limits.instructions:
                self.refuse(f"it has more than {count - 1} instructions")
            name = instruction.name
            if name == "STOP":
                break
            if name in _IGNORED:
                continue
            if name in _PUSHED:
                self.push(argument)
            elif name in _CONSTANTS:
                self.push(_CONSTANTS[name]())
            elif (act := _ACTIONS.get(name)) is not None:
                act(self, argument)
            else:
                self.refuse(f"it has the instruction {name}")
        if len(self.stack) != 1:
            self.refuse(f"{len(self.stack)} values are left at its end where one is expected")
        return self.pop()

    def refuse(self, why: str) -> None:
        """Stops with a sentence."""
        raise CheckpointError(f"{self.name} is refused: {why}. Is it a file of weights from a source you trust?")

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        if len(self.stack) >= self.limits.stack:
            self.refuse(f"it puts more than {self.limits.stack} values on the stack")
        self.stack.append(value)

    def pop(self) -> Any:
        """Takes the value on top."""
        if self.stack[-1] is _MARK:
            self.refuse("it takes a mark for a value")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Takes everything above the last mark, and the mark."""
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            self.refuse("a mark is missing")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def remember(self, index: int) -> None:
        """Stores the value on top in the memo."""
        if len(self.memo) >= self.limits.memo:
            self.refuse(f"it remembers more than {self.limits.memo} values")
        value = self.stack[-1]
        if value is _MARK:
            self.refuse("it remembers a mark")
        self.memo[index] = value
        if isinstance(value, Inert):
            self.places[id(value)] = index

    def recall(self, index: int) -> None:
        """Pushes a value of the memo."""
        if index not in self.memo:
            self.refuse(f"it refers to value {index}, which it never stored")
        self.push(self.memo[index])

    def call(self, function: Any, args: Any) -> Any:
        """Records a call, or makes the plain value of one that the builders know."""
        if not isinstance(function, Name | Inert) or not isinstance(args, tuple):
            self.refuse(f"it calls a {type(function).__name__} with a {type(args).__name__}")
        if isinstance(function, Name):
            build = self.builders.get(str(function))
            value = NOT_BUILT if build is None else build(args)
            if value is not NOT_BUILT:
                self._check_keys(value)
                return value
        return Inert(function, args)

    def _check_keys(self, value: Any) -> None:
        if isinstance(value, set | frozenset | dict):
            for key in value:
                self.key(key)

    def key(self, value: Any) -> Any:
        """The value itself if it may be hashed: hashing nested tuples recurses in C, so only small ones are taken."""
        waiting, count = [value], 0
        while waiting:
            one = waiting.pop()
            count += 1
            if count > self.limits.key:
                self.refuse(f"a dictionary's key has more than {self.limits.key} parts")
            if isinstance(one, tuple):
                if len(one) > self.limits.key:
                    self.refuse(f"a dictionary's key has more than {self.limits.key} parts")
                waiting.extend(one)
            elif not isinstance(one, str | bytes | int | float | complex | np.generic | Name | Inert | None):
                self.refuse(f"a dictionary's key is a {type(one).__name__}")
        return value

    def build(self, state: Any) -> None:
        """Gives the value on top its state."""
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
            build = self.builders.get(f"{target.of}.__setstate__") if isinstance(target.of, Name) else None
            value = NOT_BUILT if build is None else build((target,))
            if value is not NOT_BUILT:
                self.stack[-1] = value
                place = self.places.get(id(target))
                if place is not None and self.memo.get(place) is target:
                    self.memo[place] = value
        elif not isinstance(target, dict | Tensor):  # attributes of OrderedDicts and tensors are left out
            self.refuse(f"it changes the attributes of a {type(target).__name__}")

    def extend(self, target: Any, values: list[Any]) -> None:
        """Appends to a list or to an inert object."""
        if isinstance(target, Inert):
            target.items.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            self.refuse(f"it appends to a {type(target).__name__}")

    def store(self, target: Any, values: list[Any]) -> None:
        """Stores keys and values in a dictionary or an inert object."""
        if len(values) % 2:
            self.refuse("a dictionary has a key without a value")
        pairs = list(zip(values[::2], values[1::2], strict=True))
        if isinstance(target, Inert):
            target.entries.extend(pairs)
        elif isinstance(target, dict):
            for key, value in pairs:
                target[self.key(key)] = value
        else:
            self.refuse(f"it stores entries in a {type(target).__name__}")

    def stored_dict(self, values: list[Any]) -> dict[Any, Any]:
        """A new dictionary."""
        target: dict[Any, Any] = {}
        self.store(target, values)
        return target

    def lookup(self, identifier: Any) -> Any:
        """The value of a persistent identifier."""
        if self.persistent is None:
            self.refuse("it refers to data outside of it")
        assert self.persistent is not None
        return self.persistent(identifier)


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    machine.extend(machine.stack[-1], [value])


def _appends(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.extend(machine.stack[-1], values)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.store(machine.stack[-1], [key, value])


def _set_items(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.store(machine.stack[-1], values)


def _add_items(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    target = machine.stack[-1]
    if not isinstance(target, set):
        machine.refuse(f"it adds members to a {type(target).__name__}")
    target.update(machine.key(value) for value in values)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def act(machine: _Machine, _: Any) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(values)))

    return act


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.push(Name(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        machine.refuse("a name in it is not a text")
    machine.push(Name(module, name))


def _reduce(machine: _Machine, _: Any) -> None:
    args, function = machine.pop(), machine.pop()
    machine.push(machine.call(function, args))


def _new_object_ex(machine: _Machine, _: Any) -> None:
    options, args, function = machine.pop(), machine.pop(), machine.pop()
    machine.push(machine.call(function, (*args, options) if options else args))


def _instance(machine: _Machine, argument: str) -> None:
    args = tuple(machine.pop_to_mark())
    _global(machine, argument)
    machine.push(machine.call(machine.pop(), args))


def _object(machine: _Machine, _: Any) -> None:
    function, *args = machine.pop_to_mark()
    machine.push(machine.call(function, tuple(args)))


def _frozen_set(machine: _Machine, _: Any) -> None:
    machine.push(frozenset(machine.key(value) for value in machine.pop_to_mark()))


_IGNORED = {"PROTO", "FRAME"}
_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "APPEND": _append,
    "APPENDS": _appends,
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": lambda m, _: m.push(m.stored_dict(m.pop_to_mark())),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "ADDITEMS": _add_items,
    "FROZENSET": _frozen_set,
    "PUT": lambda m, index: m.remember(index),
    "BINPUT": lambda m, index: m.remember(index),
    "LONG_BINPUT": lambda m, index: m.remember(index),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GET": lambda m, index: m.recall(index),
    "BINGET": lambda m, index: m.recall(index),
    "LONG_BINGET": lambda m, index: m.recall(index),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_object_ex,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": lambda m, _: m.build(m.pop()),
    "BINPERSID": lambda m, _: m.push(m.lookup(m.pop())),
}
