"""How much a pickle may ask for, and how much is what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals.inert import Inert


@dataclass(frozen=True)
class Limits:
    """How much a pickle may ask for.

    Attributes:
        instructions: number of instructions.
        stack: values on the stack at once.
        memo: values in the memo.
        depth: nesting of what it makes.
        nodes: values in what it makes, each counted as often as it is referred to.
        key: values in a dictionary's key or a set's member, which is hashed.
    """

    instructions: int = 20_000_000
    stack: int = 5_000_000
    memo: int = 5_000_000
    depth: int = 300
    nodes: int = 50_000_000
    key: int = 64


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, Inert):
        return [value.of, value.args, value.state, value.items, value.entries]
    return []


def check_size(root: Any, limits: Limits, name: str = "the pickle") -> None:
    """Refuses values that a reader following every reference would need too long or too deep for.

    Depth and number of values are computed bottom up, once for each value, so that the check itself is linear in
    what is in memory. Cycles count once.
    """
    sizes: dict[int, tuple[int, int]] = {}
    waiting: list[tuple[Any, bool]] = [(root, False)]
    kept: list[Any] = []  # so that no identity is used twice
    while waiting:
        value, done = waiting.pop()
        if not done:
            if id(value) in sizes:
                continue
            parts = _parts(value)
            kept.append((value, parts))
            sizes[id(value)] = (1, 0)  # until it is known: what a cycle counts
            if parts:
                waiting.append((value, True))
                waiting.extend((part, False) for part in parts)
            continue
        known = [sizes.get(id(part), (1, 0)) for part in _parts(value)]
        nodes, depth = 1 + sum(n for n, _ in known), 1 + max((d for _, d in known), default=0)
        sizes[id(value)] = (nodes, depth)
        if nodes > limits.nodes or depth > limits.depth:
            raise CheckpointError(
                f"{name} is refused: it describes more than {limits.nodes} values or nests deeper than"
                f" {limits.depth}. Is it a file of weights from a source you trust?"
            )
