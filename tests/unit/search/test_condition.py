"""Conditions, where MongoDB's form of them matters."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.comparison import PREFIXES, boxes, spans
from fhir_server.search.condition import Ranges, Spans, Terms, any_of, successor
from fhir_server.search.predicate import mongo_filter
from fhir_server.search.query import Query
from fhir_server.search.values import number
from fhir_server.search.values.string import LONGEST, normalise
from tests.searches import BASE_URL, definition, search


def test_two_bounds_on_the_main_date_become_one_range() -> None:
    """Both ends can bound the index."""
    request = search("Slot", "start=ge2026-12-01&schedule=Schedule/1&start=lt2026-12-02")
    assert mongo_filter(request) == {
        "ix.t": "schedule=Schedule/1",
        "ix.s": {"$gte": 1_796_083_200_000_000, "$lte": 1_796_169_599_999_999},
    }


def test_most_selective_term_comes_first() -> None:
    """MongoDB bounds the index by the first term it is given."""
    request = search("Slot", "status=free&schedule=Schedule/1,Schedule/2")
    assert mongo_filter(request) == {
        "ix.t": {"$in": ["schedule=Schedule/1", "schedule=Schedule/2"]},
        "$and": [{"ix.t": "status=free"}],
    }


def test_bounds_that_exclude_each_other_find_nothing() -> None:
    """No range is left."""
    request = search("Slot", "start=ge2027&start=lt2026")
    assert mongo_filter(request) == {"_id": {"$in": []}}


def test_alternatives_of_one_kind_become_one_condition() -> None:
    """Equal terms are asked for once."""
    assert any_of([Terms(("a",)), Terms(("b",)), Terms(("a",))]) == Terms(("a", "b"))
    both = any_of([Spans("s", ((1, 2),)), Spans("s", ((5, 6),))])
    assert both == Spans("s", ((1, 2), (5, 6)))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_point_is_judged_like_a_range_without_width(prefix: str) -> None:
    """The two ways to store a date agree."""
    as_range = Ranges("d", "x", boxes(prefix, 10, 20))
    as_point = Spans("s", spans(prefix, 10, 20))
    for value in (-5, 9, 10, 15, 20, 21, 99):
        ranged = as_range.matches({"d": {"x": [{"l": value, "h": value}]}})
        assert as_point.matches({"s": value}) == ranged


@pytest.mark.parametrize(
    ("start", "after"),
    [("a", "b"), ("a|", "a}"), ("a\ud7ff", "a\ue000"), ("a\U0010ffff", "b"), ("é", "ê")],
)
def test_successor_ends_a_prefix(start: str, after: str) -> None:
    """Nothing that starts so is greater, and surrogates are stepped over."""
    assert successor(start) == after


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", 99.5, 100.5),
        ("100.00", 99.995, 100.005),
        ("1e2", 50, 150),
        ("1.00e2", 99.5, 100.5),
        ("5.40e-3", 0.005395, 0.005405),
        ("-5.4", -5.45, -5.35),
        ("+2.", 1.5, 2.5),
        (".5", 0.45, 0.55),
        ("0", -0.5, 0.5),
    ],
)
def test_digits_imply_the_precision_of_equality(text: str, low: float, high: float) -> None:
    """Half a unit of the last digit written, on either side."""
    assert number.number_boxes(text) == ((("l", "$gte", low), ("h", "$lt", high)),)


@pytest.mark.parametrize("prefix", ["gt", "lt", "ge", "le", "sa", "eb"])
def test_other_prefixes_are_exact(prefix: str) -> None:
    """The number itself is compared."""
    bounds = {value for box in number.number_boxes(f"{prefix}5.4") for _, _, value in box}
    assert bounds == {5.4}


def test_numbers_of_resources() -> None:
    """Numbers and ranges with an open end; flags and text are none."""
    assert number.range_of(3) == (3.0, 3.0)
    assert number.range_of({"low": {"value": 1}}) == (1.0, float("inf"))
    assert number.range_of({"high": {"value": 1}}) == (float("-inf"), 1.0)
    assert number.range_of({}) is None
    assert number.range_of(True) is None
    assert number.range_of("3") is None


def test_number_condition_of_a_parameter() -> None:
    """Its code says where the number is stored."""
    parameter = definition("Encounter").search_parameters["length"]
    query = Query(definition("Encounter"), BASE_URL, datetime(2026, 11, 20, tzinfo=UTC))
    asked = number.condition(parameter, "gt5", query)
    assert asked.matches({"n": {"length": [{"l": 6.0, "h": 6.0}]}})
    assert not asked.matches({"n": {"length": [{"l": 5.0, "h": 5.0}]}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Ann\t\nMARIE ", "ann marie"),
        ("O'Brien-Smith", "obrien smith"),
        ("Weiß", "weiss"),
        ("ﬁnal", "final"),
        ("İstanbul", "istanbul"),
        ("Ærøskøbing", "aeroskobing"),
        ("St. Mary/Joseph", "st mary joseph"),
        ("C++", "c++"),
        ("\u2010\u2013\u2014", ""),
        ("\u200bzero\u200dwidth", "zerowidth"),
        ("Приве́т", "привет"),
    ],
)
def test_strings_are_compared_without_case_accents_and_punctuation(
    text: str, expected: str
) -> None:
    """The same for what is stored and what is asked."""
    assert normalise(text) == expected


def test_long_strings_are_cut() -> None:
    """Only the beginning is indexed and compared."""
    assert len(normalise("x" * 10_000)) == LONGEST


_SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6).map(tuple)


@given(_SPANS, _SPANS)
def test_spans_within_spans_hold_what_both_hold(
    one: tuple[tuple[int, int], ...], other: tuple[tuple[int, int], ...]
) -> None:
    """Number for number, in any order and however they overlap."""
    first, second = Spans("s", one), Spans("s", other)
    both = first.within(second)
    assert len(both.spans) <= len(one) + len(other)
    for value in range(31):
        ix = {"s": value}
        assert both.matches(ix) == (first.matches(ix) and second.matches(ix))


def test_repeated_lists_of_dates_do_not_multiply() -> None:
    """Each list bounds the one before; thirty lists of two thousand dates stay two thousand."""
    found = spans_of = Spans("s", tuple((10 * one, 10 * one + 8) for one in range(2_000)))
    for _ in range(30):
        found = found.within(spans_of)
    assert found == spans_of
