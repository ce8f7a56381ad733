"""FHIR JSON to and from bytes, without losing a digit (https://hl7.org/fhir/R4/json.html).

R4 demands that decimals keep their precision, so a number is never turned into a float: a body
with a decimal is parsed into `ExactDecimal`s, which remember their text; all other bodies take
the fast path of orjson.
"""

import json
import re
from decimal import Decimal
from typing import NoReturn, Self

import orjson

from fhir_server.fhir.errors import Structure, TooLong
from fhir_server.fhir.types import Json, Resource

# Finds every key; a string that starts with a colon counts too, which costs a second look.
_KEY = re.compile(rb'"\s*:')
_SPACED_COLONS = (b'" :', b'"\n:', b'"\r:', b'"\t:')
_DECIMAL = re.compile(rb'":-?[0-9]+[.eE]')
_LONGEST_PLAIN_INTEGER = 18  # digits; always within 64 bits
_LARGEST_PLAIN_INTEGER = 10**_LONGEST_PLAIN_INTEGER
_FIRST_KEYS = ("resourceType", "id", "meta")


class ExactDecimal(Decimal):
    """A number that remembers how it was written: `1.50`, `1E2` and `-0` stay as they are.

    Attributes:
        text: the JSON number, character for character.
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that a JSON token stands for."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Keeps the text when copied or pickled."""
        return type(self), (self.text,)

    def __copy__(self) -> Self:
        """Itself, for it never changes."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Itself, for it never changes."""
        return self


def parse(body: bytes, *, max_depth: int) -> Resource:
    """The resource that a client sent.

    Args:
        body: UTF-8 JSON.
        max_depth: the deepest nesting of objects and arrays that is read; the outermost is 1.

    Raises:
        Structure: the body is no JSON object, or an object has the same key twice.
        TooLong: the nesting is deeper than `max_depth`.
    """
    tree = _parse(body, max_depth)
    if not isinstance(tree, dict):
        raise Structure("The body must be one JSON object, a FHIR resource.")
    return tree


def parse_list(body: bytes, *, max_depth: int) -> list[Json]:
    """The list that a client sent, such as a JSON Patch; otherwise as `parse`.

    Raises:
        Structure: the body is no JSON array, or an object has the same key twice.
        TooLong: the nesting is deeper than `max_depth`.
    """
    tree = _parse(body, max_depth)
    if not isinstance(tree, list):
        raise Structure("The body must be a JSON array.")
    return tree


def check_depth(tree: Json, max_depth: int) -> None:
    """Refuse JSON that is nested deeper than that.

    Raises:
        TooLong: it is.
    """
    _measure(tree, max_depth, negative_zero=False)


def _parse(body: bytes, max_depth: int) -> Json:
    tree = _load(body, max_depth)
    if not isinstance(tree, dict | list):
        return tree
    keys, is_delicate = _measure(tree, max_depth, negative_zero=b"-0" in body)
    if keys != _most_keys(body):
        _refuse_duplicate_keys(body)
    return _load_exactly(body) if is_delicate else tree


def decode(stored: bytes) -> Resource:
    """The resource in bytes that `encode` made; as quick as can be, with every digit."""
    # orjson writes what it read unless a float lost digits. A decimal that lost none is still
    # an `ExactDecimal`, except inside an array, where R4 has no decimals.
    resource: Resource = orjson.loads(stored)
    if orjson.dumps(resource) == stored and not _DECIMAL.search(stored):
        return resource
    return _load_exactly(stored)


def encode(resource: Resource) -> bytes:
    """The bytes that are stored and served: the client's order, after resourceType, id and meta."""
    keys = iter(resource)
    for wanted in _FIRST_KEYS:
        if wanted in resource and next(keys, None) != wanted:
            first = {key: resource[key] for key in _FIRST_KEYS if key in resource}
            resource = {**first, **resource}
            break
    return encode_json(resource)


def encode_json(value: Json) -> bytes:
    """Compact JSON of any value, with the digits that `parse` found."""
    return orjson.dumps(value, default=_fragment)


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, ExactDecimal):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _load(body: bytes, max_depth: int) -> Json:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:
            raise _too_deep(max_depth) from None
        if not body.strip():
            raise Structure("The body is empty; send a FHIR resource as JSON.") from None
        raise Structure(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None


def _load_exactly(body: bytes) -> Resource:
    resource: Resource = json.loads(body, parse_float=ExactDecimal, parse_int=_integer)
    return resource


def _integer(text: str) -> int | ExactDecimal:
    if len(text) <= _LONGEST_PLAIN_INTEGER and text != "-0":
        return int(text)
    return ExactDecimal(text)


def _measure(tree: Json, max_depth: int, *, negative_zero: bool) -> tuple[int, bool]:
    """The number of keys, and whether a number needs the exact parser."""
    keys = depth = 0
    is_delicate = False
    level: list[Json] = [tree]
    while level:
        depth += 1
        if depth > max_depth:
            raise _too_deep(max_depth)
        below: list[Json] = []
        for node in level:
            values = node
            if type(node) is dict:
                keys += len(node)
                values = node.values()
            for value in values:
                kind = type(value)
                if kind is dict or kind is list:
                    below.append(value)
                elif kind is float or (kind is int and _is_delicate(value, negative_zero)):
                    is_delicate = True
        level = below
    return keys, is_delicate


def _is_delicate(number: int, negative_zero: bool) -> bool:
    return abs(number) >= _LARGEST_PLAIN_INTEGER or (number == 0 and negative_zero)


def _most_keys(body: bytes) -> int:
    """How many keys the text has, or more; never fewer."""
    if any(spaced in body for spaced in _SPACED_COLONS):
        return len(_KEY.findall(body))
    return body.count(b'":')


def _too_deep(max_depth: int) -> TooLong:
    return TooLong(f"The JSON is nested deeper than {max_depth} levels.")


def _refuse_duplicate_keys(body: bytes) -> None:
    json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Json]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            _refuse_key(key)
        seen.add(key)


def _refuse_key(key: str) -> NoReturn:
    raise Structure(f"The key {json.dumps(key[:64])} occurs twice in one JSON object.")
