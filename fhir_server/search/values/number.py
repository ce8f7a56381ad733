"""Numbers, with the precision that their digits imply (https://hl7.org/fhir/R4/search.html#number).

Equality is asked within half a unit of the last digit written: 100 is [99.5, 100.5), 1e2 is
[50, 150). Other prefixes compare with the exact number. Stored numbers are exact.
"""

import math
import re
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.comparison import boxes, split_prefix
from fhir_server.search.condition import Box, Condition, Ranges
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import unescape
from fhir_server.search.query import Query

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TENTH: Final = Decimal("0.1")


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the ranges of the elements that a number parameter selects."""
    found: list[dict[str, Json]] = []
    for element in elements:
        ends = range_of(element.value)
        if ends is not None:
            found.append({"l": ends[0], "h": ends[1]})
    if found:
        entry.numbers[code] = [*entry.numbers.get(code, ()), *found]


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """A number after an optional prefix.

    Raises:
        NotSupported: an unknown prefix.
        Value: it is no number.
    """
    del query
    return Ranges("n", parameter.code, number_boxes(unescape(text)))


def number_boxes(text: str) -> tuple[Box, ...]:
    """What a number with a prefix asks of a stored range.

    Raises:
        NotSupported: an unknown prefix.
        Value: it is no number.
    """
    prefix, rest = split_prefix(text)
    if _NUMBER.fullmatch(rest) is None:
        raise Value(f"'{text[:64]}' is no number; expected for example 5.4, gt100 or 1e-2")
    context = Context(prec=len(rest) + 8)
    exact = context.create_decimal(rest)
    if prefix in {"eq", "ne"}:
        exponent = exact.as_tuple().exponent
        half = Decimal((0, (5,), int(exponent) - 1))
        low, high = context.subtract(exact, half), context.add(exact, half)
        return boxes(prefix, float(low), float(high), half_open=True)
    if prefix == "ap":
        margin = context.multiply(context.abs(exact), _TENTH)
        low, high = context.subtract(exact, margin), context.add(exact, margin)
        return boxes(prefix, float(low), float(high))
    return boxes(prefix, float(exact), float(exact))


def range_of(value: Json) -> tuple[float, float] | None:
    """The ends of a number or a Range; None when there is neither."""
    if isinstance(value, dict):
        low, high = ((value.get(end) or {}).get("value") for end in ("low", "high"))
        if low is None and high is None:
            return None
        return (
            -math.inf if low is None else float(low),
            math.inf if high is None else float(high),
        )
    if value is None or isinstance(value, (bool, str)):
        return None
    return float(value), float(value)
