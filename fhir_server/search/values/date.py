"""Dates, as ranges of time (https://hl7.org/fhir/R4/search.html#date)."""

from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.dates import EARLIEST, LATEST, DateRange, microseconds, parse
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.comparison import boxes, spans, split_prefix
from fhir_server.search.condition import Bound, Box, Condition, Every, Ranges, Spans, any_of
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import unescape
from fhir_server.search.main_date import END, is_period, main_date
from fhir_server.search.query import Query

APPROXIMATION: Final = 10
"""`ap` allows a tenth of the distance between the date and now."""


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the ranges of the elements that a date parameter selects."""
    found = [one for one in map(range_of, elements) if one is not None]
    if found:
        entry.dates[code] = [{"l": one.low, "h": one.high} for one in found]


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """A date of any precision after an optional prefix.

    Raises:
        NotSupported: an unknown prefix.
        Value: it is no date.
    """
    prefix, rest = split_prefix(unescape(text))
    low, high = parse(_with_plus(rest))
    if prefix == "ap":
        low, high = _widened(low, high, microseconds(query.now))
    if is_period(query.definition.name, parameter.code):
        return any_of([_period_condition(box) for box in boxes(prefix, low, high)])
    field = _single_field(parameter.code, query)
    if field is not None:
        return Spans(field, spans(prefix, low, high))
    return Ranges("d", parameter.code, boxes(prefix, low, high))


def range_of(element: Element) -> DateRange | None:
    """The range of time of an element; None when it has no date that could be read."""
    read = _READERS.get(element.datatype)
    if read is None or not element.value:
        return None
    try:
        return read(element.value)
    except Value:
        return None


def _period_condition(box: Box) -> Condition:
    found = [_end_condition(bound) if bound[0] == "h" else _start_condition(bound) for bound in box]
    return found[0] if len(found) == 1 else Every(tuple(found))


def _end_condition(bound: Bound) -> Condition:
    return Ranges("d", END, ((bound,),))


def _start_condition(bound: Bound) -> Condition:
    _, comparison, value = bound
    point = int(value)
    table = {
        "$gt": (point + 1, LATEST - 1),
        "$gte": (point, LATEST - 1),
        "$lt": (EARLIEST, point - 1),
        "$lte": (EARLIEST, point),
    }
    return Spans("s", (table[comparison],))


def _single_field(code: str, query: Query) -> str | None:
    if code == "_lastUpdated":
        return "u"
    main = main_date(query.definition.name)
    return "s" if main is not None and main.point and main.code == code else None


def _with_plus(text: str) -> str:
    # A plus sign that the client did not escape arrives as a space.
    return text[:-6] + "+" + text[-5:] if len(text) > 6 and text[-6] == " " else text


def _widened(low: int, high: int, now: int) -> tuple[int, int]:
    distance = max(low - now, now - high, 0) // APPROXIMATION
    return low - distance, high + distance


def _instant(value: str) -> DateRange:
    return parse(value, instant=True)


def _period(value: Json) -> DateRange | None:
    start, end = value.get("start"), value.get("end")
    if not (start or end):
        return None
    return DateRange(parse(start).low if start else EARLIEST, parse(end).high if end else LATEST)


def _timing(value: Json) -> DateRange | None:
    found = [parse(event) for event in value.get("event") or () if event]
    bounds = _period((value.get("repeat") or {}).get("boundsPeriod") or {})
    if bounds is not None:
        found.append(bounds)
    if not found:
        return None
    return DateRange(min(one.low for one in found), max(one.high for one in found))


_READERS: Final[dict[str, Callable[[Json], DateRange | None]]] = {
    "date": parse,
    "dateTime": parse,
    "instant": _instant,
    "Period": _period,
    "Timing": _timing,
}
