"""JSON Patch (RFC 6902)."""

from typing import Any

import pytest

from fhir_server.fhir import codec
from fhir_server.fhir.errors import FhirError, Issues, TooLarge, TooLong
from fhir_server.fhir.json_patch import equal, parse_json_patch
from fhir_server.fhir.patch import PatchFailed

Json = Any


def patched(document: Json, *operations: Json, max_bytes: int = 10_000) -> Json:
    """The document after the operations."""
    return parse_json_patch(list(operations), max_bytes=max_bytes, max_depth=32).apply(document)


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"op": "add", "path": "/a", "value": None}, {"a": None}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": [2]}, {"a": [1, [2]]}),
        ({"a": 1}, {"op": "add", "path": "", "value": {"b": 2}}, {"b": 2}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": [2]}, {"a": [2]}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/1", "value": 3}, {"a": [1, 3]}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {}}, {}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": [1, 2, 3]}, {"op": "move", "from": "/a/0", "path": "/a/2"}, {"a": [2, 3, 1]}),
        ({"a": 1}, {"op": "move", "from": "/a", "path": "/a"}, {"a": 1}),
        ({"a": [1]}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": [1], "b": [1]}),
        ({"a/b": 1}, {"op": "remove", "path": "/a~1b"}, {}),
        ({"a~1": 1}, {"op": "remove", "path": "/a~01"}, {}),
        ({"": 1}, {"op": "remove", "path": "/"}, {}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1, "extra": 1}, {"a": 1}),
        ({"0": 1}, {"op": "remove", "path": "/0"}, {}),
    ],
)
def test_operations(before: Json, operation: Json, after: Json) -> None:
    """Each as the RFC says; what was there before is left as it was."""
    kept = codec.encode_json(before)
    assert patched(before, operation) == after
    assert codec.encode_json(before) == kept


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "add", "path": "/a/01", "value": 1},
        {"op": "add", "path": "/a/-1", "value": 1},
        {"op": "add", "path": "/s/0", "value": 1},
        {"op": "remove", "path": "/x"},
        {"op": "remove", "path": "/a/2"},
        {"op": "remove", "path": "/a/-"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "replace", "path": "/a/2", "value": 1},
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "move", "from": "/a", "path": "/a/0"},
        {"op": "copy", "from": "/x", "path": "/y"},
        {"op": "test", "path": "/a", "value": [2, 1]},
        {"op": "test", "path": "/x", "value": None},
        {"op": "test", "path": "/t", "value": 1},
        {"op": "replace", "path": "", "value": []},
    ],
)
def test_what_does_not_fit_fails(operation: Json) -> None:
    """As a whole, with the operation's number."""
    document = {"a": [1, 2], "s": "text", "t": True}
    harmless = {"op": "add", "path": "/new", "value": 1}
    with pytest.raises(PatchFailed):
        patched(document, harmless, operation)
    assert document == {"a": [1, 2], "s": "text", "t": True}


@pytest.mark.parametrize(
    "operation",
    [
        7,
        {},
        {"op": "add"},
        {"op": "add", "path": "/a"},
        {"op": "nonsense", "path": "/a"},
        {"op": 7, "path": "/a"},
        {"op": "remove", "path": 7},
        {"op": "remove", "path": "a"},
        {"op": "remove", "path": "/a~2"},
        {"op": "remove", "path": "/a~"},
        {"op": "move", "path": "/a"},
        {"op": "test", "path": "/a"},
        {"op": "copy", "path": "/a", "from": None},
    ],
)
def test_what_is_no_patch_is_malformed(operation: Json) -> None:
    """Before anything is applied."""
    with pytest.raises(FhirError) as refused:
        patched({"a": 1}, operation)
    assert not isinstance(refused.value, PatchFailed)
    assert "[0]" in refused.value.diagnostics


def test_all_malformed_operations_are_told_at_once() -> None:
    """With their numbers."""
    with pytest.raises(Issues) as refused:
        patched({}, {}, {"op": "remove", "path": ""}, 7)
    assert [one.diagnostics[:3] for one in refused.value.issues] == ["[0]", "[2]"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (b'{"v":1.50}', b'{"v":1.5}', True),
        (b'{"v":1}', b'{"v":1.0}', True),
        (b'{"v":0.1}', b'{"v":0.10000000000000000001}', False),
        (b'{"v":1}', b'{"v":true}', False),
        (b'{"v":0}', b'{"v":false}', False),
        (b'{"v":null}', b'{"v":false}', False),
        (b'{"v":"1"}', b'{"v":1}', False),
        (b'{"v":[1,{"a":2}]}', b'{"v":[1,{"a":2}]}', True),
        (b'{"v":{"a":1,"b":2}}', b'{"v":{"b":2,"a":1}}', True),
        (b'{"v":123456789012345678901}', b'{"v":123456789012345678901}', True),
        (b'{"v":123456789012345678901}', b'{"v":123456789012345678902}', False),
    ],
)
def test_equality_is_that_of_values(one: bytes, other: bytes, expected: bool) -> None:
    """Numbers by value, whatever their digits; nothing else is a number."""
    values = [codec.parse(body, max_depth=9)["v"] for body in (one, other)]
    assert equal(*values) is expected


def test_digits_are_kept() -> None:
    """Of what stays and of what is added."""
    document = codec.parse(b'{"a":1.50}', max_depth=9)
    operations = codec.parse_list(b'[{"op":"add","path":"/b","value":2.10e0}]', max_depth=9)
    assert codec.encode_json(patched(document, *operations)) == b'{"a":1.50,"b":2.10e0}'


def test_growth_is_bounded() -> None:
    """Copies cannot double a resource for ever, in size or in depth."""
    doubling = [{"op": "copy", "from": "", "path": "/a"}] * 40
    with pytest.raises((TooLarge, TooLong)):
        patched({"b": "x" * 100}, *doubling)
    flat = [{"op": "copy", "from": "/b", "path": f"/c{number}"} for number in range(400)]
    with pytest.raises(TooLarge):
        patched({"b": "x" * 100}, *flat)
    deep = [{"op": "add", "path": "/a" * number, "value": {}} for number in range(1, 60)]
    with pytest.raises(TooLong):
        patched({}, *deep)
    with pytest.raises(FhirError):
        patched({}, *([{"op": "test", "path": "", "value": {}}] * 501))


def test_later_operations_do_not_change_shared_values() -> None:
    """A value that was added twice is two values."""
    value: Json = {"x": [1]}
    first = {"op": "add", "path": "/a", "value": value}
    copied = {"op": "copy", "from": "/a", "path": "/b"}
    change = {"op": "add", "path": "/b/x/-", "value": 2}
    assert patched({}, first, copied, change) == {"a": {"x": [1]}, "b": {"x": [1, 2]}}
    assert value == {"x": [1]}
