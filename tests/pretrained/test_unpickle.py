"""Pickles are read and nothing in them is executed."""

import contextlib
import pickle
from collections import OrderedDict, defaultdict

import attacks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals.builders import BUILDERS
from adiabat.pretrained.originals.inert import Inert, Name, tensors
from adiabat.pretrained.originals.size import Limits
from adiabat.pretrained.originals.unpickle import unpickle

PLAIN = {
    "numbers": [0, 1, -1, 255, 65536, 2**40, -(2**70), 1.5, float("inf"), True, False, None],
    "texts": ["", "a", "é" * 300, b"", b"bytes" * 100, bytearray(b"x")],
    "nested": ({"a": [1, (2, 3)]}, {4, 5}, frozenset({6})),
    7: OrderedDict(b=1, a=2),
    (1, "two"): [],
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_through(protocol):
    found = unpickle(pickle.dumps(PLAIN, protocol), BUILDERS)
    assert found == PLAIN
    assert list(map(type, found["texts"])) == list(map(type, PLAIN["texts"]))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.zeros((0, 3)),
        np.array(["ab", "c"]),
        np.float32(1.5),
        np.array([True, False]),
    ],
    ids=["float", "fortran", "empty", "text", "scalar", "bool"],
)
def test_numpy_comes_through(array, protocol):
    found = unpickle(pickle.dumps([array, array], protocol), BUILDERS)
    for one in found:
        assert np.asarray(one).dtype == np.asarray(array).dtype
        assert np.array_equal(one, array)


def test_arrays_are_replaced_where_they_are_shared():
    array = np.arange(3)
    found = unpickle(pickle.dumps({"a": array, "b": {"c": array}}, 2), BUILDERS)
    assert found["a"] is found["b"]["c"]


def test_arrays_of_objects_stay_inert(tmp_path):
    marker = tmp_path / "marker"
    hostile = np.array([attacks.Command(print, str(marker))], dtype=object)
    found = unpickle(pickle.dumps(hostile), BUILDERS)
    assert isinstance(found, Inert)


def test_unknown_objects_are_records():
    found = unpickle(pickle.dumps(np.random.default_rng(0)), BUILDERS)
    assert isinstance(found, Inert)
    assert "random" in found.module
    assert isinstance(unpickle(pickle.dumps(defaultdict(list, a=[1])), BUILDERS), dict)


ATTACKS = {
    **{f"reduce-{p}": lambda marker, p=p: attacks.system(marker, p) for p in range(6)},
    "inst": attacks.instance,
    "obj": attacks.objects,
    "chain": attacks.chain,
    "build": attacks.build,
    "stack-global": attacks.stack_global,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_executed(name, tmp_path):
    marker = tmp_path / "marker"
    data = ATTACKS[name](marker)
    assert attacks.is_valid(data)
    found = unpickle(data, BUILDERS)
    assert not marker.exists()
    record = found["weights"][1] if isinstance(found, dict) else found
    assert isinstance(record, Inert)
    assert record.kind in ("system", "getattr", "eval")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (attacks.deep_lists(20_000), "nests deeper"),
        (attacks.deep_tuples(20_000), "nests deeper"),
        (attacks.deep_state(5_000), "nests deeper"),
        (attacks.deep_key(100_000), "dictionary's key"),
        (attacks.laughs(20), "describes more than"),
        (attacks.laughing_key(60), "dictionary's key"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"Pid\n.", "instruction PERSID"),
        (b"\x80\x02K\x01Q.", "outside of it"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"\x80\x02h\x05.", "never stored"),
        (b"\x80\x02(.", "takes a mark"),
        (b"\x80\x02K\x01K\x02.", "2 values are left"),
        (b"\x80\x02K\x01)R.", "calls a int"),
        (b"\x80\x02}]Ns.", "dictionary's key"),
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"ab.", "damaged"),
        (b"\x80\x02]", "damaged"),
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
    ],
)
def test_hostile_and_damaged_pickles_are_refused(data, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        unpickle(data, BUILDERS)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(instructions=50), "more than 50 instructions"),
        (Limits(stack=5), "on the stack"),
        (Limits(memo=5), "remembers more than 5"),
        (Limits(nodes=20), "more than 20 values"),
    ],
)
def test_limits(limits, sentence):
    data = pickle.dumps([[k, str(k)] for k in range(100)])
    with pytest.raises(CheckpointError, match=sentence):
        unpickle(data, limits=limits)


def test_calls_that_would_allocate_stay_records():
    found = unpickle(b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.", BUILDERS)
    assert isinstance(found, Inert)
    assert found.args == (2**40,)


def test_an_array_without_bytes_is_not_made():
    """10^12 texts of no letters would fill the memory."""
    data = (
        pickle.dumps(np.zeros(0, "U1"), 2)
        .replace(b"U1", b"U0")
        .replace(b"K\x00\x85", b"\x8a\x06" + b"\xff" * 5 + b"\x00\x85")
    )
    assert isinstance(unpickle(data, BUILDERS), Inert)


def test_cycles_end():
    data = b"\x80\x02}q\x00X\x04\x00\x00\x00selfh\x00s."
    found = unpickle(data)
    assert found["self"] is found
    assert tensors(found) == {}


def test_objects_that_all_refer_to_each_other_are_given_up():
    """Every order of walking through them would be another name."""
    objects = [Inert(Name("a", "b")) for _ in range(12)]
    for one in objects:
        one.state = {str(k): other for k, other in enumerate(objects)}
    with pytest.raises(CheckpointError, match="parts"):
        tensors(objects[0])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), st.integers(0, 5))
def test_damaged_bytes_give_a_message_or_a_value(place, change, protocol):
    data = bytearray(pickle.dumps({**PLAIN, "array": np.arange(5.0)}, protocol))
    data[place : place + len(change)] = change
    with contextlib.suppress(CheckpointError):  # any other exception fails the test
        unpickle(bytes(data), BUILDERS, limits=Limits(instructions=100_000))
