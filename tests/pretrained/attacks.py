"""Files that try to do harm, made by hand. Nothing here is ever loaded by Python's own pickle."""

import os
import pickle
import pickletools
from pathlib import Path


class Command:
    """Its pickle calls a function with arguments."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def system(marker: Path, protocol: int) -> bytes:
    """Creates the marker file through os.system when Python loads it."""
    return pickle.dumps({"weights": [1, Command(os.system, f"touch {marker}")]}, protocol)


def instance(marker: Path) -> bytes:
    """The same through INST, the oldest instruction that calls."""
    return f"(S'touch {marker}'\nios\nsystem\n.".encode()


def objects(marker: Path) -> bytes:
    """The same through OBJ."""
    return b"(cos\nsystem\n" + f"S'touch {marker}'\n".encode() + b"o."


def chain(marker: Path) -> bytes:
    """getattr(__import__("os"), "system")(...): what a list of forbidden names would miss."""
    module = b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'system'\ntR"
    return module + f"(S'touch {marker}'\ntR.".encode()


def build(marker: Path) -> bytes:
    """Through BUILD: a __setstate__ that would evaluate the state."""
    return b"\x80\x02cbuiltins\neval\n)\x81X" + _text(f"__import__('os').system('touch {marker}')") + b"b."


def stack_global(marker: Path) -> bytes:
    """With names as texts on the stack."""
    names = b"\x8c\x02os\x8c\x06system\x93"
    return b"\x80\x04" + names + b"X" + _text(f"touch {marker}") + b"\x85R."


def _text(text: str) -> bytes:
    return len(text).to_bytes(4, "little") + text.encode()


def deep_lists(levels: int) -> bytes:
    """Lists in lists."""
    return b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b"."


def deep_tuples(levels: int) -> bytes:
    """Tuples in tuples, with a stack of one."""
    return b"\x80\x02N" + b"\x85" * levels + b"."


def deep_key(levels: int) -> bytes:
    """A dictionary whose key is a deep tuple: hashing it recurses in C."""
    return b"\x80\x02}N" + b"\x85" * levels + b"Ns."


def deep_state(levels: int) -> bytes:
    """Objects whose state is an object, and so on."""
    return b"\x80\x02" + b"ca\nb\n)\x81" * levels + b"b" * (levels - 1) + b"."


def laughs(levels: int, width: int = 10) -> bytes:
    """Billion laughs: each list holds the one before it ten times."""
    parts = [b"\x80\x02]q\x00"]
    for level in range(levels):
        parts.append(b"0](" + (b"h" + bytes([level])) * width + b"eq" + bytes([level + 1]))
    return b"".join(parts) + b"."


def laughing_key(levels: int) -> bytes:
    """The same with tuples as a dictionary's key."""
    parts = [b"\x80\x02}N\x85q\x00"]
    for level in range(levels):
        parts.append(b"0h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1]))
    return b"".join(parts) + b"Ns."


def is_valid(data: bytes) -> bool:
    """Whether Python's own tools take it for a pickle."""
    return sum(1 for _ in pickletools.genops(data)) > 0
