"""FHIR JSON keeps every digit, and malformed JSON is refused with its place."""

import copy
import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.codec import ExactDecimal, decode, encode, encode_json, parse
from fhir_server.fhir.errors import FhirError, Structure, TooLong

NUMBER = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)
SCALAR = st.none() | st.booleans() | st.text(max_size=12) | NUMBER.map(ExactDecimal)
TREE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def _texts(value: object) -> object:
    """The tree with every number as its text."""
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    if isinstance(value, ExactDecimal):
        return ("number", value.text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ("number", encode_json(value).decode())
    return value


def _refusal(body: bytes, max_depth: int = 8) -> FhirError:
    with pytest.raises(FhirError) as caught:
        parse(body, max_depth=max_depth)
    return caught.value


@given(st.dictionaries(st.text(max_size=6), TREE, max_size=5), st.sampled_from([None, 1, "\t"]))
def test_round_trip_keeps_every_digit(tree: dict[str, object], indent: int | str | None) -> None:
    """What is parsed, encoded and decoded again has the same keys, texts and number tokens."""
    body = _json_text(tree, indent)
    parsed = parse(body, max_depth=40)
    assert _texts(parsed) == _texts(tree)
    stored = encode(parsed)
    assert _texts(decode(stored)) == _texts(tree)
    assert encode(decode(stored)) == stored


def _json_text(tree: object, indent: int | str | None) -> bytes:
    """Plain JSON made without the codec, so that the test does not believe what it tests."""
    marks: list[str] = []

    def mark(value: object) -> object:
        if isinstance(value, dict):
            return {key: mark(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [mark(inner) for inner in value]
        if isinstance(value, ExactDecimal):
            marks.append(value.text)
            return f"\ue000{len(marks) - 1}\ue001"
        return value

    text = json.dumps(mark(tree), indent=indent, ensure_ascii=False)
    for number, digits in enumerate(marks):
        text = text.replace(f'"\ue000{number}\ue001"', digits)
    return text.encode()


@pytest.mark.parametrize(
    "token", ["1.50", "0.10", "1E2", "1.0e-7", "-0", "-0.0", "12345678901234567890123", "100.000"]
)
def test_number_is_served_as_sent(token: str) -> None:
    """A number's text survives parsing, storing and copying."""
    body = b'{"value" : %s}' % token.encode()
    parsed = parse(body, max_depth=2)
    for resource in (parsed, copy.deepcopy(parsed), copy.copy(parsed), decode(encode(parsed))):
        assert encode(resource) == b'{"value":%s}' % token.encode()


def test_exact_decimal_is_a_decimal() -> None:
    """Arithmetic and comparison work, and pickling keeps the text."""
    number = ExactDecimal("1.50")
    assert number == Decimal("1.5")
    assert pickle.loads(pickle.dumps(number)).text == "1.50"  # noqa: S301
    assert copy.copy(number).text == "1.50"


def test_decimal_is_exact_after_decode() -> None:
    """Stored decimals come back as decimals, never as floats."""
    assert type(decode(b'{"value":1.5}')["value"]) is ExactDecimal


def test_encode_puts_type_id_and_meta_first() -> None:
    """The client's order is kept, but for resourceType, id and meta."""
    resource = {"status": "free", "meta": {"versionId": "1"}, "id": "a", "resourceType": "Slot"}
    assert encode(resource) == (
        b'{"resourceType":"Slot","id":"a","meta":{"versionId":"1"},"status":"free"}'
    )
    assert encode({"resourceType": "Slot", "status": "free"}) == (
        b'{"resourceType":"Slot","status":"free"}'
    )


def test_encode_takes_plain_decimals() -> None:
    """A Decimal that the server made itself is written as a number."""
    assert encode_json({"value": Decimal("1.20")}) == b'{"value":1.20}'


@pytest.mark.parametrize("value", [Decimal("NaN"), object()])
def test_encode_refuses_what_json_cannot_hold(value: object) -> None:
    """NaN and foreign objects are a programming error."""
    with pytest.raises(TypeError):
        encode_json({"value": value})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The body is empty"),
        (b"  \n", "The body is empty"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b'{"a": Infinity}', "line 1, column 7"),
        (b'{"a": 01}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        (b"[]", "must be one JSON object"),
        (b'"Slot"', "must be one JSON object"),
        (b"null", "must be one JSON object"),
    ],
)
def test_malformed_json_is_refused_with_its_place(body: bytes, words: str) -> None:
    """Broken JSON is a structure issue that says where."""
    refusal = _refusal(body)
    assert type(refusal) is Structure
    assert words in refusal.diagnostics


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"x":{"a":1 , "a" :2}}',
        b'{"x":[{"a":1,"\\u0061":2}]}',
        b'{"a":":","a":":"}',
        b'{"a"\n:1,"a":1.5}',
    ],
)
def test_duplicate_key_is_refused(body: bytes) -> None:
    """The same key twice in one object is refused by name, however it is written."""
    refusal = _refusal(body)
    assert type(refusal) is Structure
    assert refusal.diagnostics == 'The key "a" occurs twice in one JSON object.'


@pytest.mark.parametrize(
    "body",
    [b'{"a":":","b":"\\":"}', b'{"a":{"k":1},"b":{"k":1}}', b'{"a\\"" :1,":":2,"\\\\":3}'],
)
def test_colons_in_text_are_no_keys(body: bytes) -> None:
    """Strings that look like keys do not make a duplicate."""
    assert parse(body, max_depth=4) == json.loads(body)


@pytest.mark.parametrize("depth", [9, 2_000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    """Deeper than allowed is too long, whatever the depth."""
    body = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
    assert type(_refusal(body)) is TooLong


def test_allowed_depth_is_read() -> None:
    """The outermost object counts as one level."""
    assert parse(b'{"a":[{"b":1}]}', max_depth=3) == {"a": [{"b": 1}]}
    assert type(_refusal(b'{"a":[{"b":1}]}', max_depth=2)) is TooLong
