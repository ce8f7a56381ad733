"""Quantities: a number and, when asked for, its unit (https://hl7.org/fhir/R4/search.html#quantity).

Units are compared as written; no unit is converted into another. A comparator makes the stored
value an open range: `<5` is everything below 5.
"""

import math
from collections.abc import Sequence
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Condition, Ranges
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import split, unescape
from fhir_server.search.query import Query
from fhir_server.search.values import number

_CURRENCIES: Final = "urn:iso:std:iso:4217"


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the ranges and units of the elements that a quantity parameter selects."""
    found: list[dict[str, Json]] = []
    for element in elements:
        value = element.value
        if not isinstance(value, dict):
            continue
        is_range = "low" in value or "high" in value
        ends = number.range_of(value) if is_range else _ends(value)
        if ends is not None:
            units = _range_units(value) if is_range else _units(value)
            found.append({"l": ends[0], "h": ends[1], "u": units})
    if found:
        entry.numbers[code] = [*entry.numbers.get(code, ()), *found]


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`[prefix][number]`, `…|[system]|[code]` or `…||[code or unit]`.

    Raises:
        NotSupported: an unknown prefix.
        Value: it is none of these forms.
    """
    del query
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) not in {1, 3} or (len(parts) == 3 and parts[1] and not parts[2]):
        raise Value(
            f"'{text[:64]}' is no quantity; expected number, number|system|code or number||unit"
        )
    units: tuple[str, ...] = ()
    if len(parts) == 3 and parts[2]:
        units = (f"{parts[1]}|{parts[2]}",)
    return Ranges("n", parameter.code, number.number_boxes(parts[0]), units)


def _ends(value: Json) -> tuple[float, float] | None:
    amount = value.get("value")
    if amount is None:
        return None
    exact = float(amount)
    match value.get("comparator"):
        case "<" | "<=":
            return -math.inf, exact
        case ">" | ">=":
            return exact, math.inf
        case _:
            return exact, exact


def _units(value: Json) -> list[str]:
    code, unit = value.get("code"), value.get("unit")
    currency = value.get("currency")
    if currency:
        return [f"{_CURRENCIES}|{currency}", f"|{currency}"]
    terms = [f"{value['system']}|{code}"] if code and value.get("system") else []
    # Without a system, a unit is found by its code or by the text shown to people.
    return terms + [f"|{text}" for text in dict.fromkeys((code, unit)) if text]


def _range_units(value: Json) -> list[str]:
    both = [unit for end in ("low", "high") for unit in _units(value.get(end) or {})]
    return list(dict.fromkeys(both))
